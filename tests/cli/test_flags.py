"""Every flag of every command reaches its library call and changes nothing else.

COMMANDS has a row for each flag: a value, the arguments that the value changes in the library calls of the
command, and the test of its effect on the results. A new flag fails until it has a row.
"""

import ast
import inspect
import io
import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import redirect_stdout
from dataclasses import dataclass, field, fields, is_dataclass
from functools import cache
from importlib import import_module
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from cyclopts.argument import Argument

from fsbench._util.session import Session
from fsbench.cli import app, main
from fsbench.cli._config import _kinds
from fsbench.cli._installation import Checkup
from fsbench.cli._quickstart import Outcome
from fsbench.data.augment import OFF, Augment
from fsbench.data.summary import Contents
from fsbench.data.summary import DataSet as KnownDataSet
from fsbench.evaluation import result_files
from fsbench.features.store import Origin
from fsbench.tasks.spec import TaskSpec
from fsbench.training import fast
from fsbench.training.optim import Optimiser
from tests.cli.commands import COMMANDS as APPS

HERE = Path(__file__).parents[1]
ANY, GONE = object(), object()  # a different value; no value any more


@dataclass(frozen=True)
class Row:
    """One flag: a value, what it changes in the command's main call, and a test of its effect."""

    value: str
    changes: Mapping[str, object]
    outcome: str  # name of a test, file::test
    others: Mapping[str, object] = field(default_factory=dict)  # changes of other calls and of the output
    line: str | None = None  # the command to add the flag to, if not the default one


@dataclass(frozen=True)
class Command:
    """One command: a line without flags, the library functions that it calls, and its flags.

    The functions are replaced; `calls` maps the path of each to what it returns. The first is the main call.
    """

    line: str
    calls: Mapping[str, Callable[..., object]]
    rows: Mapping[str, Row]

    @property
    def main(self) -> str:
        """Name of the main call."""
        return next(iter(self.calls)).rpartition(".")[2]


def arguments(place: str, value: object) -> Iterator[tuple[str, object]]:
    """Each plain value inside an argument, by its path; a session counts as three arguments."""
    if isinstance(value, Session):
        place = place.removesuffix(".session")
    if is_dataclass(value) and not isinstance(value, type):
        value = {member.name: getattr(value, member.name) for member in fields(value)}
    elif isinstance(value, list | tuple) and any(map(is_dataclass, value)):
        value = dict(enumerate(value))
    if isinstance(value, Mapping):
        for name, part in value.items():
            yield from arguments(f"{place}.{name}", part)
    else:
        yield place, tuple(value) if isinstance(value, list) else value


def calls_of(line: list[str], command: Command) -> dict[str, object]:
    """The arguments of each library call of a command line, and its output."""
    recorded_arguments: dict[str, object] = {}

    def recorded(path: str, answer: Callable[..., object]) -> Callable[..., object]:
        module, _, name = path.rpartition(".")
        signature = inspect.signature(getattr(import_module(module), name))

        def record(*positional: object, **named: object) -> object:
            bound = signature.bind(*positional, **named)
            bound.apply_defaults()
            for argument, value in bound.arguments.items():
                place = name if isinstance(value, Session) else f"{name}.{argument}"
                recorded_arguments.update(arguments(place, value))
            return answer(*positional, **named)

        return record

    out = io.StringIO()
    with pytest.MonkeyPatch.context() as patch, redirect_stdout(out):
        for path, answer in command.calls.items():
            patch.setattr(path, recorded(path, answer))
        patch.setattr(
            "fsbench._util.machine.find_device", lambda name: torch.device("cpu" if name == "auto" else name)
        )
        assert main(line) == 0
    return {**recorded_arguments, "printed": out.getvalue()}


def changes(
    before: Mapping[str, object], after: Mapping[str, object], expected: Mapping[str, object]
) -> dict[str, object]:
    """The differences between two records; a value that is expected to be ANY is reported as ANY."""
    differences = {}
    for place in sorted(before.keys() | after.keys()):
        value = after.get(place, GONE)
        if place not in before or (before[place] is not value and before[place] != value):
            differences[place] = ANY if expected.get(place) is ANY else value
    return differences


