from __future__ import annotations

import contextlib
import functools
import hashlib
import importlib.util
import json
import os
import re
import shutil
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import quote

import fsspec
import pytest

from modelyard import artifact
from modelyard.config import DataSettings, FamilyConfig, resolve
from modelyard.errors import BadData, MissingExtra, Unavailable, UsageError
from modelyard.run import Run
from modelyard.sources import Source, fetch
from modelyard.stages.ingest import ingest

NAME = "größe 1.csv"


def write_sample(raw: Path) -> None:
    (raw / "data.csv").write_text("x,y\n1,2\n")


def get(into: Path, **data: object) -> Source:
    return fetch(DataSettings.model_validate(data), into, sample=write_sample)


def shell(folder: Path, *command: str) -> str:
    environment = {**os.environ, "DVC_NO_ANALYTICS": "1", "GIT_CONFIG_GLOBAL": str(folder.parent / "gitconfig")}
    environment |= {f"GIT_{who}_{what}": "a@b.c" for who in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")}
    return subprocess.run(
        command, cwd=folder, env=environment, check=True, capture_output=True, text=True
    ).stdout.strip()


def tracked(root: Path, name: str) -> None:
    """`dvc add`, in this process: the command takes a second to start."""
    from dvc.repo import Repo

    with Repo(str(root)) as repo:
        repo.add([str(root / name)])


def remote(root: Path, store: Path) -> None:
    (root / ".dvc/config").write_text(
        f"[core]\n    analytics = false\n    remote = store\n['remote \"store\"']\n    url = {store}\n"
    )


@pytest.fixture(scope="session")
def repository(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """v1 and v2 of `data/` (a folder tracked by DVC) and of `plain/notes.csv` (in Git itself)."""
    from dvc.repo import Repo

    root = tmp_path_factory.mktemp("git") / "yard 1"
    root.mkdir()
    shell(root, "git", "init", "-q", "-b", "main")
    with Repo.init(str(root)):
        remote(root, root.parent / "store")
    for number in (1, 2):
        for folder in ("data/sub", "plain"):
            (root / folder).mkdir(parents=True, exist_ok=True)
        (root / "data" / NAME).write_text(f"version\n{number}\n")
        (root / "data/sub/b.csv").write_text("same\n")
        (root / "plain/notes.csv").write_text(f"note {number}\n")
        tracked(root, "data")
        shell(root, "git", "add", "-A")
        shell(root, "git", "commit", "-qm", f"data {number}")
        shell(root, "git", "tag", f"v{number}")
        with Repo(str(root)) as repo:
            assert repo.push()
    return root


@pytest.fixture
def bare(repository: Path, tmp_path: Path) -> str:
    """The repository as a server would hold it: no work tree, no DVC cache, only the remote."""
    shell(tmp_path, "git", "clone", "-q", "--bare", str(repository), str(tmp_path / "yard.git"))
    return f"git+file://{tmp_path}/yard.git"


def version_of(raw: Path) -> str:
    return (raw / NAME).read_text().split()[1]


# --- the built-in data, files and folders


def test_without_a_uri_the_sample_is_written_and_summed(tmp_path: Path) -> None:
    source = get(tmp_path / "raw")
    expected = hashlib.sha256(b"x,y\n1,2\n").hexdigest()
    assert source.files["data.csv"].sha256 == expected
    assert (source.kind, source.uri, source.resolved) == ("sample", None, None)
    assert source.headline == f"built-in data.csv, 8 B, sha256 {expected[:8]}…"
    assert re.fullmatch("sha256:[0-9a-f]{12}", source.revision)


def test_a_sample_has_no_revisions(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"data\.rev 'v1' needs data\.uri"):
        get(tmp_path / "raw", rev="v1")


def test_a_file_is_copied_not_linked(tmp_path: Path) -> None:
    original = tmp_path / NAME
    original.write_text("x\n1\n")
    source = get(tmp_path / "raw", uri=str(original))
    original.write_text("x\n2\n")
    assert (tmp_path / "raw" / NAME).read_text() == "x\n1\n"
    assert list(source.files) == [NAME]
    assert source.kind == "path"


def test_a_folder_keeps_its_tree_and_leaves_out_what_is_not_data(tmp_path: Path) -> None:
    folder = tmp_path / "my data"
    for name in ("a.csv", "sub dir/b.csv", ".git/config", ".gitignore", "a.csv.dvc"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(name)
    source = get(tmp_path / "raw", uri=f"file://{folder}")
    assert list(source.files) == artifact.file_names(tmp_path / "raw") == ["a.csv", "sub dir/b.csv"]
    assert source.headline == "2 files, 18 B"


def test_links_to_files_and_folders_are_followed(tmp_path: Path) -> None:
    (tmp_path / "store").mkdir()
    (tmp_path / "store/a.csv").write_text("1")
    (tmp_path / "data").mkdir()
    (tmp_path / "data/file.csv").symlink_to(tmp_path / "store/a.csv")
    (tmp_path / "data/folder").symlink_to(tmp_path / "store")
    get(tmp_path / "raw", uri=str(tmp_path / "data"))
    copies = [tmp_path / "raw/file.csv", tmp_path / "raw/folder/a.csv"]
    assert [(copy.read_text(), copy.is_symlink()) for copy in copies] == [("1", False)] * 2


def test_a_broken_link_and_a_circle_are_named(tmp_path: Path) -> None:
    for name, target in (("broken", "nowhere"), ("circle", ".")):
        folder = tmp_path / name
        folder.mkdir()
        (folder / "link").symlink_to(target)
    with pytest.raises(BadData, match="broken/link: a broken link"):
        get(tmp_path / "raw", uri=str(tmp_path / "broken"))
    with pytest.raises(BadData, match="circle/link: a link leads back"):
        get(tmp_path / "raw2", uri=str(tmp_path / "circle"))


def test_a_missing_path_is_told_with_what_is_there(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "data/train.csv").write_text("")
    with pytest.raises(UsageError, match=r"trian\.csv' does not exist\. In .*/data: train\.csv$"):
        get(tmp_path / "raw", uri=str(tmp_path / "data/trian.csv"))
    with pytest.raises(UsageError, match="does not exist"):
        get(tmp_path / "raw", uri=str(tmp_path / "no" / "such" / "place.csv"))


def test_an_empty_folder_is_no_data(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(BadData, match="holds no files"):
        get(tmp_path / "raw", uri=str(tmp_path / "empty"))


def test_a_path_outside_git_has_no_revision(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("1")
    with pytest.raises(UsageError, match="lies in no Git repository"):
        get(tmp_path / "raw", uri=str(tmp_path / "a.csv"), rev="v1")


def test_equal_data_makes_an_equal_record(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("1")
    first, second = (get(tmp_path / raw, uri=str(tmp_path / "a.csv")) for raw in ("raw1", "raw2"))
    assert first == second
    (tmp_path / "a.csv").write_text("2")
    assert get(tmp_path / "raw3", uri=str(tmp_path / "a.csv")).revision != first.revision


# --- sums


def test_the_right_sum_passes_and_a_wrong_one_stops_the_run(tmp_path: Path) -> None:
    right, wrong = hashlib.sha256(b"x,y\n1,2\n").hexdigest(), "0" * 64
    assert get(tmp_path / "raw", sha256={"data.csv": right.upper()}).files["data.csv"].sha256 == right
    with pytest.raises(BadData, match=f"data.csv: sha256 is {right}, expected {wrong}"):
        get(tmp_path / "raw", sha256={"data.csv": wrong})
    with pytest.raises(BadData, match=r"other\.csv: data\.sha256 expects this file; there: data\.csv"):
        get(tmp_path / "raw", sha256={"other.csv": right})


def test_what_is_no_sum_is_refused_by_the_config() -> None:
    with pytest.raises(UsageError, match=r"data\.sha256"):
        resolve(FamilyConfig, ("--set", {"data": {"sha256": {"a.csv": "12"}}}))


# --- secrets


@pytest.mark.parametrize(
    "uri",
    [
        "git+https://token123@host/x.git#data",
        "git+https://user:token123@host/x.git#data",
        "https://user:token123@host/data.csv",
        "s3://key:token123@bucket/data.csv",
        "git+ssh://git:token123@host/x.git#data",
        "https://host/data.csv?sv=1&sig=token123",
        "https://host/data.csv?X-Amz-Security-Token=token123",
    ],
)
def test_a_uri_with_a_credential_is_refused_before_it_is_recorded(uri: str) -> None:
    with pytest.raises(UsageError, match="environment") as caught:
        resolve(FamilyConfig, ("--set", {"data": {"uri": uri}}))
    assert "token123" not in str(caught.value)


@pytest.mark.parametrize("uri", ["git+ssh://git@host/x.git#data", "s3://bucket/user@2024/data.csv", "a@b.csv"])
def test_a_name_before_an_at_sign_is_no_secret(uri: str) -> None:
    assert DataSettings(uri=uri).uri == uri


# --- object stores


def test_objects_below_a_prefix_keep_their_names(tmp_path: Path) -> None:
    store = fsspec.filesystem("memory")
    store.pipe({f"/yard/{NAME}": b"1", "/yard/sub/b.csv": b"22", "/yard/.hidden": b"", "/other/c.csv": b"3"})
    source = get(tmp_path / "raw", uri="memory://yard")
    assert {name: info.size for name, info in source.files.items()} == {NAME: 1, "sub/b.csv": 2}
    assert (tmp_path / "raw/sub/b.csv").read_bytes() == b"22"
    assert source.kind == "remote"


def test_one_object_is_one_file(tmp_path: Path) -> None:
    fsspec.filesystem("memory").pipe("/one/data.csv", b"1,2")
    assert list(get(tmp_path / "raw", uri="memory://one/data.csv").files) == ["data.csv"]


def test_nothing_behind_a_uri_and_an_unknown_scheme_are_told(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"memory://nowhere.*nothing is there"):
        get(tmp_path / "raw", uri="memory://nowhere/x")
    with pytest.raises(UsageError, match=r"scheme 's4' is unknown\. Allowed: .*s3"):
        get(tmp_path / "raw", uri="s4://bucket/x")
    with pytest.raises(UsageError, match="is no Git repository"):
        get(tmp_path / "raw", uri="memory://one", rev="v1")


@pytest.mark.skipif(importlib.util.find_spec("gcsfs") is not None, reason="gcsfs is installed")
def test_a_store_without_its_package_names_the_package(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="gcsfs"):
        get(tmp_path / "raw", uri="gs://bucket/data.csv")


@pytest.fixture
def bucket(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """An S3 server on this machine with an empty bucket `yard`."""
    program = shutil.which("moto_server")
    if program is None:
        pytest.skip("moto_server is not on the PATH: pip install 'moto[server]'")
    pytest.importorskip("s3fs")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{port}")
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "testing")
    server = subprocess.Popen([program, "-p", str(port)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        _wait(port)
        store = fsspec.filesystem("s3", skip_instance_cache=True)
        store.mkdir("yard")
        yield store
    finally:
        server.terminate()
        server.wait(10)


def _wait(port: int) -> None:
    for _ in range(100):
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
            return
        time.sleep(0.1)
    pytest.fail("the S3 server did not start")


def test_s3_objects_are_fetched_and_a_missing_bucket_is_told(bucket: Any, tmp_path: Path) -> None:
    bucket.pipe({f"yard/raw/{NAME}": b"x" * 3_000_000, "yard/raw/sub/b.csv": b"22", "yard/rawhide/c.csv": b"3"})
    bucket.touch("yard/raw/sub/")
    source = get(tmp_path / "all", uri="s3://yard/raw/")
    assert {name: info.size for name, info in source.files.items()} == {NAME: 3_000_000, "sub/b.csv": 2}
    assert source.files[NAME].sha256 == hashlib.sha256(b"x" * 3_000_000).hexdigest()
    assert list(get(tmp_path / "one", uri="s3://yard/raw/sub/b.csv").files) == ["b.csv"]
    for uri in ("s3://yard/nothing", "s3://no-such-bucket/data.csv"):
        with pytest.raises(UsageError, match="nothing is there"):
            get(tmp_path / "none", uri=uri)


def test_a_server_that_is_away_is_unavailable_and_an_absent_page_is_not_there(tmp_path: Path) -> None:
    pytest.importorskip("aiohttp")
    with pytest.raises(Unavailable, match=r"127\.0\.0\.1:9/data\.csv' does not answer"):
        get(tmp_path / "raw", uri="http://127.0.0.1:9/data.csv")
    (tmp_path / "www").mkdir()
    (tmp_path / "www" / NAME).write_text("x\n1\n")
    handler = functools.partial(_Quiet, directory=str(tmp_path / "www"))
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        base = f"http://127.0.0.1:{server.server_port}"
        assert list(get(tmp_path / "page", uri=f"{base}/{quote(NAME)}?version=2").files) == [NAME]
        with pytest.raises(UsageError, match="nothing is there"):
            get(tmp_path / "none", uri=f"{base}/other.csv")
        server.shutdown()


class _Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *args: object) -> None:
        pass


def test_a_name_that_leads_out_of_the_folder_is_refused(tmp_path: Path) -> None:
    from modelyard.sources.transfer import Entry, copy_all

    entry = Entry("../evil.csv", 1, lambda: (tmp_path / "any").open("rb"))
    with pytest.raises(BadData, match="leads out"):
        copy_all([entry], tmp_path / "raw", lambda done, total: None)


def test_progress_counts_every_byte(tmp_path: Path) -> None:
    (tmp_path / "big.bin").write_bytes(b"x" * 3_000_000)
    told: list[tuple[int, int]] = []
    data = DataSettings(uri=str(tmp_path / "big.bin"))
    fetch(data, tmp_path / "raw", sample=write_sample, progress=lambda done, total: told.append((done, total)))
    assert [done for done, _ in told] == sorted(done for done, _ in told)
    assert told[-1] == (3_000_000, 3_000_000)
    assert len(told) > 1


# --- Git and DVC


def test_each_revision_of_a_repository_elsewhere_is_fetched_right(bare: str, repository: Path, tmp_path: Path) -> None:
    for number in ("1", "2"):
        raw = tmp_path / number
        source = get(raw, uri=f"{bare}#data", rev=f"v{number}")
        assert version_of(raw) == number
        assert source.resolved == shell(repository, "git", "rev-parse", f"v{number}") == source.revision
        assert list(source.files) == sorted([NAME, "sub/b.csv"])
        assert source.headline.endswith(f"v{number} = {source.resolved[:7]}")


def test_without_a_rev_it_is_the_default_branch(bare: str, tmp_path: Path) -> None:
    assert get(tmp_path / "raw", uri=f"{bare}#data/{NAME}").headline.startswith(NAME)
    assert version_of(tmp_path / "raw") == "2"


def test_a_short_commit_names_a_revision_too(repository: Path, tmp_path: Path) -> None:
    short = shell(repository, "git", "rev-parse", "--short", "v1")
    get(tmp_path / "raw", uri=f"git+file://{repository}#data", rev=short)
    assert version_of(tmp_path / "raw") == "1"


def test_files_plainly_in_git_are_fetched_by_the_same_words(bare: str, repository: Path, tmp_path: Path) -> None:
    get(tmp_path / "elsewhere", uri=f"{bare}#plain/notes.csv", rev="v1")
    get(tmp_path / "here", uri=str(repository / "plain/notes.csv"), rev="v1")
    for raw in ("elsewhere", "here"):
        assert (tmp_path / raw / "notes.csv").read_text() == "note 1\n"


def test_a_local_path_at_a_revision_leaves_the_work_tree_alone(repository: Path, tmp_path: Path) -> None:
    for rev, number in (("v1", "1"), ("main", "2"), ("HEAD~1", "1")):
        get(tmp_path / number / rev, uri=str(repository / "data"), rev=rev)
        assert version_of(tmp_path / number / rev) == number
    assert version_of(repository / "data") == "2"
    assert shell(repository, "git", "status", "--porcelain") == ""


def test_a_repository_without_dvc_will_do(tmp_path: Path) -> None:
    root = tmp_path / "yard"
    root.mkdir()
    shell(root, "git", "init", "-q")
    (root / "a.csv").write_text("1")
    shell(root, "git", "add", "-A")
    shell(root, "git", "commit", "-qm", "a")
    (root / "a.csv").write_text("2")
    get(tmp_path / "raw", uri=str(root / "a.csv"), rev="HEAD")
    assert (tmp_path / "raw/a.csv").read_text() == "1"


def test_an_unknown_revision_lists_the_near_ones(bare: str, repository: Path, tmp_path: Path) -> None:
    for uri in (f"{bare}#data", str(repository / "data")):
        with pytest.raises(UsageError, match=r"data\.rev 'v3' is no branch, tag or commit of .*Near: v[12], v[12]"):
            get(tmp_path / "raw", uri=uri, rev="v3")


def test_a_revision_is_never_an_option_of_git(repository: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="is no branch"):
        get(tmp_path / "raw", uri=str(repository / "data"), rev="--git-dir")


def test_an_unknown_path_and_a_record_are_told(bare: str, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"no 'dta' in .* at [0-9a-f]{7}"):
        get(tmp_path / "raw", uri=f"{bare}#dta")
    with pytest.raises(UsageError, match="Name the data: 'data'"):
        get(tmp_path / "raw", uri=f"{bare}#data.dvc")
    with pytest.raises(UsageError, match="names no path"):
        get(tmp_path / "raw", uri=bare)


def test_data_that_was_never_pushed_is_told(repository: Path, tmp_path: Path) -> None:
    root = tmp_path / "copy"
    shell(tmp_path, "git", "clone", "-q", str(repository), str(root))
    remote(root, tmp_path / "nothing")
    for uri in (root / "data", root / "data" / NAME):
        with pytest.raises(UsageError, match="Type there: dvc push"):
            get(tmp_path / "raw", uri=str(uri), rev="v1")


def test_a_repository_that_is_not_there_is_told_in_a_line(tmp_path: Path) -> None:
    with pytest.raises((UsageError, Unavailable), match=r"nowhere\.git"):
        get(tmp_path / "raw", uri=f"git+file://{tmp_path}/nowhere.git#data")
    with pytest.raises(Unavailable, match="does not answer"):
        get(tmp_path / "raw", uri="git+https://127.0.0.1:9/x.git#data")
    with pytest.raises(UsageError, match="https, ssh or file"):
        get(tmp_path / "raw", uri="git+ext://sh#data")


def test_data_that_was_not_pulled_names_the_command(repository: Path, tmp_path: Path) -> None:
    root = tmp_path / "copy"
    shell(tmp_path, "git", "clone", "-q", str(repository), str(root))
    with pytest.raises(UsageError, match=r"tracked by DVC but not here\. Type: dvc pull .*copy/data$"):
        get(tmp_path / "raw", uri=str(root / "data"))
    with pytest.raises(UsageError, match=r"Type: dvc pull .*copy/data$"):
        get(tmp_path / "raw", uri=str(root / "data" / NAME))
    with pytest.raises(UsageError, match=r"Name the data: '.*/data'"):
        get(tmp_path / "raw", uri=str(root / "data.dvc"))


def test_an_edited_copy_of_tracked_data_is_told_and_used(repository: Path, tmp_path: Path) -> None:
    root = tmp_path / "yard"
    shutil.copytree(repository, root)
    assert get(tmp_path / "same", uri=str(root / "data")).note == "as in data.dvc"
    (root / "data" / NAME).chmod(0o644)
    (root / "data" / NAME).write_text("version\nmine\n")
    source = get(tmp_path / "edited", uri=str(root / "data"))
    assert source.note == "differs from data.dvc: not yet added"
    assert version_of(tmp_path / "edited") == "mine"
    (root / "single.csv").write_text("1")
    tracked(root, "single.csv")
    assert get(tmp_path / "single", uri=str(root / "single.csv")).note == "as in single.csv.dvc"


def test_without_dvc_the_extra_is_named(bare: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "dvc", None)
    with pytest.raises(MissingExtra, match=r"modelyard\[data\]"):
        get(tmp_path / "raw", uri=f"{bare}#data")


# --- the stage


def test_the_dataset_states_the_revision_it_was_made_from(bare: str, repository: Path, tmp_path: Path) -> None:
    config = {"data": {"uri": f"{bare}#data", "rev": "v1"}}
    run = Run.of("tests.toy.family:Line", config)
    headline = ingest(run, dataset=tmp_path / "dataset")
    manifest = artifact.verify(tmp_path / "dataset")
    assert manifest.data_revision == shell(repository, "git", "rev-parse", "v1")
    assert json.loads((tmp_path / "dataset/source.json").read_text())["resolved"] == manifest.data_revision
    assert str(manifest.data_revision)[:7] in headline


def test_the_same_data_ingested_again_is_the_same_dataset(tmp_path: Path) -> None:
    run = Run.of("tests.toy.family:Line")
    for name in ("first", "second"):
        ingest(run, dataset=tmp_path / name)
    first, second = (artifact.read_manifest(tmp_path / name) for name in ("first", "second"))
    assert first.digest == second.digest
    assert first.data_revision == second.data_revision
    assert str(first.data_revision).startswith("sha256:")
