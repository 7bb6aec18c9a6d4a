"""`--config FILE`: the file sets flags, the command line has precedence, and a mistake gives one line."""

import re
from inspect import BoundArguments
from pathlib import Path
from types import SimpleNamespace

import pytest
from cyclopts import App

from fsbench._util.errors import FsbenchError
from fsbench.cli import app, main
from fsbench.cli._app import parse
from tests.cli.commands import COMMANDS


def flat(bound: BoundArguments) -> SimpleNamespace:
    """Every parameter by its name, whatever group it is in."""
    values = {}
    for name, value in bound.arguments.items():
        values |= vars(value) if hasattr(value, "__dataclass_fields__") else {name: value}
    return SimpleNamespace(**values)


@pytest.fixture
def parsed(tmp_path: Path):
    """Parse a command line together with a configuration file."""

    def parse_with_file(text: str, *line: str) -> SimpleNamespace:
        (tmp_path / "my.toml").write_text(text)
        return flat(parse(app, [*line, "--config", str(tmp_path / "my.toml")]))

    return parse_with_file


EVERYTHING = """
[train-backbone]
dataset = "cifar-fs"
epochs = [4, 2]
learning-rate = 1
no-augment = true
force = false

[evaluate]
n-way = [5, 20]
n-query = "all"
head = "logistic"
out = "elsewhere"

[data.prepare]
image-size = 32
"""


class TestConfigFile:
    def test_a_setting_that_has_no_effect_is_named_with_its_file(self, parsed, tmp_path: Path):
        file = re.escape(str(tmp_path / "my.toml"))
        with pytest.raises(FsbenchError, match=f"^{file}: n-way has no effect with --tasks"):
            parsed("[evaluate]\nn-way = 5\n", "evaluate", "x", "--tasks", "cub-novel-5w1s")

    def test_is_equivalent_to_typed_flags(self, parsed):
        options = parsed(EVERYTHING, "train-backbone", "erm")
        assert (options.dataset, options.epochs, options.learning_rate) == ("cifar-fs", (4, 2), 1.0)
        assert options.augment is False
        assert options.force is False
        assert options.recipe == "erm"
        assert parsed(EVERYTHING, "data", "prepare", "mine").image_size == 32

    def test_a_list_takes_no_argument_that_follows(self, parsed, tmp_path: Path):
        options = parsed(EVERYTHING, "evaluate", "a.h5", "b.h5")
        assert (options.n_way, options.n_query, options.head) == ((5, 20), "all", ("logistic",))
        assert options.subject == ("a.h5", "b.h5")
        assert options.out == Path("elsewhere")
        first = flat(parse(app, ["evaluate", f"--config={tmp_path / 'my.toml'}", "a.h5"]))
        assert first.n_way == (5, 20)

    def test_yields_to_the_command_line_in_any_order(self, parsed, tmp_path: Path):
        typed = ["train-backbone", "erm", "--epochs", "7", "--dataset", "glyphs", "--augment"]
        assert parsed(EVERYTHING, *typed).epochs == (7,)
        behind = ["train-backbone", "--config", str(tmp_path / "my.toml"), *typed[1:]]
        options = flat(parse(app, behind))
        assert (options.epochs, options.dataset, options.learning_rate) == ((7,), "glyphs", 1.0)
        assert options.augment is True

    def test_can_hold_required_flags(self, parsed):
        assert parsed('[plot]\nout = "a.png"\n', "plot", "training", "runs/a").out == Path("a.png")

    @pytest.mark.parametrize("command", COMMANDS)
    def test_works_for_every_command_and_switch(self, command: str, parsed):
        """Each flag of each command is a key; switches are set, and each other flag refuses a truth value."""
        arguments = COMMANDS[command].assemble_argument_collection(default_parameter=app.default_parameter)
        flags = {
            name: each for each in arguments if each.show for name in each.names if name.startswith("--")
        }
        if command == "completion":
            assert not flags
            return
        assert "--json" in flags
        table = f"[{command.replace(' ', '.')}]\n"
        line = [*command.split(), *needed(COMMANDS[command])]
        for flag, argument in flags.items():
            if flag == "--config":
                continue
            text = f"{table}{flag.removeprefix('--')} = true\n"
            if argument.is_flag():
                options = parsed(text, *line)
                assert getattr(options, argument.field_info.name) is (flag in argument.positives)
            else:
                with pytest.raises(FsbenchError, match=f"{flag.removeprefix('--')} must be .*, but is True"):
                    parsed(text, *line)