# Output is tested with --json, because the replaced functions return little.
PRINTED = {"printed": ANY}
OUTCOMES = "cli/test_flag_outcomes.py::test_"
CLI, PRINT = "cli/test_cli.py::test_", "cli/test_cli_output.py::test_"
PREPARE = "data/test_prepare.py::test_"
TASKS = OUTCOMES + "task_settings_are_in_the_result_and_its_tasks"
FILTERS = "report/test_plots.py::test_filters_keep_what_matches"
TRIED = OUTCOMES + "method_and_images_are_in_the_result"
TRAINED = OUTCOMES + "training_settings_are_in_the_checkpoint"
ARCHITECTURE = OUTCOMES + "foreign_weights_need_an_architecture_and_a_size"
QUICKSTART = OUTCOMES + "quickstart_uses_the_given_folders_and_device_quietly"

# Flags of many commands, each an argument of the main call; a row of the command takes precedence.
SHARED = {
    "--device": Row("mps", {"device": torch.device("mps")}, OUTCOMES + "a_missing_device_is_refused"),
    "--cache": Row("elsewhere", {"cache": Path("elsewhere")}, OUTCOMES + "another_cache_holds_other_data"),
    "--quiet": Row("", {"quiet": True}, OUTCOMES + "progress_goes_to_a_terminal_unless_quiet"),
    "--json": Row("", {}, "cli/test_flags.py::test_json_is_all_that_is_printed", PRINTED),
}


PAPER_NOT_FAST = {  # how the other presets of ERM differ from `fast`
    "recipe.batch_size": 16,
    "recipe.scale": None,
    "recipe.stages.0.epochs": 400,
    **{
        f"recipe.augment.{name}": value
        for name, value in vars(Augment()).items()
        if name in ("scale", "jitter")
    },
    **{
        f"recipe.optimiser.{name}": value
        for name, value in vars(Optimiser()).items()
        if value != getattr(fast.OPTIMISER, name)
    },
}


def number(flag: str, value: str, place: str, test: str) -> dict[str, Row]:
    """The row of a flag that changes one number of a recipe; the recipe lists it as an override."""
    read = value if value.isalpha() else json.loads(value)
    override = f"{flag.removeprefix('--').replace('-', '_')} {value}"
    return {flag: Row(value, {f"recipe.{place}": read, "recipe.overrides": (override,)}, OUTCOMES + test)}


@dataclass(frozen=True)
class About:
    """A minimal stand-in for the provenance of a checkpoint."""

    recipe: str = "erm"


FEATURES = SimpleNamespace(values=torch.zeros(2, 3), origin=Origin(split="novel"))
RESULT = result_files.read(HERE / "golden" / "results" / "schema-1.json")
BOARD = HERE / "golden" / "leaderboard" / "results" / "README.md"
CHECKUP = Checkup({}, None, {}, (), None, 1, 1, Path("cache"), 0, True, True, 1 << 40, ())
PREDICTION = SimpleNamespace(unreadable=())
REPRODUCTION = SimpleNamespace(before=RESULT, now=RESULT, line=lambda: "the same")
DESCRIBED = {"fsbench.data.summary.contents": lambda path: Contents("mine", path, False, {}, 5)}

