import json
import os
from pathlib import Path

import numpy as np
import pytest

from fsbench._util.errors import FsbenchError
from fsbench.evaluation import result_files
from fsbench.evaluation.flat import flatten
from fsbench.evaluation.result import Result
from tests.changed import another, changed, document, from_flat

OLD = Path(__file__).parents[1] / "golden" / "results"


def made(**changes) -> Result:
    values = dict(  # noqa: C408 - as they are written in calls
        dataset="cifar-fs", split="novel", fingerprint="f" * 64,
        n_way=5, n_shot=1, n_query=2, n_tasks=3, seed=0, sampler="uniform-2", task_digest="t" * 64,
        run="erm-conv4", source="cifar-fs", source_fingerprint="s" * 64, source_classes=64,
        image_size=32, stored_size=32, backbone="conv4", dropout=0.0, recipe="erm", preset="cosine",
        overrides="epochs 20", classifier="cosine", epochs=20, epoch=18, best_epoch=18, train_seed=0,
        checkpoint="c" * 64, transform="resize-36-centre-32-imagenet-1", feature_digest="d" * 64,
        head="nearest-mean", preprocess="l2", transductive=False, class_prior=False, synthetic=False,
        interval="student-t over tasks, ddof 1, 95 %", accuracy=0.5, half_width=0.25,
        extract_seconds=1.5, evaluate_seconds=0.25, device="cpu, 1 threads",
        versions={"torch": "2.8.0"}, commit=None, correct=(4, 5, 6),
    )  # fmt: skip
    return from_flat(**{**values, **changes})


def test_written_files_are_read_back(tmp_path: Path):
    path = result_files.write(tmp_path, made())
    name = "5w1s2q-nearest-mean-l2-3t-s0-32px-57371474.json"
    assert path == tmp_path / "cifar-fs" / "erm-conv4-cccccccc" / name
    assert result_files.read(path) == made()
    np.testing.assert_array_equal(made().accuracies, [0.4, 0.5, 0.6])


FOLLOWS = {  # keys determined by the checkpoint, the images or the head's code, which the path names
    "source", "source_fingerprint", "source_classes", "per_class", "seen", "backbone", "dropout", "recipe",
    "preset", "overrides", "classifier", "epochs", "train_seed", "precision", "micro_batch", "feature_digest",
    "base_digest", "transductive", "class_prior", "synthetic",
}  # fmt: skip


@pytest.mark.parametrize("field", sorted(flatten(made().question).keys() - FOLLOWS))
def test_two_results_never_share_a_file(field):
    """A new key that distinguishes evaluations must change the path or be explained in FOLLOWS."""
    before = made(n_shot=2)
    other = another(field, flatten(before)[field])
    if field == "head_code":
        before, other = changed(before, head="./mine.py:head", head_code="a" * 64), "b" * 64
    assert changed(before, **{field: other}).path != before.path


@pytest.mark.parametrize("field", ["feature_digest", "base_digest"])
def test_two_results_of_feature_files_never_share_a_file(field):
    before = made(checkpoint=None, fingerprint=None, transform=None, image_size=None, stored_size=None)
    assert changed(before, **{field: "e" * 64}).path != before.path


def test_the_path_names_the_epoch_unless_it_is_the_best():
    assert made(epoch=20).path.parent.name == "erm-conv4-epoch20-cccccccc"
    assert made(best_epoch=None).path.parent.name == "erm-conv4-cccccccc"
    assert made(run="timm-resnet50-cccccccc").path.parent.name == "timm-resnet50-cccccccc"


@pytest.mark.parametrize("sampler", ["rs-choice-1", "uniform-1"])
def test_results_of_older_samplers_keep_their_path(sampler):
    path = Path("cifar-fs", "erm-conv4", "5w1s2q-nearest-mean-l2-3t-s0.json")
    assert made(sampler=sampler).path == path


def test_accuracies_follow_from_scores_of_any_size(tmp_path: Path):
    large = made(n_query=None, queries=(10, 1000, 65_540), correct=(4, 700, 65_537), accuracy=0.7)
    np.testing.assert_array_equal(large.accuracies, np.array([4, 700, 65_537]) / [10, 1000, 65_540])
    large = changed(large, accuracy=float(large.accuracies.mean()))
    assert result_files.read(result_files.write(tmp_path, large)) == large


