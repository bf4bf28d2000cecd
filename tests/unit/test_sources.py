from __future__ import annotations

import contextlib
import functools
import hashlib
import importlib.util
import io
import re
import shutil
import socket
import subprocess
import tarfile
import threading
import time
import zipfile
from collections.abc import Iterator
from http.server import SimpleHTTPRequestHandler
from pathlib import Path
from typing import Any
from urllib.parse import quote

import fsspec
import pytest

from modelyard.errors import BadData, Unavailable, UsageError
from modelyard.settings.family import DataSettings, FamilyConfig, resolve
from modelyard.sources import Source, fetch, is_packed
from modelyard.sources.transfer import FileInfo
from modelyard.stages.ingest import ingest
from modelyard.stages.run import Run
from modelyard.store import artifact
from modelyard.store.files import files_of
from tests.standin.listening import Listening

NAME = "größe 1.csv"


def write_sample(raw: Path) -> None:
    (raw / "data.csv").write_text("x,y\n1,2\n")


def get(into: Path, **data: object) -> Source:
    return fetch(DataSettings.model_validate(data), into, sample=write_sample)


def test_without_a_uri_the_sample_is_written_and_summed(tmp_path: Path) -> None:
    source = get(tmp_path / "raw")
    expected = hashlib.sha256(b"x,y\n1,2\n").hexdigest()
    assert source.files["data.csv"].sha256 == expected
    assert (source.kind, source.uri, source.resolved) == ("sample", None, None)
    assert source.headline == f"built-in data.csv, 8 B, sha256 {expected[:8]}…"
    assert re.fullmatch("sha256:[0-9a-f]{12}", source.revision)


@pytest.mark.parametrize(
    ("size", "words"),
    [(0, "0 B"), (830, "830 B"), (999_600, "1 MB"), (999_400, "999 kB"), (12_345_678, "12.3 MB")],
)
def test_sizes_have_three_digits_and_no_exponent(size: int, words: str) -> None:
    files = {"data.csv": FileInfo(sha256="a" * 64, size=size)}
    source = Source(kind="path", uri="data.csv", rev=None, resolved=None, files=files)
    assert source.headline.split(", ")[1] == words


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


@pytest.mark.parametrize(
    ("name", "problem"),
    [
        ("Bilder März.zip", "cannot be unpacked: .*. Is it complete"),
        ("a.tar.gz", "cannot be unpacked: .*. Is it complete"),
        ("b.7z", "is an archive; those that are opened: .zip, .*. Unpack it, and give the folder"),
    ],
)
def test_an_archive_that_cannot_be_opened_is_refused_with_what_to_do(
    tmp_path: Path, name: str, problem: str
) -> None:
    folder = tmp_path / "data"
    folder.mkdir()
    (folder / name).write_bytes(b"PK")
    for place, uri in enumerate((folder, folder / name)):
        with pytest.raises(BadData, match=problem) as caught:
            get(tmp_path / str(place), uri=str(uri))
        assert str(caught.value).startswith((f"{name}: ", f"{folder / name}: "))
    (folder / "a.csv").write_text("x\n1\n")
    assert len(get(tmp_path / "both", uri=str(folder)).files) == 2


@pytest.mark.parametrize("ending", ["zip", "tar", "tar.gz", "tar.xz"])
def test_the_files_of_a_single_archive_are_the_data(tmp_path: Path, ending: str) -> None:
    tree = tmp_path / "tree/flowers-main"
    for name in ("train/rose/1.txt", "train/tulip/2.txt", ".hidden"):
        (tree / name).parent.mkdir(parents=True, exist_ok=True)
        (tree / name).write_text(name)
    (tmp_path / "tree/__MACOSX").mkdir()
    (tmp_path / "tree/__MACOSX/._1.txt").write_text("of macOS")
    kind = {"zip": "zip", "tar": "tar", "tar.gz": "gztar", "tar.xz": "xztar"}[ending]
    shutil.make_archive(str(tmp_path / "flowers"), kind, tmp_path / "tree")
    archive = tmp_path / f"flowers.{ending}"
    names = ["rose/1.txt", "tulip/2.txt"]
    sums = {archive.name: artifact.sha256(archive)}
    source = get(tmp_path / "raw", uri=str(archive), sha256=sums)
    assert list(source.files) == artifact.file_names(tmp_path / "raw") == names
    assert source.headline.endswith(f"unpacked from {archive.name}")
    with pytest.raises(BadData, match=f"{archive.name}: sha256 is .*, expected 0000"):
        get(tmp_path / "other", uri=str(archive), sha256={archive.name: "0" * 64})