COMMANDS = {
    "quickstart": Command(
        "quickstart",
        {"fsbench.cli._quickstart.quickstart": lambda *_, **__: Outcome((), "", BOARD)},
        {
            "--out": Row("there", {"out": Path("there")}, QUICKSTART, PRINTED),
            "--device": Row("mps", {"device": torch.device("mps")}, QUICKSTART),
            "--cache": Row("elsewhere", {"cache": Path("elsewhere")}, QUICKSTART),
            "--quiet": Row("", {"quiet": True}, QUICKSTART),
        },
    ),
    "data list": Command(
        "data list",
        {"fsbench.data.summary.list_datasets": lambda cache: []},
        {"--cache": Row("elsewhere", {"cache": Path("elsewhere")}, CLI + "data")},
    ),
    "data prepare": Command(
        "data prepare mine images",
        {"fsbench.data.preparation.prepare": lambda *_, **__: Path("store.h5"), **DESCRIBED},
        {
            "--download": Row("", {"download": True}, "data/test_download.py::test_omniglot"),
            "--split": Row(
                "60/20/20", {"split": (60, 20, 20)}, PREPARE + "class_folders_are_split_by_shares"
            ),
            "--skip-unreadable": Row(
                "", {"skip_unreadable": True}, PREPARE + "unreadable_images_are_left_out"
            ),
            "--image-size": Row("20", {"image_size": 20}, OUTCOMES + "images_are_prepared_at_a_size"),
            "--force": Row("", {"force": True}, OUTCOMES + "force_prepares_again"),
            "--cache": Row("elsewhere", {"cache": Path("elsewhere")}, CLI + "data"),
        },
    ),
    "data show": Command(
        "data show mine",
        {
            "fsbench.data.summary.describe": lambda *_: KnownDataSet(
                "mine", "your own", (1, 1, 1), {32: Path("store.h5")}, "", False
            ),
            **DESCRIBED,
        },
        {},
    ),
    "data remove": Command(
        "data remove mine",
        {"fsbench.data.preparation.remove": lambda *_: {Path("store.h5"): 5}},
        {"--cache": Row("elsewhere", {"cache": Path("elsewhere")}, PREPARE + "a_store_is_removed")},
    ),
    "train-backbone": Command(
        "train-backbone s2m2-r --dataset cifar-fs",
        {
            "fsbench.training.loop.train_backbone": lambda *_, **__: SimpleNamespace(
                best=Path("best.safetensors")
            ),
            "fsbench.models.checkpoint.load_provenance": lambda path: About(),
        },
        {
            "--preset": Row(
                "linear",
                {"recipe.preset": "linear", "recipe.classifier": "linear", **PAPER_NOT_FAST},
                TRAINED,
                line="train-backbone erm --dataset cifar-fs",
            ),
            "--dataset": Row("cub", {"spec.dataset": "cub"}, TRAINED),
            "--backbone": Row("resnet10", {"spec.backbone": "resnet10"}, TRAINED),
            "--image-size": Row("20", {"spec.image_size": 20}, TRAINED),
            "--per-class": Row("3", {"spec.per_class": 3}, TRAINED),
            "--epochs": Row(
                "4 2",
                {
                    "recipe.stages.0.epochs": 4,
                    "recipe.stages.1.epochs": 2,
                    "recipe.overrides": ("epochs 4 + 2",),
                },
                OUTCOMES + "epochs_and_batch_size_reach_the_loop",
            ),
            "--patience": Row(
                "3",
                {"recipe.stages.1.patience": 3, "recipe.overrides": ("patience 3",)},
                OUTCOMES + "patience_ends_a_stage",
                line="train-backbone s2m2-r --dataset cifar-fs --preset paper",
            ),
            **number("--batch-size", "7", "batch_size", "epochs_and_batch_size_reach_the_loop"),
            **number(
                "--learning-rate", "0.5", "optimiser.learning_rate", "the_learning_rate_reaches_the_optimiser"
            ),
            **number("--classifier", "linear", "classifier", "training_settings_are_in_the_checkpoint"),
            **number("--dropout", "0.25", "dropout", "dropout_reaches_the_layers"),
            **number("--label-noise", "0.5", "label_noise", "label_noise_replaces_labels"),
            "--no-augment": Row(
                "",
                {
                    **{f"recipe.augment.{name}": getattr(OFF, name) for name in ("scale", "flip", "jitter")},
                    "recipe.overrides": ("augment off",),
                },
                OUTCOMES + "without_augmentation_images_are_only_resized",
            ),
            "--precision": Row(
                "bf16", {"compute.precision": "bf16"}, OUTCOMES + "precision_reaches_the_training_steps"
            ),
            "--compile": Row("on", {"compute.compile": True}, OUTCOMES + "blocks_are_compiled_on_request"),
            "--micro-batch": Row(
                "8", {"compute.micro_batch": 8}, OUTCOMES + "no_forward_exceeds_the_micro_batch"
            ),
            "--seed": Row("3", {"spec.seed": 3}, OUTCOMES + "the_seed_of_training_reaches_the_weights"),
            "--out": Row(
                "there",
                {"out": Path("there")},
                CLI + "training_shows_the_recipe_and_names_the_checkpoint",
            ),
            "--tensorboard": Row(
                "",
                {"tensorboard": True},
                "training/test_tensorboard.py::test_events_hold_the_columns_of_the_log",
            ),
            "--force": Row("", {"force": True}, OUTCOMES + "force_trains_again"),
            "--json": Row(
                "",
                {},
                PRINT + "of_training_and_features",
                {**PRINTED, "load_provenance.path": Path("best.safetensors")},
            ),
        },
    ),
    "extract": Command(
        "extract file",
        {
            "fsbench.features.extract.extract_features": lambda *_, **__: (Path("features.h5"), FEATURES),
            "fsbench.models.pretrained.find": lambda *_: SimpleNamespace(dataset="tiny"),
        },
        {
            "--backbone": Row("conv4", {}, ARCHITECTURE, {"find.architecture": "conv4"}),
            "--image-size": Row("20", {}, ARCHITECTURE, {"find.image_size": 20}),
            "--dataset": Row("cub", {"dataset": "cub"}, OUTCOMES + "features_come_from_the_requested_split"),
            "--split": Row("val", {"split": "val"}, OUTCOMES + "features_come_from_the_requested_split"),
            "--out": Row("f.h5", {"out": Path("f.h5")}, CLI + "features_are_written_to_out"),
            "--force": Row("", {"force": True}, OUTCOMES + "force_extracts_again"),
        },
    ),
    "evaluate": Command(
        "evaluate file --n-shot 1",
        {
            "fsbench.evaluation.run.evaluate": lambda *_, **__: [RESULT],
            "fsbench.evaluation.subjects.subject_of": lambda text, *_: text,
            "fsbench.tasks.pinned.read_task_list": lambda name: name,
            "fsbench.report.plots.of_call": lambda results: "figure",
            "fsbench.report.plots.save": lambda figure, path: None,
        },
        {
            "--backbone": Row("conv4", {}, ARCHITECTURE, {"subject_of.architecture": "conv4"}),
            "--image-size": Row("20", {}, ARCHITECTURE, {"subject_of.image_size": 20}),
            "--dataset": Row("cub tiny", {"images.datasets": ("cub", "tiny")}, TRIED),
            "--split": Row("val", {"images.split": "val"}, TRIED),
            "--n-way": Row("4", {"tasks.0.n_way": 4}, TASKS),
            "--n-shot": Row("3", {"tasks.0.n_shot": 3}, TASKS),
            "--n-query": Row("all", {"tasks.0.n_query": None}, TASKS),
            "--n-tasks": Row("9", {"tasks.0.n_tasks": 9}, TASKS),
            "--seed": Row("3", {"tasks.0.seed": 3}, TASKS),
            "--query-alpha": Row("2.5", {"tasks.0.query_alpha": 2.5}, TASKS),
            "--least-shot": Row("1", {"tasks.0.least_shot": 1}, TASKS),
            "--classes": Row("a b", {"tasks.0.classes": ("a", "b")}, TASKS),
            "--disjoint": Row("", {"tasks.0.disjoint": True}, TASKS),
            "--tasks": Row(
                "x y",
                {
                    **{
                        f"tasks.{row}.{name}": GONE
                        for row, spec in enumerate((TaskSpec(), TaskSpec()))
                        for name in vars(spec)
                    },
                    "tasks": ("x", "y"),
                },
                OUTCOMES + "pinned_lists_are_evaluated",
                {"read_task_list.name": "y"},
                line="evaluate file",
            ),
            "--head": Row("ridge svm", {"heads": ("ridge", "svm")}, TRIED),
            "--preprocess": Row("l2 none", {"preprocess": ("l2", "none")}, TRIED),
            "--base": Row(
                "b.h5", {"images.base": Path("b.h5")}, OUTCOMES + "base_features_centre_novel_features"
            ),
            "--out": Row(
                "there",
                {"output.folder": Path("there")},
                OUTCOMES + "details_are_written_beside_the_result",
                PRINTED,
            ),
            "--details": Row(
                "", {"output.details": True}, OUTCOMES + "details_are_written_beside_the_result"
            ),
            "--force": Row("", {"output.force": True}, OUTCOMES + "force_evaluates_again"),
            "--plot": Row(
                "a.png",
                {},
                OUTCOMES + "results_are_drawn",
                {
                    **{place: ANY for place, _ in arguments("of_call.results", [RESULT])},
                    "save.figure": "figure",
                    "save.path": Path("a.png"),
                },
            ),
        },
    ),
    "predict": Command(
        "predict file --support labelled --query unlabelled",
        {
            "fsbench.prediction.classify.predict": lambda *_, **__: PREDICTION,
            "fsbench.models.pretrained.find": lambda *_: "backbone",
            "fsbench.prediction.output.check_table": lambda path: None,
            "fsbench.prediction.output.write_table": lambda *_: None,
            "fsbench.prediction.output.check_sort_into": lambda *_: None,
            "fsbench.prediction.output.sort_into": lambda *_: {"cat": 2},
            "fsbench.prediction.sheet.check_name": lambda path: None,
            "fsbench.prediction.sheet.write_sheet": lambda *_: None,
            "fsbench.prediction.text.as_json": lambda prediction: {},
            "fsbench.prediction.text.parts": lambda prediction: ["summary"],
        },
        {
            "--support": Row(
                "other", {"support": Path("other")}, OUTCOMES + "predictions_use_the_given_folders"
            ),
            "--query": Row("other", {"query": Path("other")}, OUTCOMES + "predictions_use_the_given_folders"),
            "--backbone": Row("conv4", {}, ARCHITECTURE, {"find.architecture": "conv4"}),
            "--image-size": Row("20", {}, ARCHITECTURE, {"find.image_size": 20}),
            "--head": Row(
                "ridge", {"head": "ridge"}, OUTCOMES + "predictions_use_the_given_head_and_preprocess"
            ),
            "--preprocess": Row(
                "none", {"preprocess": "none"}, OUTCOMES + "predictions_use_the_given_head_and_preprocess"
            ),
            "--n-shot": Row("2", {"n_shot": 2}, OUTCOMES + "predictions_use_the_given_number_of_shots"),
            "--seed": Row("3", {"seed": 3}, OUTCOMES + "the_seed_reaches_heads_that_draw"),
            "--out": Row(
                "a.csv",
                {},
                "prediction/test_predict.py::test_files_and_summary",
                {"check_table.path": Path("a.csv"), "write_table.path": Path("a.csv"), **PRINTED},
            ),
            "--reject": Row("", {"reject": True}, "prediction/test_predict.py::test_images_of_other_classes"),
            "--sort-into": Row(
                "sorted",
                {},
                "prediction/test_predict.py::test_images_of_other_classes",
                {
                    "check_sort_into.folder": Path("sorted"),
                    "check_sort_into.support": Path("labelled"),
                    "check_sort_into.query": Path("unlabelled"),
                    "check_sort_into.out": Path("predictions.csv"),
                    "check_sort_into.sheet": None,
                    "sort_into.prediction": PREDICTION,
                    "sort_into.query": Path("unlabelled"),
                    "sort_into.folder": Path("sorted"),
                    **PRINTED,
                },
            ),
            "--sheet": Row(
                "a.html",
                {},
                "prediction/test_predict.py::test_files_and_summary",
                {
                    "check_name.path": Path("a.html"),
                    "write_sheet.prediction": PREDICTION,
                    "write_sheet.support": Path("labelled"),
                    "write_sheet.query": Path("unlabelled"),
                    "write_sheet.path": Path("a.html"),
                    **PRINTED,
                },
            ),
            "--json": Row(
                "",
                {},
                "prediction/test_predict.py::test_json_is_all_the_command_prints",
                PRINTED,
            ),
        },
    ),
    "compare": Command(
        "compare a b",
        {
            "fsbench.report.compare.compare": lambda *_, **__: About(),
            "fsbench.report.compare.tables": lambda comparison, **_: ["table"],
        },
        {
            "--against": Row(
                "first",
                {"against": "first"},
                OUTCOMES + "only_requested_pairs_are_compared",
                {"tables.pairs": True},
            ),
            "--over": Row("tasks", {"over": "tasks"}, OUTCOMES + "claims_are_over_the_requested_population"),
            "--pairs": Row("", {}, "report/test_compare.py::test_the_table", {"tables.pairs": True}),
            "--each-seed": Row(
                "",
                {"each_seed": True},
                "report/test_compare.py::test_each_seed_is_an_entry_on_request",
            ),
        },
    ),
    "plot": Command(
        "plot training run --out a.png",
        {"fsbench.report.plots.plot": lambda *_: "figure", "fsbench.report.plots.save": lambda *_: None},
        {
            "--out": Row(
                "b.svg", {}, OUTCOMES + "results_are_drawn", {"save.path": Path("b.svg"), **PRINTED}
            ),
            "--dataset": Row("cub tiny", {"selection.dataset": ("cub", "tiny")}, FILTERS),
            "--recipe": Row("erm", {"selection.recipe": ("erm",)}, FILTERS),
            "--head": Row("svm ridge", {"selection.head": ("svm", "ridge")}, FILTERS),
            "--n-shot": Row("1 5", {"selection.n_shot": (1, 5)}, FILTERS),
        },
    ),
    "diagnose": Command(
        "diagnose file",
        {"fsbench.diagnose.run.diagnose": lambda *_, **__: Path("report.md")},
        {
            "--dataset": Row(
                "cub", {"dataset": "cub"}, OUTCOMES + "a_report_uses_the_requested_images_and_questions"
            ),
            "--only": Row(
                "noise toy",
                {"only": ("noise", "toy")},
                OUTCOMES + "a_report_uses_the_requested_images_and_questions",
            ),
            "--questions": Row(
                "90", {"questions": 90}, OUTCOMES + "a_report_uses_the_requested_images_and_questions"
            ),
            "--out": Row(
                "there",
                {"out": Path("there")},
                OUTCOMES + "a_report_uses_the_requested_images_and_questions",
            ),
        },
    ),
    "leaderboard": Command(
        "leaderboard here",
        {
            "fsbench.report.leaderboard.update": lambda *_, **__: [BOARD],
            "fsbench.report.leaderboard.stale": lambda *_, **__: [],
        },
        {
            "--readme": Row(
                "R.md", {"readme": Path("R.md")}, OUTCOMES + "tables_go_into_the_readme_and_are_checked_there"
            ),
            "--published": Row(
                "all", {"published": "all"}, OUTCOMES + "only_requested_published_rows_are_shown"
            ),
            "--memory-rows": Row(
                "", {"memory_rows": True}, OUTCOMES + "only_requested_published_rows_are_shown"
            ),
            "--over": Row("tasks", {"over": "tasks"}, OUTCOMES + "claims_are_over_the_requested_population"),
            "--check": Row(
                "",
                {"folder": GONE, "readme": GONE, "published": GONE, "memory_rows": GONE, "over": GONE},
                CLI + "leaderboard_and_its_check",
                {
                    "stale.folder": Path("here"),
                    "stale.readme": None,
                    "stale.published": "same",
                    "stale.memory_rows": False,
                    "stale.over": "classes",
                    **PRINTED,
                },
            ),
        },
    ),
    "reproduce": Command(
        "reproduce result",
        {"fsbench.report.reproduce.reproduce": lambda *_, **__: REPRODUCTION},
        {
            "--checkpoint": Row(
                "c", {"checkpoint": Path("c")}, CLI + "results_are_compared_validated_and_reproduced"
            ),
            "--head": Row(
                "./h.py:f", {"head": "./h.py:f"}, OUTCOMES + "head_code_runs_only_when_it_is_named"
            ),
            "--out": Row("there", {"out": Path("there")}, OUTCOMES + "head_code_runs_only_when_it_is_named"),
        },
    ),
    "validate": Command(
        "validate here",
        {"fsbench.report.check.problems": lambda *_: []},
        {
            "--readme": Row(
                "R.md", {"readme": Path("R.md")}, OUTCOMES + "tables_go_into_the_readme_and_are_checked_there"
            )
        },
    ),
    "doctor": Command(
        "doctor",
        {
            "fsbench.cli._installation.examine": lambda *_: CHECKUP,
            "fsbench.cli._installation.troubles": lambda found: [],
        },
        {
            "--cache": Row(
                "elsewhere", {"cache": Path("elsewhere")}, OUTCOMES + "doctor_examines_the_given_cache"
            )
        },
    ),
    "completion": Command(
        "completion bash", {"cyclopts.App.generate_completion": lambda *_, **__: "script"}, {}
    ),
}