class TestSettingsOfAHead:
    def test_they_are_written_and_read_back(self, tmp_path: Path):
        settings = {"alpha": 0.5, "balanced": False, "k": 3, "norm": "l1"}
        path = result_files.write(tmp_path, made(head="mine", head_settings=settings))
        result = result_files.read(path)
        assert result.head.settings == settings
        assert [type(value) for value in result.head.settings.values()] == [float, bool, int, str]
        assert result.head.text == "mine:alpha=0.5,balanced=false,k=3,norm=l1"
        assert path.name.startswith("5w1s2q-mine-alpha_0.5-balanced_false-k_3-norm_l1-l2-3t-s0-32px-")

    def test_their_order_does_not_count(self):
        one, other = made(head_settings={"a": 1, "b": 2}), made(head_settings={"b": 2, "a": 1})
        assert (one, one.path, str(one)) == (other, other.path, str(other))

    @pytest.mark.parametrize("sampler", ["uniform-1", "uniform-2"])
    def test_different_ones_never_share_a_file(self, sampler):
        """Not even if their portable texts are equal, or differ only in capital letters."""
        every = [
            *({}, {"a": 1}, {"a": "1"}, {"a": "l/1"}, {"a": "l:1"}, {"a": "x"}, {"a": "X"}, {"a": True}),
            *({"a": 1, "b": 2}, {"a": "1-b_2"}, {"a" * 70: 1}, {"a" * 70: 2}, {"ä": 1}, {"ö": 1}),
        ]
        paths = [made(sampler=sampler, head_settings=settings).path.as_posix().lower() for settings in every]
        assert len(set(paths)) == len(every)
        assert all(path.isascii() and not set(path) & set(':=*?"<>|') for path in paths)

    def test_files_without_them_are_of_default_settings(self, tmp_path: Path):
        old = result_files.to_json(made())
        assert old["head"].pop("settings") == {}
        (tmp_path / "old.json").write_text(json.dumps(old))
        assert result_files.read(tmp_path / "old.json") == made()

    @pytest.mark.parametrize(
        ("settings", "message"),
        [
            ({"k": None}, r"head\.settings\[\.\.\.\] must be"),
            ({"k": [1]}, r"head\.settings\[\.\.\.\] must be"),
            ([1], r"head\.settings must be object, but is array$"),
            ({"k": 1 << 70}, r"k must be below 2\*\*64"),
            ({"k": "a\nb"}, "k must be printable text"),
            ({"a=1,b": 2}, "head must be NAME or NAME:a=1,b=false, but is 'nearest-mean:a=1,b=2'$"),
            ({"": 2}, "head must be NAME or NAME:a=1,b=false, but is 'nearest-mean:=2'$"),
            ({"k": "1,b=2"}, "head must be NAME or NAME:a=1,b=false, but is 'nearest-mean:k=1,b=2'$"),
            # Joined, this would be a reference to a user's file.
            ({"k": "./x.py:head"}, "head must be NAME or NAME:a=1,b=false, but is 'nearest-mean:k=./x"),
        ],
    )
    def test_invalid_ones_are_refused(self, tmp_path: Path, settings, message):
        written = result_files.to_json(made())
        written["head"]["settings"] = settings
        (tmp_path / "x.json").write_text(json.dumps(written))
        with pytest.raises(FsbenchError, match=message):
            result_files.read(tmp_path / "x.json")

    @pytest.mark.parametrize("name", ["./mine.py:head:k=3", "tim:balanced=true", "a:=,"])
    def test_they_are_no_part_of_the_name(self, tmp_path: Path, name: str):
        """The name decides whether `reproduce` would run a user's code."""
        (tmp_path / "x.json").write_text(json.dumps(document(made(), 2, head=name)))
        with pytest.raises(FsbenchError, match=r"head must be NAME or NAME:a=1|must be NAME=VALUE"):
            result_files.read(tmp_path / "x.json")


def test_a_file_has_one_key_per_line(tmp_path: Path):
    """A change of one number is one line in a diff."""
    text = result_files.write(tmp_path, made()).read_text()
    braces, parts, versions, schema = 2, 6, 2, 1
    assert len(text.splitlines()) == len(flatten(made())) + braces + 2 * parts + versions + schema
    assert '\n    "correct": [4, 5, 6]\n' in text


@pytest.mark.parametrize("path", sorted(OLD.glob("*.json")), ids=lambda path: path.stem)
def test_old_files_still_load(path: Path):
    """Never change these files; for each schema, add a copy of a file that its code wrote."""
    assert result_files.read(path).spec.n_tasks > 0


def test_there_is_an_old_file_of_each_schema():
    schemas = {json.loads(path.read_text())["schema"] for path in OLD.glob("*.json")}
    assert schemas == set(range(1, result_files.SCHEMA + 1))