def packed(files: dict[str, str | bytes]) -> bytes:
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as archive:
        for name, text in files.items():
            archive.writestr(name, text)
    return content.getvalue()


def test_archives_in_an_archive_are_unpacked_in_their_place(tmp_path: Path) -> None:
    """As competitions bring them."""
    files: dict[str, str | bytes] = {
        "train.zip": packed({"train/cat.1.txt": "cat", "train/dog.1.txt": "dog"}),
        "test1.zip": packed({"1.txt": "?", "2.txt": "?"}),
        "labels.csv.zip": packed({"labels.csv": "x\n1\n"}),
        "notes.csv": "there already",
        "notes.csv.zip": packed({"notes.csv": "there already", ".DS_Store": "of macOS"}),
        "._train.zip": "what macOS knows of it",
    }
    (tmp_path / "pets.zip").write_bytes(packed(files))
    source = get(tmp_path / "raw", uri=str(tmp_path / "pets.zip"))
    names = ["train/cat.1.txt", "train/dog.1.txt", "test1/1.txt", "test1/2.txt", "labels.csv"]
    assert {name for name in source.files if not name.startswith(".")} == {*names, "notes.csv"}
    broken = packed({"train.zip": b"PK", "a.csv": "x"})
    (tmp_path / "broken.zip").write_bytes(broken)
    with pytest.raises(BadData, match=r"^broken\.zip\[train\.zip\]: cannot be unpacked: "):
        get(tmp_path / "other", uri=str(tmp_path / "broken.zip"))


def test_archives_in_an_archive_overwrite_and_lose_nothing(tmp_path: Path) -> None:
    """As exports of each month are, of which each holds one file of the same name."""
    files: dict[str, str | bytes] = {
        "2025.zip": packed({"sales.csv": "x\n1\n"}),
        "2026.zip": packed({"sales.csv": "x\n2\n"}),
        "old.zip": packed({"a.txt": "1", "b/c.txt": "2"}),
        "old/a.txt": "1",
        "new.zip": packed({"a.txt": "1", "b/c.txt": "2"}),
        "new/a.txt": "1",
        "new/b/c.txt": "2",
    }
    (tmp_path / "all.zip").write_bytes(packed(files))
    found = get(tmp_path / "raw", uri=str(tmp_path / "all.zip")).files
    sales = ["sales.csv", "2026.zip/sales.csv"]
    old = ["old/a.txt", "old.zip/a.txt", "old.zip/b/c.txt"]
    assert set(found) == {*sales, *old, "new/a.txt", "new/b/c.txt"}
    assert (tmp_path / "raw/2026.zip/sales.csv").read_text() == "x\n2\n"


def test_an_archive_of_archives_without_an_end_is_refused(tmp_path: Path) -> None:
    inner = packed({"a.csv": "x\n1\n"})
    for _ in range(20):
        inner = packed({"a.zip": inner, "b.txt": ""})
    (tmp_path / "deep.zip").write_bytes(inner)
    with pytest.raises(BadData, match=r"^deep\.zip: holds archives in each other, more than 5"):
        get(tmp_path / "raw", uri=str(tmp_path / "deep.zip"))


@pytest.mark.parametrize("ending", ["zip", "tar.gz"])
def test_an_archive_that_is_larger_than_the_free_space_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, ending: str
) -> None:
    (tmp_path / "zeros").mkdir()
    (tmp_path / "zeros/a.bin").write_bytes(bytes(3_000_000))
    kind = {"zip": "zip", "tar.gz": "gztar"}[ending]
    shutil.make_archive(str(tmp_path / "a"), kind, tmp_path / "zeros")
    usage = shutil.disk_usage(tmp_path)._replace(free=2_000_000)
    monkeypatch.setattr(shutil, "disk_usage", lambda folder: usage)
    with pytest.raises(BadData, match="unpacks to 0.003 GB more; the disk has 0.002 GB free. Free"):
        get(tmp_path / "raw", uri=str(tmp_path / f"a.{ending}"))