@cache
def flags(name: str) -> dict[str, Argument]:
    """The flags of a command except --config, each by the spelling that changes its default."""
    by_spelling = {}
    for argument in APPS[name].assemble_argument_collection(default_parameter=app.default_parameter):
        if argument.show and argument.name.startswith("--") and argument.name != "--config":
            by_spelling[argument.negatives[0] if argument.field_info.default is True else argument.name] = (
                argument
            )
    return by_spelling


@cache
def rows(name: str) -> dict[str, Row]:
    """The rows of the flags of a command."""
    specific = COMMANDS[name].rows if name in COMMANDS else {}
    return {**{flag: row for flag, row in SHARED.items() if flag in flags(name)}, **specific}


EVERY = [(name, flag) for name in APPS for flag in rows(name)]
TYPED = {(name, flag) for name, flag in EVERY if flag in COMMANDS[name].line.split()}  # required flags


def expected_changes(name: str, row: Row) -> dict[str, object]:
    """The changes of a row, by call and argument."""
    main_call = COMMANDS[name].main
    return {**{f"{main_call}.{place}": value for place, value in row.changes.items()}, **row.others}


def test_every_command_is_in_the_table():
    assert APPS.keys() == COMMANDS.keys()
    assert {name for name in app if name.startswith("-")} == {"--help", "-h", "--version"}


