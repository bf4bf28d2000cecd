import fcntl
import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from modelyard.errors import BrokenArtifact
from modelyard.store import artifact
from modelyard.store.artifact import Origin


def origin(kind: str = "dataset", **fields) -> Origin:
    made = {
        "stage": "ingest",
        "run": "r1",
        "family": "line",
        "key": "k",
        "config_hash": "c",
        "code_version": "v",
        "created": artifact.now(),
        "seconds": 0.5,
    }
    return Origin(kind=kind, **(made | fields))


def make(path: Path, files: dict[str, str], parents=(), **fields) -> artifact.Manifest:
    with artifact.create(path) as work:
        for name, text in files.items():
            (work / name).parent.mkdir(parents=True, exist_ok=True)
            (work / name).write_text(text)
        return artifact.seal(work, origin(**fields), list(parents))


def test_a_folder_appears_whole_with_the_sums_of_its_files(tmp_path):
    manifest = make(tmp_path / "a", {"x.csv": "1", "deep/y.csv": "2"})
    assert set(manifest.files) == {"x.csv", "deep/y.csv"}
    assert artifact.verify(tmp_path / "a") == manifest
    assert [path.name for path in tmp_path.iterdir()] == ["a"]


def test_a_failing_writer_leaves_nothing(tmp_path):
    with pytest.raises(ZeroDivisionError), artifact.create(tmp_path / "a") as work:
        (work / "half").write_text("x")
        raise ZeroDivisionError
    assert list(tmp_path.iterdir()) == []


def test_a_failing_writer_leaves_the_old_folder_as_it_was(tmp_path):
    old = make(tmp_path / "a", {"x": "old"})
    with pytest.raises(ZeroDivisionError), artifact.create(tmp_path / "a"):
        raise ZeroDivisionError
    assert artifact.verify(tmp_path / "a") == old


def test_a_second_writer_replaces_the_folder(tmp_path):
    make(tmp_path / "a", {"x": "old", "gone": "1"})
    make(tmp_path / "a", {"x": "new"})
    assert artifact.file_names(tmp_path / "a") == ["x"]
    assert [path.name for path in tmp_path.iterdir()] == ["a"]


def test_two_writers_of_one_artifact_do_not_take_each_others_work_for_a_leftover(tmp_path):
    """As two processes that fetch the same package: the last one stays."""
    with artifact.create(tmp_path / "a") as first:
        (first / "x").write_text("first")
        make(tmp_path / "a", {"x": "second"})
        assert (tmp_path / "a" / "x").read_text() == "second"
        (first / "y").write_text("first")
    assert (tmp_path / "a" / "x").read_text() == "first"
    assert [path.name for path in tmp_path.iterdir()] == ["a"]


@pytest.mark.parametrize(("module", "name"), [(os, "open"), (fcntl, "flock")])
def test_a_writer_that_has_just_begun_is_not_disturbed_by_another(
    monkeypatch, tmp_path, module, name
):
    """The other one comes when the folder is there and not locked yet."""
    whole = getattr(module, name)

    def interrupted(*arguments):
        monkeypatch.setattr(module, name, whole)
        make(tmp_path / "a", {"x": "second"})
        return whole(*arguments)

    monkeypatch.setattr(module, name, interrupted)
    make(tmp_path / "a", {"x": "first"})
    assert (tmp_path / "a" / "x").read_text() == "first"
    assert [path.name for path in tmp_path.iterdir()] == ["a"]


def test_many_writers_of_one_artifact_all_end_well(tmp_path):
    with ThreadPoolExecutor(8) as pool:
        made = [pool.submit(make, tmp_path / "a", {"x": str(n)}) for n in range(64)]
    digests = {one.result().digest for one in made}
    assert artifact.verify(tmp_path / "a").digest in digests
    assert [path.name for path in tmp_path.iterdir()] == ["a"]


def test_a_text_that_cannot_be_written_leaves_nothing(tmp_path):
    with pytest.raises(UnicodeEncodeError):
        artifact.write_text(tmp_path / "a", "half a sign: \ud800")
    assert list(tmp_path.iterdir()) == []


def test_what_a_killed_writer_left_is_removed_by_the_next(tmp_path):
    (tmp_path / ".a.123.tmp").mkdir()
    make(tmp_path / "a", {"x": "1"})
    assert [path.name for path in tmp_path.iterdir()] == ["a"]


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        (lambda a: (a / "x").write_text("other"), "was changed"),
        (lambda a: (a / "x").unlink(), "is missing"),
        (lambda a: (a / "new").write_text("1"), "added after"),
        (lambda a: (a / "manifest.json").unlink(), "not a finished artifact"),
        (lambda a: (a / "manifest.json").write_text("{"), "cannot be read"),
    ],
)
def test_damage_is_named(tmp_path, damage, words):
    make(tmp_path / "a", {"x": "1"})
    damage(tmp_path / "a")
    with pytest.raises(BrokenArtifact, match=words):
        artifact.verify(tmp_path / "a")


def test_equal_content_has_the_same_digest_whenever_it_was_made(tmp_path):
    first = make(tmp_path / "a", {"x": "1"})
    second = make(tmp_path / "b", {"x": "1"}, created="2000-01-01", run="r2")
    third = make(tmp_path / "c", {"x": "2"})
    assert first.digest == second.digest != third.digest


def test_lineage_reaches_back_to_the_data(tmp_path):
    data = make(tmp_path / "data", {"x": "1"})
    features = make(tmp_path / "features", {"y": "2"}, [data], kind="features")
    model = make(tmp_path / "model", {"z": "3"}, [features], kind="model")
    assert {made.kind for made in model.lineage.values()} == {"dataset", "features"}
    assert set(model.lineage) == {data.digest, features.digest}


def test_a_clone_is_the_same_artifact(tmp_path):
    manifest = make(tmp_path / "a", {"x": "1", "deep/y": "2"})
    artifact.clone(tmp_path / "a", tmp_path / "elsewhere" / "b")
    assert artifact.verify(tmp_path / "elsewhere" / "b") == manifest


def test_json_with_nan_is_refused(tmp_path):
    with pytest.raises(ValueError, match="JSON"):
        artifact.write_json(tmp_path / "a.json", {"x": float("nan")})
    assert list(tmp_path.iterdir()) == []
