"""Features there and a model back, through a folder that both sides reach."""

from __future__ import annotations

import json

import fsspec
import pytest

from modelyard.errors import BrokenArtifact, ModelyardError, UsageError
from modelyard.launch import scratch
from modelyard.settings.cluster import ClusterSettings


@pytest.fixture(params=["a path", "file URI", "object store"])
def job(request, tmp_path):
    base = {
        "a path": f"{tmp_path}/pvc",
        "file URI": f"file://{tmp_path}/pvc",
        "object store": "memory://bucket",
    }
    yield scratch.job_uri(ClusterSettings(scratch=base[request.param]), "toy", "run-1")
    fsspec.filesystem("memory").store.clear()


@pytest.fixture
def features(tmp_path):
    folder = tmp_path / "features"
    for name, content in {
        "train.bin": b"x" * 3000,
        "assets/vocabulary.json": b"{}",
        "empty": b"",
    }.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content)
    return folder


def contents(folder):
    return {
        file.relative_to(folder).as_posix(): file.read_bytes()
        for file in folder.rglob("*")
        if file.is_file()
    }


def test_features_arrive_and_the_model_comes_back(job, features, tmp_path):
    record = {"family": "toy", "config": {"seed": 3}, "id": "run-1"}
    scratch.write_job(job, record)
    scratch.upload(features, job)
    assert scratch.read_job(job) == record
    scratch.fetch(job, tmp_path / "at the node")
    assert contents(tmp_path / "at the node") == contents(features)
    scratch.publish(features, job, headline="loss 0.1")
    done = scratch.download(job, tmp_path / "model")
    assert contents(tmp_path / "model") == contents(features)
    assert done["headline"] == "loss 0.1"
    scratch.remove(job)
    with pytest.raises(BrokenArtifact, match="no finished model"):
        scratch.download(job, tmp_path / "again")


def test_features_sent_again_replace_the_old_ones(job, features, tmp_path):
    scratch.upload(features, job)
    (features / "empty").unlink()
    scratch.upload(features, job)
    scratch.fetch(job, tmp_path / "at the node")
    assert set(contents(tmp_path / "at the node")) == {"train.bin", "assets/vocabulary.json"}


def test_a_step_that_is_tried_again_leaves_what_the_nodes_work_on_and_what_they_finished(
    job, features, tmp_path
):
    (features / "manifest.json").write_text('{"digest": "1"}')
    scratch.upload(features, job)
    scratch.write_job(job, {"id": "run-1"})
    scratch.publish(features, job)
    fs, root = fsspec.core.url_to_fs(job)
    fs.pipe_file(f"{root}/features/train.bin", b"y" * 3000)  # to see whether it is written again
    scratch.upload(features, job)
    scratch.write_job(job, {"id": "run-1"})
    assert fs.cat_file(f"{root}/features/train.bin")[:1] == b"y"
    scratch.download(job, tmp_path / "model")
    (features / "manifest.json").write_text('{"digest": "2"}')
    scratch.upload(features, job)
    assert fs.cat_file(f"{root}/features/train.bin")[:1] == b"x"
    with pytest.raises(BrokenArtifact, match="no finished model"):
        scratch.download(job, tmp_path / "again")


def test_a_model_of_other_settings_is_not_taken(job, features, tmp_path):
    scratch.write_job(job, {"id": "run-1", "config": {"seed": 0}})
    scratch.publish(features, job)
    scratch.write_job(job, {"id": "run-1", "config": {"seed": 1}})
    with pytest.raises(BrokenArtifact, match=r"done\.json is missing"):
        scratch.download(job, tmp_path / "model")
    assert not (tmp_path / "model").exists()


def test_a_file_that_was_cut_short_leaves_the_old_model_as_it_was(job, features, tmp_path):
    scratch.publish(features, job)
    fs, root = fsspec.core.url_to_fs(job)
    fs.pipe_file(f"{root}/model/train.bin", b"x" * 2999)
    old = tmp_path / "model"
    old.mkdir()
    (old / "weights").write_text("old")
    with pytest.raises(BrokenArtifact, match=r"train\.bin: 2999 bytes seen, 3000 expected"):
        scratch.download(job, old)
    assert contents(old) == {"weights": b"old"}


def test_a_missing_file_is_named(job, features, tmp_path):
    scratch.publish(features, job)
    fs, root = fsspec.core.url_to_fs(job)
    fs.rm_file(f"{root}/model/train.bin")
    with pytest.raises(BrokenArtifact, match=r"train\.bin"):
        scratch.download(job, tmp_path / "model")


def test_the_mark_is_written_last_and_tells_sizes(features, tmp_path):
    job = f"{tmp_path}/job"
    scratch.publish(features, job)
    assert json.loads((tmp_path / "job/done.json").read_text())["files"]["train.bin"] == 3000
    newest = max(
        (tmp_path / "job").rglob("*"),
        key=lambda file: file.stat().st_mtime_ns if file.is_file() else 0,
    )
    assert newest.name == "done.json"


def test_no_scratch_is_an_error_that_says_what_to_type():
    with pytest.raises(UsageError, match=r"--set cluster\.scratch="):
        scratch.job_uri(ClusterSettings(), "toy", "run-1")


@pytest.mark.parametrize(
    ("place", "told"),
    [("nosuch://bucket/x", "scheme 'nosuch' is unknown"), ("gs://bucket/x", "needs a package")],
)
def test_a_store_that_cannot_be_reached_is_told(features, place, told):
    with pytest.raises(UsageError, match=told):
        scratch.upload(features, place)


def test_a_place_that_may_not_be_written_is_told(features):
    with pytest.raises(ModelyardError, match=r"/proc/nothing.*cluster\.scratch"):
        scratch.upload(features, "/proc/nothing/here")