def needed(command: App) -> list[str]:
    """The arguments that a command requires."""
    arguments = [
        each
        for each in command.assemble_argument_collection(default_parameter=app.default_parameter)
        if each.required and each.show
    ]
    flags = [[each.name, "x"] for each in arguments if each.name.startswith("--")]
    return ["x" for each in arguments if not each.name.startswith("--")] + [
        word for flag in flags for word in flag
    ]


BAD = [  # file, part of the error
    ("[evaluate]\nn-wya = 5\n", "{file}: [evaluate] has no key 'n-wya'; did you mean 'n-way'?"),
    ("[evaluate]\nn_way = 5\n", "'n_way'; did you mean 'n-way'?"),
    ("[evaluate]\nconfig = 'b.toml'\n", "{file}: [evaluate] has no key 'config'"),
    ("[evaluate]\nn-way = [5, 'ten']\n", "{file}: n-way must be an integer, but is 'ten'"),
    ("[evaluate]\nn-tasks = 1e3\n", "{file}: n-tasks must be an integer, but is 1000.0"),
    ("[evaluate]\nn-tasks = [10]\n", "{file}: n-tasks must be an integer, but is [10]"),
    ("[evaluate]\nquery-alpha = '2'\n", "{file}: query-alpha must be a number, but is '2'"),
    ("[evaluate]\nout = 5\n", "{file}: out must be text, but is 5"),
    ("[evaluate]\nquiet = 'yes'\n", "{file}: quiet must be true or false, but is 'yes'"),
    ("[evaluate]\nsplit = 'test'\n", "--split must be base, val or novel, but is 'test'"),
    ("[evaluate]\nn-way = []\n", "{file}: n-way must have a value, but is []"),
    ("n-way = 5\n", "{file}: n-way must be in the table of its command, such as [evaluate]"),
    ("[evalaute]\nn-way = 5\n", "{file}: fsbench has no command 'evalaute'; did you mean 'evaluate'?"),
    ("", "{file}: has no table [evaluate]"),
    ("[evaluate]\n[trian-backbone]\n", "{file}: fsbench has no command 'trian-backbone'; did you mean"),
    ("[evaluate]\n[data.prepar]\n", "{file}: fsbench data has no command 'prepar'; did you mean 'prepare'?"),
    ("[evaluate]\n[train-backbone]\nepoch = 5\n", "{file}: [train-backbone] has no key 'epoch'; did you"),
    ("[evaluate\n", "{file}: not a TOML file"),
    ("[evaluate]\nn-way = 5\nn-way = 6\n", "{file}: not a TOML file"),
]


@pytest.mark.parametrize(("text", "message"), BAD, ids=[text for text, _ in BAD])
def test_a_mistake_gives_one_line(text: str, message: str, tmp_path: Path, capsys):
    file = tmp_path / "my.toml"
    file.write_text(text)
    assert main(["evaluate", "x", "--config", str(file)]) == 2
    output = capsys.readouterr()
    assert output.out == ""
    assert output.err.startswith("fsbench: ")
    assert message.format(file=file) in output.err
    assert output.err.count("\n") == 1


def test_a_missing_file_is_refused(tmp_path: Path, capsys):
    assert main(["evaluate", "x", "--config", str(tmp_path)]) == 2
    reason = "(is a directory|permission denied)"  # the second on Windows
    assert re.search(f"cannot read {re.escape(str(tmp_path))}: {reason}", capsys.readouterr().err)
    assert main(["evaluate", "x", "--config"]) == 2
    assert "--config needs a value" in capsys.readouterr().err
