"""`--config FILE`: what a file says counts, the command line wins, and a slip is one line."""

import argparse
from collections.abc import Iterator
from pathlib import Path

import pytest

from fsbench._util.errors import FsbenchError
from fsbench.cli import main, make_parser


def leaves(parser: argparse.ArgumentParser) -> Iterator[argparse.ArgumentParser]:
    """The parsers that a command ends in."""
    below = [action for action in parser._actions if isinstance(action, argparse._SubParsersAction)]
    for action in below:
        for one in action.choices.values():
            yield from leaves(one)
    if not below:
        yield parser


VERBS = {parser.prog.removeprefix("fsbench "): parser for parser in leaves(make_parser())}


@pytest.fixture
def parsed(tmp_path: Path):
    """What a command line means beside a file."""

    def parse(text: str, *line: str) -> argparse.Namespace:
        (tmp_path / "my.toml").write_text(text)
        return make_parser().parse_args([*line, "--config", str(tmp_path / "my.toml")])

    return parse


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


class TestWhatAFileSays:
    def test_is_as_if_it_were_typed(self, parsed):
        chosen = parsed(EVERYTHING, "train-backbone", "erm")
        assert (chosen.dataset, chosen.epochs, chosen.learning_rate) == ("cifar-fs", [4, 2], 1.0)
        assert chosen.no_augment is True
        assert chosen.force is False
        assert chosen.recipe == "erm"
        assert parsed(EVERYTHING, "data", "prepare", "mine").image_size == 32

    def test_a_list_takes_no_argument_that_follows(self, parsed, tmp_path: Path):
        chosen = parsed(EVERYTHING, "evaluate", "a.h5", "b.h5")
        assert (chosen.n_way, chosen.n_query, chosen.head) == ([5, 20], None, ["logistic"])
        assert [str(one) for one in chosen.subject] == ["a.h5", "b.h5"]
        assert chosen.out == Path("elsewhere")
        first = make_parser().parse_args(["evaluate", f"--config={tmp_path / 'my.toml'}", "a.h5"])
        assert first.n_way == [5, 20]

    def test_gives_way_to_the_command_line_wherever_that_stands(self, parsed, tmp_path: Path):
        given = ["train-backbone", "erm", "--epochs", "7", "--dataset", "glyphs"]
        assert parsed(EVERYTHING, *given).epochs == [7]
        behind = ["train-backbone", "--config", str(tmp_path / "my.toml"), *given[1:]]
        chosen = make_parser().parse_args(behind)
        assert (chosen.epochs, chosen.dataset, chosen.learning_rate) == ([7], "glyphs", 1.0)

    def test_can_hold_what_is_required(self, parsed):
        assert parsed('[plot]\nout = "a.png"\n', "plot", "training", "runs/a").out == Path("a.png")

    @pytest.mark.parametrize("verb", VERBS)
    def test_is_taken_by_every_verb_and_switch_by_switch(self, verb: str, parsed):
        """Each flag of each verb is a key; switches are set, and each other flag refuses a truth value."""
        flags = VERBS[verb]._option_string_actions
        if verb == "completion":
            assert not {"--config", "--json"} & set(flags)
            return
        assert "--json" in flags
        table = f"[{verb.replace(' ', '.')}]\n"
        for flag, action in flags.items():
            if flag in ("-h", "--help", "--config"):
                continue
            line = [*verb.split(), *needed(VERBS[verb])]
            text = f"{table}{flag.removeprefix('--')} = true\n"
            if action.nargs == 0:
                assert getattr(parsed(text, *line), action.dest) is True
            else:
                with pytest.raises(FsbenchError, match=f"{flag.removeprefix('--')} must be .*, but is True"):
                    parsed(text, *line)


def needed(parser: argparse.ArgumentParser) -> list[str]:
    """The least that a verb must be given."""
    line = ["x" for action in parser._actions if not action.option_strings and action.nargs not in ("?", "*")]
    for action in parser._actions:
        if action.option_strings and action.required:
            line += [action.option_strings[0], "x"]
    return line


BAD = [  # file, what the line says
    ("[evaluate]\nn-wya = 5\n", "unknown key of [evaluate] in {file} 'n-wya'; did you mean 'n-way'?"),
    ("[evaluate]\nn_way = 5\n", "'n_way'; did you mean 'n-way'?"),
    ("[evaluate]\nconfig = 'b.toml'\n", "unknown key of [evaluate] in {file} 'config'"),
    ("[evaluate]\nn-way = [5, 'ten']\n", "{file}: n-way must be an integer, but is 'ten'"),
    ("[evaluate]\nn-tasks = 1e3\n", "{file}: n-tasks must be an integer, but is 1000.0"),
    ("[evaluate]\nn-tasks = [10]\n", "{file}: n-tasks must be an integer, but is [10]"),
    ("[evaluate]\nquery-alpha = '2'\n", "{file}: query-alpha must be a number, but is '2'"),
    ("[evaluate]\nout = 5\n", "{file}: out must be text, but is 5"),
    ("[evaluate]\nquiet = 'yes'\n", "{file}: quiet must be true or false, but is 'yes'"),
    ("[evaluate]\nsplit = 'test'\n", "argument --split: invalid choice: 'test'"),
    ("[evaluate]\nn-way = []\n", "argument --n-way: expected at least one argument"),
    ("n-way = 5\n", "{file}: n-way must stand below the name of its verb, such as [evaluate]"),
    ("[evalaute]\nn-way = 5\n", "{file}: has no table [evaluate], only evalaute"),
    ("", "{file}: has no table [evaluate], only nothing"),
    ("[evaluate\n", "{file}: not a TOML file"),
    ("[evaluate]\nn-way = 5\nn-way = 6\n", "{file}: not a TOML file"),
]


@pytest.mark.parametrize(("text", "message"), BAD, ids=[text for text, _ in BAD])
def test_a_slip_is_one_line(text: str, message: str, tmp_path: Path, capsys):
    file = tmp_path / "my.toml"
    file.write_text(text)
    assert main(["evaluate", "x", "--config", str(file)]) == 2
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err.startswith("fsbench: ")
    assert message.format(file=file) in said.err
    assert said.err.count("\n") == 1


def test_a_file_that_is_not_there(tmp_path: Path, capsys):
    assert main(["evaluate", "x", "--config", str(tmp_path)]) == 2
    assert f"cannot read {tmp_path}: is a directory" in capsys.readouterr().err
    assert main(["evaluate", "x", "--config"]) == 2
    assert "argument --config: expected one argument" in capsys.readouterr().err