@pytest.mark.parametrize("field", flatten(made().question))
def test_every_key_is_in_the_path_or_follows_from_it(field):
    same = made(accuracy=0.1, device="other", commit="abc", evaluate_seconds=9.0)
    assert made().question == same.question
    before = made(n_shot=2)
    assert changed(before, **{field: another(field, flatten(before)[field])}).question != before.question


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"n_tasks": 1, "correct": [5]}, "n_tasks must be at least 2, but is 1"),
        ({"schema": 0}, "not a result file of schema 1 to 2"),
        ({"accuracy": 0.6}, "accuracy is 0.6, but the mean of the per-task scores is 0.5"),
        ({"correct": [4, 5]}, "correct must have one number for each of 3 tasks, but has 2"),
        ({"extra": 1}, "unknown keys: extra$"),
        ({"extra": 1, "another": 2}, "unknown keys: another, extra$"),
        # four scores of three tasks with the right mean, too many and too few numbers of queries
        ({"correct": [4, 5, 6, 5]}, "correct must have one number for each of 3 tasks, but has 4"),
        ({"queries": [10, 10, 10, 10]}, "queries must have one number for each of 3 tasks, but has 4"),
        ({"queries": [10, 10]}, "queries must have one number for each of 3 tasks, but has 2"),
        # more right answers than queries, again with the right mean; no query at all
        ({"correct": [15, 0, 0]}, "correct must be at least 0 and at most the number of queries"),
        (
            {"correct": [0, 9, 6], "queries": [0, 10, 10]},
            "correct must be at least 0 and at most the number of queries",
        ),
        (
            {"correct": [1, 8, 6], "queries": [0, 10, 10]},
            "correct must be at least 0 and at most the number of queries",
        ),
        ({"dataset": "a/b"}, "dataset must be a name for a file or folder, but is 'a/b'"),
        ({"run": ".."}, "run must be a name for a file or folder, but is '..'"),
        ({"accuracy": 1.5}, r"outcome\.accuracy must be float <= 1\.0"),
        ({"dropout": -0.1}, r"model\.dropout must be "),
        ({"class_values": [0.5]}, "class_values must be two or more numbers, none larger than their count$"),
        ({"class_values": [0.5, -2.1]}, "class_values must be two or more numbers"),
        ({"preprocess": "a/b"}, "split, head or preprocess lead to another folder: "),
    ],
)
@pytest.mark.parametrize("schema", [1, 2])
def test_inconsistent_files_are_refused(tmp_path: Path, change, message, schema):
    path = tmp_path / "x.json"
    path.write_text(json.dumps(document(made(), schema, **change)))
    with pytest.raises(FsbenchError, match=message):
        result_files.read(path)


def test_tasks_may_have_only_wrong_or_only_right_answers(tmp_path: Path):
    ends = made(correct=(0, 5, 10))
    assert result_files.read(result_files.write(tmp_path, ends)) == ends


def test_a_missing_result_file_is_named(tmp_path: Path):
    with pytest.raises(FsbenchError) as raised:
        result_files.read(tmp_path / "absent.json")
    assert str(raised.value) == f"cannot read {tmp_path / 'absent.json'}: no such file or directory"


def test_the_same_tasks_are_claimed_only_where_identities_prove_it():
    tasks = made().task_identity
    assert made(n_tasks=2, run="b", task_digest="u" * 64, feature_digest="e" * 64).task_identity == tasks
    for change in (
        *({"seed": 1}, {"n_shot": 5}, {"disjoint": True}, {"classes": ("a",)}, {"query_alpha": 2.0}),
        *({"sampler": "uniform-1"}, {"fingerprint": "g" * 64}, {"fingerprint": None}),
    ):
        assert made(**change).task_identity != tasks
    unknown = made(fingerprint=None)
    assert unknown.task_identity == made(fingerprint=None, run="b").task_identity
    assert unknown.task_identity != made(fingerprint=None, feature_digest="e" * 64).task_identity
    assert unknown.image_identity != made(fingerprint="d" * 64).image_identity, "a digest is no fingerprint"


def test_class_values_are_read_and_may_be_missing(tmp_path: Path):
    for values in ((0.25, 1.5, -0.123456789), (0.5, 2.0)):
        result = made(class_values=values)
        assert result_files.read(result_files.write(tmp_path, result)) == result
    old = result_files.to_json(made())
    assert old["outcome"].pop("class_values") is None
    (tmp_path / "old.json").write_text(json.dumps(old))
    assert result_files.read(tmp_path / "old.json") == made()


@pytest.mark.parametrize("text", ["", "[]", "{", "{}", '{"schema": 1}', "null", "\x00\xff"])
def test_other_files_are_refused_in_one_line(tmp_path: Path, text):
    (tmp_path / "x.json").write_bytes(text.encode("latin-1"))
    with pytest.raises(FsbenchError) as raised:
        list(result_files.read_all(tmp_path))
    assert "\n" not in str(raised.value)


def test_paths_are_sorted_and_an_unreadable_folder_is_reported(tmp_path: Path, monkeypatch):
    for name in (
        "b/a.json",
        "a-b/x.json",
        "a/x.json",
        "a/y/z.json",
        "bench/x.json",
        "a/diagnose/x.json",
        "a/b.csv",
    ):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    paths = [path.relative_to(tmp_path).as_posix() for path in result_files.paths(tmp_path)]
    assert paths == ["a/diagnose/x.json", "a/x.json", "a/y/z.json", "a-b/x.json", "b/a.json"]
    scandir = os.scandir

    def guarded(path):
        if str(path).endswith("a-b"):
            raise PermissionError(13, "Permission denied", str(path))
        return scandir(path)

    monkeypatch.setattr(os, "scandir", guarded)
    with pytest.raises(FsbenchError, match=r"cannot read .*a-b: permission denied"):
        result_files.paths(tmp_path)


def test_a_path_that_is_no_folder_is_refused(tmp_path: Path):
    with pytest.raises(FsbenchError, match="there is no such folder"):
        list(result_files.read_all(tmp_path / "absent"))