@pytest.mark.parametrize("name", APPS)
def test_every_flag_has_a_row(name: str):
    assert flags(name).keys() == rows(name).keys()


@cache
def without(name: str, line: str) -> dict[str, object]:
    """The calls of a command without the tested flag."""
    return calls_of(line.split(), COMMANDS[name])


@pytest.mark.parametrize(("name", "flag"), EVERY)
def test_a_flag_changes_only_its_own_arguments(name: str, flag: str):
    command, row = COMMANDS[name], rows(name)[flag]
    line = row.line or command.line
    after = calls_of([*line.split(), flag, *row.value.split()], command)
    expected = expected_changes(name, row)
    assert expected, "a flag that changes nothing"
    assert changes(without(name, line), after, expected) == expected


@pytest.mark.parametrize(("name", "flag"), [row for row in EVERY if row not in TYPED])
def test_a_flag_in_a_config_file_has_the_same_effect(name: str, flag: str, tmp_path: Path):
    command, row, argument = COMMANDS[name], rows(name)[flag], flags(name)[flag]
    line = row.line or command.line
    numbers = {int, float} & _kinds(argument.hint)
    values = [text if numbers and text != "all" else json.dumps(text) for text in row.value.split()]
    several = argument.token_count()[1]
    value = "true" if argument.is_flag() else f"[{', '.join(values)}]" if several else values[0]
    file = tmp_path / "flags.toml"
    file.write_text(f"[{name.replace(' ', '.')}]\n{flag.removeprefix('--')} = {value}\n")
    after = calls_of([*line.split(), "--config", str(file)], command)
    expected = expected_changes(name, row)
    assert changes(without(name, line), after, expected) == expected