def test_many_files_of_an_archive_become_shards(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "many.zip", "w") as archive:
        for place in range(5):
            archive.writestr(f"{place}.txt", str(place))
    source = get(tmp_path / "raw", uri=str(tmp_path / "many.zip"), plain_files=3)
    assert (source.shards, len(source.files)) == (1, 5)
    # Data that were brought in so, packed as a whole.
    shutil.make_archive(str(tmp_path / "shards"), "zip", tmp_path / "raw")
    again = get(tmp_path / "again", uri=str(tmp_path / "shards.zip"))
    assert set(again.files) == {"index.jsonl", "shard-000000.tar"}


def test_no_member_of_an_archive_leads_out_of_its_folder(tmp_path: Path) -> None:
    with tarfile.open(tmp_path / "evil.tar", "w") as archive:
        member = tarfile.TarInfo("../../evil.csv")
        archive.addfile(member, io.BytesIO())
    with pytest.raises(BadData, match="cannot be unpacked: .*outside the destination"):
        get(tmp_path / "raw", uri=str(tmp_path / "evil.tar"))
    assert not list(tmp_path.rglob("evil.csv"))


def test_no_member_of_a_zip_leads_out_of_its_folder(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "evil.zip", "w") as archive:
        archive.writestr("../evil.csv", "x")
    with pytest.raises(BadData, match=r"evil\.zip: cannot be unpacked: '../evil.csv' would be out"):
        get(tmp_path / "raw", uri=str(tmp_path / "evil.zip"))
    assert not list(tmp_path.rglob("evil.csv"))


class Named(zipfile.ZipInfo):
    """A member whose name is written in an encoding of its own, without the mark of UTF-8."""

    encoding = "utf-8"

    def _encodeFilenameFlags(self) -> tuple[bytes, int]:  # noqa: N802 - zipfile's own
        return self.filename.encode(self.encoding), 0


@pytest.mark.parametrize("encoding", ["utf-8", "cp437"])
def test_names_in_a_zip_are_read_as_they_were_written(tmp_path: Path, encoding: str) -> None:
    names = ["März/a..1.txt", "Mai\\b.txt"]
    with zipfile.ZipFile(tmp_path / "a.ZIP", "w") as archive:
        for name in names:
            member = Named(name)
            member.encoding = encoding
            archive.writestr(member, name)
    source = get(tmp_path / "raw", uri=str(tmp_path / "a.ZIP"))
    # Backslashes are folders of Windows; two dots in a name lead nowhere.
    assert set(source.files) == {"März/a..1.txt", "Mai/b.txt"}


def test_an_archive_without_files_or_with_broken_links_is_refused(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "empty.zip", "w"):
        pass
    with pytest.raises(BadData, match=r"empty\.zip: holds no files"):
        get(tmp_path / "raw", uri=str(tmp_path / "empty.zip"))
    links = {"broken": ("a.csv", "b.csv"), "circle": ("a", ".")}
    for kind, (name, target) in links.items():
        member = tarfile.TarInfo(name)
        member.type, member.linkname = tarfile.SYMTYPE, target
        with tarfile.open(tmp_path / f"{kind}.tar", "w") as archive:
            archive.addfile(member)
        with pytest.raises(BadData, match=f"^{kind}.tar: cannot be read: {name}: .* link"):
            get(tmp_path / kind, uri=str(tmp_path / f"{kind}.tar"))


