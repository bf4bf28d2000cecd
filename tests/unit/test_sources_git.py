from __future__ import annotations

import contextlib
import functools
import json
import os
import shutil
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import SimpleHTTPRequestHandler
from pathlib import Path
from typing import Any

import pytest

from modelyard.errors import MissingExtra, Unavailable, UsageError
from modelyard.settings.family import DataSettings
from modelyard.sources import Source, fetch
from modelyard.stages.ingest import ingest
from modelyard.stages.run import Run
from modelyard.store import artifact
from tests.standin.listening import Listening

NAME = "größe 1.csv"


def write_sample(raw: Path) -> None:
    (raw / "data.csv").write_text("x,y\n1,2\n")


def get(into: Path, **data: object) -> Source:
    return fetch(DataSettings.model_validate(data), into, sample=write_sample)


def shell(folder: Path, *command: str) -> str:
    environment = {
        **os.environ,
        "DVC_NO_ANALYTICS": "1",
        "GIT_CONFIG_GLOBAL": str(folder.parent / "gitconfig"),
    }
    environment |= {
        f"GIT_{who}_{what}": "a@b.c"
        for who in ("AUTHOR", "COMMITTER")
        for what in ("NAME", "EMAIL")
    }
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
    shell(tmp_path / "yard.git", "git", "config", "uploadpack.allowFilter", "true")
    return f"git+file://{tmp_path}/yard.git"


def version_of(raw: Path) -> str:
    return (raw / NAME).read_text().split()[1]


def test_each_revision_of_a_repository_elsewhere_is_fetched_right(
    bare: str, repository: Path, tmp_path: Path
) -> None:
    for number in ("1", "2"):
        raw = tmp_path / number
        source = get(raw, uri=f"{bare}#data", rev=f"v{number}")
        assert version_of(raw) == number
        assert (
            source.resolved
            == shell(repository, "git", "rev-parse", f"v{number}")
            == source.revision
        )
        assert list(source.files) == sorted([NAME, "sub/b.csv"])
        assert source.headline.endswith(f"v{number} = {source.resolved[:7]}")


def test_without_a_rev_it_is_the_default_branch(bare: str, tmp_path: Path) -> None:
    assert get(tmp_path / "raw", uri=f"{bare}#data/{NAME}").headline.startswith(NAME)
    assert version_of(tmp_path / "raw") == "2"


def test_a_short_commit_names_a_revision_too(repository: Path, tmp_path: Path) -> None:
    short = shell(repository, "git", "rev-parse", "--short", "v1")
    get(tmp_path / "raw", uri=f"git+file://{repository}#data", rev=short)
    assert version_of(tmp_path / "raw") == "1"


def test_files_plainly_in_git_are_fetched_by_the_same_words(
    bare: str, repository: Path, tmp_path: Path
) -> None:
    get(tmp_path / "elsewhere", uri=f"{bare}#plain/notes.csv", rev="v1")
    get(tmp_path / "here", uri=str(repository / "plain/notes.csv"), rev="v1")
    for raw in ("elsewhere", "here"):
        assert (tmp_path / raw / "notes.csv").read_text() == "note 1\n"


def test_a_local_path_at_a_revision_leaves_the_work_tree_alone(
    repository: Path, tmp_path: Path
) -> None:
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


def test_an_unknown_revision_lists_the_near_ones(
    bare: str, repository: Path, tmp_path: Path
) -> None:
    for uri in (f"{bare}#data", str(repository / "data")):
        with pytest.raises(
            UsageError, match=r"data\.rev 'v3' is no branch, tag or commit of .*Near: v[12], v[12]"
        ):
            get(tmp_path / "raw", uri=uri, rev="v3")


def test_a_stash_is_no_name_that_is_near(tmp_path: Path) -> None:
    root = tmp_path / "yard"
    root.mkdir()
    shell(root, "git", "init", "-q", "-b", "main")
    (root / "a.csv").write_text("1")
    shell(root, "git", "add", "-A")
    shell(root, "git", "commit", "-qm", "a")
    (root / "a.csv").write_text("2")
    shell(root, "git", "stash", "-q")
    with pytest.raises(UsageError, match="Near: main$"):
        get(tmp_path / "raw", uri=str(root / "a.csv"), rev="v3")


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


class _Guarded(SimpleHTTPRequestHandler):
    def do_GET(self) -> None:
        if self.headers.get("Authorization") == "Basic token123":
            super().do_GET()
            return
        self.send_response(401)
        self.send_header("WWW-Authenticate", "Basic")
        self.end_headers()

    def log_message(self, *args: object) -> None:
        pass


def test_credentials_for_git_come_from_the_environment(
    bare: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shell(tmp_path / "yard.git", "git", "update-server-info")
    with serving(functools.partial(_Guarded, directory=str(tmp_path))) as base:
        uri = f"git+{base}/yard.git#data"
        with pytest.raises(UsageError, match=r"no access to .*environment"):
            get(tmp_path / "none", uri=uri)
        monkeypatch.setenv("GIT_CONFIG_COUNT", "1")
        monkeypatch.setenv("GIT_CONFIG_KEY_0", f"http.{base}/.extraheader")
        monkeypatch.setenv("GIT_CONFIG_VALUE_0", "Authorization: Basic token123")
        source = get(tmp_path / "raw", uri=uri, rev="v1")
    assert version_of(tmp_path / "raw") == "1"
    assert "token123" not in source.model_dump_json()


def test_data_that_was_not_pulled_names_the_command(repository: Path, tmp_path: Path) -> None:
    root = tmp_path / "copy"
    shell(tmp_path, "git", "clone", "-q", str(repository), str(root))
    with pytest.raises(
        UsageError, match=r"tracked by DVC but not here\. Type: dvc pull .*copy/data$"
    ):
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
    assert source.note == "differs from data.dvc"
    assert version_of(tmp_path / "edited") == "mine"
    (root / "single.csv").write_text("1")
    tracked(root, "single.csv")
    assert get(tmp_path / "single", uri=str(root / "single.csv")).note == "as in single.csv.dvc"


def test_without_dvc_the_extra_is_named(
    bare: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "dvc", None)
    with pytest.raises(MissingExtra, match=r"modelyard\[data\]"):
        get(tmp_path / "raw", uri=f"{bare}#data")


@contextlib.contextmanager
def serving(handler: Any) -> Iterator[str]:
    with Listening(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


def test_the_dataset_states_the_revision_it_was_made_from(
    bare: str, repository: Path, tmp_path: Path
) -> None:
    config = {"data": {"uri": f"{bare}#data", "rev": "v1"}}
    run = Run.of("tests.toy.family:Line", config)
    headline = ingest(run, dataset=tmp_path / "dataset")
    manifest = artifact.verify(tmp_path / "dataset")
    assert manifest.data_revision == shell(repository, "git", "rev-parse", "v1")
    assert (
        json.loads((tmp_path / "dataset/source.json").read_text())["resolved"]
        == manifest.data_revision
    )
    assert str(manifest.data_revision)[:7] in headline