SWITCHES = [(name, flag) for name, flag in EVERY if flags(name)[flag].is_flag()]


@pytest.mark.parametrize(("name", "flag"), SWITCHES)
def test_the_command_line_reverses_a_switch_of_a_config_file(name: str, flag: str, tmp_path: Path):
    command = COMMANDS[name]
    line = rows(name)[flag].line or command.line
    file = tmp_path / "flags.toml"
    file.write_text(f"[{name.replace(' ', '.')}]\n{flag.removeprefix('--')} = true\n")
    (back,) = {*flags(name)[flag].names} - {flag}
    after = calls_of([*line.split(), "--config", str(file), back], command)
    assert changes(without(name, line), after, {}) == {}


@pytest.mark.parametrize("name", [name for name, flag in EVERY if flag == "--json"])
def test_json_is_all_that_is_printed(name: str):
    command = COMMANDS[name]
    printed = calls_of([*command.line.split(), "--json"], command)["printed"]
    assert printed.count("\n") == 1
    json.loads(printed)


def test_the_effect_of_each_flag_is_tested():
    """The tests that rows name exist, in files that the default run collects."""
    named = {row.outcome for name in APPS for row in rows(name).values()}
    for file in {outcome.split("::")[0] for outcome in named}:
        (path,) = HERE.rglob(file)
        tree = ast.parse(path.read_text(encoding="utf-8"))
        tests = {node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)}
        missing = {outcome for outcome in named if outcome.startswith(f"{file}::")} - {
            f"{file}::{t}" for t in tests
        }
        assert not missing