def test_an_encrypted_zip_is_refused(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        archive.writestr("a.csv", "x")
    content = bytearray((tmp_path / "a.zip").read_bytes())
    # The flags of the member itself and of its entry in the directory.
    content[6] |= 1
    content[content.find(b"PK\x01\x02") + 8] |= 1
    (tmp_path / "a.zip").write_bytes(content)
    with pytest.raises(BadData, match=r"^a\.zip: cannot be unpacked: 'a.csv' is encrypted\. Is it"):
        get(tmp_path / "raw", uri=str(tmp_path / "a.zip"))


def test_what_is_packed_is_not_looked_into_before_a_run(tmp_path: Path) -> None:
    (tmp_path / "raw").mkdir()
    (tmp_path / "raw/a.zip").write_bytes(b"PK")
    (tmp_path / "raw/.hidden").write_text("")
    assert is_packed(tmp_path / "raw")
    assert is_packed(tmp_path / "raw/a.zip")
    (tmp_path / "raw/a.csv").write_text("x\n1\n")
    assert not is_packed(tmp_path / "raw")
    assert not is_packed(tmp_path / "raw/a.csv")


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


def test_the_right_sum_passes_and_a_wrong_one_stops_the_run(tmp_path: Path) -> None:
    right, wrong = hashlib.sha256(b"x,y\n1,2\n").hexdigest(), "0" * 64
    assert (
        get(tmp_path / "raw", sha256={"data.csv": right.upper()}).files["data.csv"].sha256 == right
    )
    with pytest.raises(BadData, match=f"data.csv: sha256 is {right}, expected {wrong}"):
        get(tmp_path / "raw", sha256={"data.csv": wrong})
    with pytest.raises(
        BadData, match=r"other\.csv: data\.sha256 expects this file; there: data\.csv"
    ):
        get(tmp_path / "raw", sha256={"other.csv": right})


def test_what_is_no_sum_is_refused_by_the_config() -> None:
    with pytest.raises(UsageError, match=r"data\.sha256"):
        resolve(FamilyConfig, ("--set", {"data": {"sha256": {"a.csv": "12"}}}))


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


@pytest.mark.parametrize(
    "uri", ["git+ssh://git@host/x.git#data", "s3://bucket/user@2024/data.csv", "a@b.csv"]
)
def test_a_name_before_an_at_sign_is_no_secret(uri: str) -> None:
    assert DataSettings(uri=uri).uri == uri


def test_objects_below_a_prefix_keep_their_names(tmp_path: Path) -> None:
    store = fsspec.filesystem("memory")
    store.pipe(
        {
            f"/yard/{NAME}": b"1",
            "/yard/sub/b.csv": b"22",
            "/yard/.hidden": b"",
            "/other/c.csv": b"3",
        }
    )
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


def forget_stores() -> None:
    """fsspec keeps a client for a store, with the address that the environment had then."""
    fsspec.get_filesystem_class("s3").clear_instance_cache()


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
    forget_stores()
    server = subprocess.Popen(
        [program, "-p", str(port)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    try:
        _wait(port)
        store = fsspec.filesystem("s3", skip_instance_cache=True)
        store.mkdir("yard")
        yield store
    finally:
        server.terminate()
        server.wait(10)


def _wait(port: int) -> None:
    for _ in range(300):
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
            return
        time.sleep(0.1)
    pytest.fail("the S3 server did not start")


def test_s3_objects_are_fetched_and_a_missing_bucket_is_told(bucket: Any, tmp_path: Path) -> None:
    bucket.pipe(
        {
            f"yard/raw/{NAME}": b"x" * 3_000_000,
            "yard/raw/sub/b.csv": b"22",
            "yard/rawhide/c.csv": b"3",
        }
    )
    bucket.touch("yard/raw/sub/")
    source = get(tmp_path / "all", uri="s3://yard/raw/")
    assert {name: info.size for name, info in source.files.items()} == {
        NAME: 3_000_000,
        "sub/b.csv": 2,
    }
    assert source.files[NAME].sha256 == hashlib.sha256(b"x" * 3_000_000).hexdigest()
    assert list(get(tmp_path / "one", uri="s3://yard/raw/sub/b.csv").files) == ["b.csv"]
    for uri in ("s3://yard/nothing", "s3://no-such-bucket/data.csv"):
        with pytest.raises(UsageError, match="nothing is there"):
            get(tmp_path / "none", uri=uri)


def test_many_objects_of_s3_become_shards(bucket: Any, tmp_path: Path) -> None:
    contents = {f"yard/many/{number % 3}/{number:03}.txt": b"x" * number for number in range(40)}
    bucket.pipe(contents)
    source = get(tmp_path / "raw", uri="s3://yard/many/", plain_files=10)
    assert source.shards == 1
    assert [file.read() for file in files_of(tmp_path / "raw")] == [
        contents[f"yard/many/{name}"] for name in source.files
    ]


def test_objects_are_fetched_many_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("s3fs")
    names = "".join(
        f"<Contents><Key>many/{number}.txt</Key><Size>400000</Size>"
        "<LastModified>2026-01-01T00:00:00Z</LastModified><ETag>a</ETag></Contents>"
        for number in range(120)
    )
    under_way, most = 0, 0
    lock = threading.Lock()

    class Slow(_Quiet):
        def do_GET(self) -> None:
            nonlocal under_way, most
            content = b"d" * 400_000
            if "list-type" in self.path:
                content = f"<ListBucketResult>{names}</ListBucketResult>".encode()
            with lock:
                under_way += 1
                most = max(most, under_way)
            time.sleep(0.1)
            with lock:
                under_way -= 1
            self.send_response(200)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

    with serving(Slow) as base:
        monkeypatch.setenv("AWS_ENDPOINT_URL", base)
        for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
            monkeypatch.setenv(name, "testing")
        forget_stores()
        assert len(get(tmp_path / "raw", uri="s3://yard/many/", plain_files=1).files) == 120
    assert most > 16


def test_a_server_that_is_away_is_unavailable_and_an_absent_page_is_not_there(
    tmp_path: Path,
) -> None:
    pytest.importorskip("aiohttp")
    with pytest.raises(Unavailable, match=r"127\.0\.0\.1:9/data\.csv' does not answer"):
        get(tmp_path / "raw", uri="http://127.0.0.1:9/data.csv")
    (tmp_path / "www").mkdir()
    (tmp_path / "www" / NAME).write_text("x\n1\n")
    handler = functools.partial(_Quiet, directory=str(tmp_path / "www"))
    with serving(handler) as base:
        assert list(get(tmp_path / "page", uri=f"{base}/{quote(NAME)}?version=2").files) == [NAME]
        with pytest.raises(UsageError, match="nothing is there"):
            get(tmp_path / "none", uri=f"{base}/other.csv")


@contextlib.contextmanager
def serving(handler: Any) -> Iterator[str]:
    with Listening(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


class _Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *args: object) -> None:
        pass


def test_a_name_that_leads_out_of_the_folder_is_refused(tmp_path: Path) -> None:
    from modelyard.sources.transfer import Destination, Entry, copy_all

    entry = Entry("../evil.csv", 1, lambda: (tmp_path / "any").open("rb"))
    for plain_files in (1, 0):
        target = Destination(tmp_path / "raw", plain_files, 1_000, lambda done, total: None)
        with pytest.raises(BadData, match="leads out"):
            copy_all([entry], target)
        assert not (tmp_path / "raw").exists()


def test_progress_counts_every_byte(tmp_path: Path) -> None:
    (tmp_path / "big.bin").write_bytes(b"x" * 3_000_000)
    told: list[tuple[int, int]] = []
    data = DataSettings(uri=str(tmp_path / "big.bin"))
    fetch(
        data,
        tmp_path / "raw",
        sample=write_sample,
        progress=lambda done, total: told.append((done, total)),
    )
    assert [done for done, _ in told] == sorted(done for done, _ in told)
    assert told[-1] == (3_000_000, 3_000_000)
    assert len(told) > 1


def test_the_same_data_ingested_again_is_the_same_dataset(tmp_path: Path) -> None:
    run = Run.of("tests.toy.family:Line")
    for name in ("first", "second"):
        ingest(run, dataset=tmp_path / name)
    first, second = (artifact.read_manifest(tmp_path / name) for name in ("first", "second"))
    assert first.digest == second.digest
    assert first.data_revision == second.data_revision
    assert str(first.data_revision).startswith("sha256:")
