"""Data of many files are kept as shards, and are to all stages what they were as plain files."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tarfile
import tracemalloc
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from modelyard.errors import BadData, BrokenArtifact, ModelyardError
from modelyard.family import load, names
from modelyard.settings.family import DataSettings
from modelyard.sources import Source, fetch, transfer
from modelyard.sources.fingerprint import fingerprint
from modelyard.stages import features, ingest
from modelyard.stages.run import Run
from modelyard.store import artifact
from modelyard.store.files import files_of

FEW = {"plain_files": 5, "shard_megabytes": 0.01}


def fetched(uri: Path, into: Path, **data: Any) -> Source:
    settings = DataSettings.model_validate({"uri": str(uri), **data})
    return fetch(settings, into, sample=lambda raw: None)


def pictures(folder: Path, each: int = 15) -> Path:
    """Two classes of small pictures, and what else lies in people's folders."""
    generator = np.random.default_rng(0)
    for label, level in (("cats", 60), ("dogs and other", 160)):
        (folder / label).mkdir(parents=True)
        for number in range(each):
            pixels = generator.integers(0, 90, (12, 12, 3)) + level
            picture = Image.fromarray(pixels.astype(np.uint8))
            picture.save(folder / label / f"{number:03}.png")
    (folder / "cats" / "old" / "a.b").mkdir(parents=True)
    shutil.move(folder / "cats" / "003.png", folder / "cats" / "old" / "a.b" / "größe 3.x.png")
    (folder / "cats" / ("long" * 30 + ".png")).write_bytes((folder / "cats/004.png").read_bytes())
    (folder / "cats" / "notes.txt").touch()
    (folder / "cats" / ".hidden.png").write_bytes(b"no picture")
    (folder / "cats" / "link.png").symlink_to("005.png")
    (folder / "readme.md").write_text("pictures")
    return folder


def run_of(family: str, **data: Any) -> Run:
    entry = load(family)
    config = entry.Config.debug()
    changed: dict[str, Any] = {"data": DataSettings.model_validate(data)}
    if family == "tabular":
        changed["features"] = config.features.model_copy(update={"target": "target"})
    if family == "image" and not (Path(data["uri"]) / "labels.csv").is_file():
        # One of the pictures lies in a folder within that of its class.
        changed["features"] = config.features.model_copy(update={"class_folder": 1})
    return Run(entry, config.model_copy(update=changed))


def built(folder: Path, family: str, **data: Any) -> dict[str, bytes]:
    """The files of the features that a data set gives."""
    run = run_of(family, **data)
    ingest(run, dataset=folder / "dataset")
    features(run, dataset=folder / "dataset", features=folder / "features")
    found = artifact.read_manifest(folder / "features").files
    return {name: (folder / "features" / name).read_bytes() for name in found}


def test_many_files_are_kept_as_shards_that_tar_reads(tmp_path: Path) -> None:
    source = fetched(pictures(tmp_path / "mine"), tmp_path / "raw", **FEW)
    kept = sorted(file.name for file in (tmp_path / "raw").iterdir())
    assert kept[:2] == ["index.jsonl", "shard-000000.tar"]
    assert len(kept) == 1 + source.shards > 3
    for shard in kept[1:]:
        command = ["tar", "xf", str(tmp_path / "raw" / shard), "-C", str(tmp_path / "out")]
        (tmp_path / "out").mkdir(exist_ok=True)
        subprocess.run(command, check=True)
    plain = fetched(tmp_path / "mine", tmp_path / "plain")
    names = artifact.file_names(tmp_path / "plain")
    assert artifact.file_names(tmp_path / "out") == names == list(source.files)
    for name in names:
        assert (tmp_path / "out" / name).read_bytes() == (tmp_path / "plain" / name).read_bytes()
    assert source.files == plain.files
    assert source.revision == plain.revision
    assert f"in {source.shards} shards" in source.headline


def test_the_view_of_shards_is_that_of_the_folder(tmp_path: Path) -> None:
    fetched(pictures(tmp_path / "mine"), tmp_path / "raw", **FEW)
    fetched(tmp_path / "mine", tmp_path / "plain")
    sharded, plain = files_of(tmp_path / "raw"), files_of(tmp_path / "plain")
    assert [file.name for file in sharded] == [file.name for file in plain]
    assert [file.read() for file in sharded] == [file.read() for file in plain]
    assert [file.size for file in sharded] == [file.size for file in plain]
    assert sharded.all_folders() == plain.all_folders() != []
    assert sharded.folders() == ["cats", "dogs and other"]
    assert [file.name for file in sharded.directly_in()] == ["readme.md"]
    picture = sharded.get("cats/001.png")
    assert picture is not None
    assert picture.path == tmp_path / "raw" / "cats" / "001.png"
    assert picture.read(8) == b"\x89PNG\r\n\x1a\n"


def test_the_same_files_make_the_same_shards(tmp_path: Path) -> None:
    fetched(pictures(tmp_path / "mine"), tmp_path / "one", **FEW)
    shutil.copytree(tmp_path / "mine", tmp_path / "later", symlinks=True)
    fetched(tmp_path / "later", tmp_path / "two", **FEW)
    for name in artifact.file_names(tmp_path / "one"):
        assert (tmp_path / "one" / name).read_bytes() == (tmp_path / "two" / name).read_bytes()


def test_a_sample_of_webdataset_is_never_cut_in_two(tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    for number in range(40):
        for ending in ("json", "jpg", "seg.png"):
            content = bytes(number * 40 + len(ending))
            (tmp_path / "mine" / f"scan-{number:02}.{ending}").write_bytes(content)
    source = fetched(tmp_path / "mine", tmp_path / "raw", **FEW)
    assert source.shards > 3
    for number in range(source.shards):
        with tarfile.open(tmp_path / "raw" / f"shard-{number:06}.tar") as tar:
            keys = [name.partition(".")[0] for name in tar.getnames()]
        assert all(keys.count(key) == 3 for key in keys)


@pytest.mark.parametrize("family", names())
def test_features_of_a_sharded_data_set_are_those_of_plain_files(
    family: str, tmp_path: Path
) -> None:
    data: dict[str, Any] = {}
    if family in ("tabular", "clustering"):
        data["uri"] = str(tables(tmp_path / "mine"))
    if family == "image":
        data["uri"] = str(pictures(tmp_path / "mine"))
    if family == "text":
        data["uri"] = str(letters(tmp_path / "mine"))
    if family == "forecast":
        (tmp_path / "mine").mkdir()
        load(family).reader(run_of(family).config).sample(tmp_path / "mine")
        (tmp_path / "mine" / "readme.md").write_text("a table")
        data["uri"] = str(tmp_path / "mine")
    plain = built(tmp_path / "plain", family, **data)
    sharded = built(tmp_path / "sharded", family, **data, plain_files=1, shard_megabytes=0.01)
    assert (tmp_path / "sharded/dataset/raw/shard-000000.tar").is_file()
    assert sharded == plain


def letters(folder: Path) -> Path:
    """Two classes of short texts."""
    for label, word in (("thanks", "pleased"), ("complaints", "angry")):
        (folder / label).mkdir(parents=True)
        for number in range(20):
            text = f"Letter {number}: we are {word} with parcel {number * 7}."
            (folder / label / f"{number:02}.txt").write_text(text)
    return folder


def tables(folder: Path) -> Path:
    folder.mkdir()
    generator = np.random.default_rng(1)
    for number in range(4):
        rows = [f"{a:.3f},{b:.3f},{a > b:d}" for a, b in generator.normal(size=(60, 2))]
        (folder / f"part-{number}.csv").write_text("\n".join(["a,b,target", *rows]))
    return folder


@pytest.mark.parametrize(
    ("name", "content"), [("cats/001.png", b"no picture"), ("cats/000.png", b"")]
)
def test_messages_name_a_file_as_the_person_does(name: str, content: bytes, tmp_path: Path) -> None:
    (pictures(tmp_path / "mine") / name).write_bytes(content)
    said = []
    for data in ({}, FEW):
        with pytest.raises(BadData, match=f"^{name}: ") as caught:
            built(tmp_path / str(len(said)), "image", uri=str(tmp_path / "mine"), **data)
        said.append(str(caught.value))
    assert said[0] == said[1]


def test_labels_of_a_table_are_found_in_shards(tmp_path: Path) -> None:
    pictures(tmp_path / "mine")
    rows = [f"cats/{number:03}.png,{'ab'[number % 2]}" for number in range(15) if number != 3]
    (tmp_path / "mine" / "labels.csv").write_text("\n".join(["file,label", *rows]))
    data = {"uri": str(tmp_path / "mine")}
    assert built(tmp_path / "a", "image", **data) == built(tmp_path / "b", "image", **data, **FEW)
    (tmp_path / "mine" / "labels.csv").write_text("file,label\ncats/001.png,a\ncats/x.txt,b\n")
    with pytest.raises(BadData, match=r"^labels\.csv, row 2, .*'cats/x\.txt' is no picture"):
        built(tmp_path / "c", "image", **data, **FEW)


def test_a_flipped_byte_is_found_and_named_by_shard_and_file(tmp_path: Path) -> None:
    run = run_of("image", uri=str(pictures(tmp_path / "mine")), **FEW)
    ingest(run, dataset=tmp_path / "dataset")
    raw = tmp_path / "dataset" / "raw"
    lines = [json.loads(line) for line in (raw / "index.jsonl").read_text().splitlines()[1:]]
    place = next(line for line in lines if line["name"] == "cats/007.png")
    shard = raw / place["shard"]
    content = bytearray(shard.read_bytes())
    content[place["offset"] + place["size"] // 2] ^= 1
    shard.write_bytes(content)
    with pytest.raises(BrokenArtifact, match=rf"{place['shard']} was changed: .* cats/007\.png"):
        artifact.verify(tmp_path / "dataset")
    with pytest.raises(BrokenArtifact, match=rf"{place['shard']} was changed: .* cats/007\.png"):
        features(run, dataset=tmp_path / "dataset", features=tmp_path / "features")


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"name": "../../etc/passwd"}, "does not stay inside the folder"),
        ({"name": "/etc/passwd"}, "does not stay inside the folder"),
        ({"name": "cats/002.png"}, "stands twice"),
        ({"shard": "../secret.tar"}, "does not stay inside the folder"),
        ({"shard": "cats/shard.tar"}, "is no shard of this folder"),
        ({"shard": "shard-000099.tar"}, "No such file"),
        ({"size": 10**9}, "does not lie inside shard-000000.tar"),
        ({"offset": -1}, "does not lie inside shard-000000.tar"),
        ({"mode": 1}, "unexpected keyword"),
        ({"name": 5}, "has no attribute"),
        ({"size": "1"}, "not supported"),
    ],
)
def test_an_index_from_outside_is_not_trusted(
    change: dict[str, Any], said: str, tmp_path: Path
) -> None:
    fetched(pictures(tmp_path / "mine"), tmp_path / "raw", plain_files=5)
    index = tmp_path / "raw" / "index.jsonl"
    lines = index.read_text().splitlines()
    lines[2] = json.dumps(json.loads(lines[2]) | change)
    index.write_text("\n".join(lines))
    with pytest.raises(BrokenArtifact, match=rf"line \d: .*{said}") as caught:
        files_of(tmp_path / "raw")
    assert "\n" not in str(caught.value)


def test_a_name_that_is_no_text_is_refused_in_shards_as_in_folders(tmp_path: Path) -> None:
    folder = pictures(tmp_path / "mine")
    try:
        Path(str(folder / "cats" / "b\udcffd.png")).touch()
    except OSError:
        pytest.skip("this file system takes no such name")
    for number, data in enumerate(({}, FEW)):
        run = run_of("image", uri=str(folder), **data)
        with pytest.raises(BadData, match=r"cats/b.*is no plain file name\. Rename it"):
            ingest(run, dataset=tmp_path / str(number))
        assert not (tmp_path / str(number)).exists()


def test_a_file_that_grew_since_it_was_listed_is_whole(tmp_path: Path) -> None:
    small = tmp_path / "a"
    small.write_bytes(b"abc" * 1_000)

    def entry(name: str, size: int) -> transfer.Entry:
        return transfer.Entry(name, size, lambda: small.open("rb"))

    entries = [entry("a.txt", 5), entry("b.txt", 0), entry("c.txt", 10**9)]
    target = transfer.Destination(tmp_path / "raw", 1, 10**10, lambda done, total: None)
    transfer.copy_all(entries, target)
    with tarfile.open(tmp_path / "raw" / "shard-000000.tar") as tar:
        assert [member.size for member in tar.getmembers()] == [3_000] * 3
    assert [file.read() for file in files_of(tmp_path / "raw")] == [small.read_bytes()] * 3


def test_memory_does_not_grow_with_the_data(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(transfer, "HELD_BYTES", 4 * 2**20)
    (tmp_path / "mine").mkdir()
    content = np.random.default_rng(0).bytes(100_000)
    for number in range(400):
        (tmp_path / "mine" / f"{number:04}.bin").write_bytes(content)
    tracemalloc.start()
    fetched(tmp_path / "mine", tmp_path / "raw", plain_files=100, shard_megabytes=8)
    written = tracemalloc.get_traced_memory()[1]
    tracemalloc.reset_peak()
    assert sum(len(file.read()) for file in files_of(tmp_path / "raw")) == 40_000_000
    read = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert written < 12e6
    assert read < 3e6


def test_ingest_runs_where_torch_is_not_installed(tmp_path: Path) -> None:
    code = f"""
import sys
class NotInstalled:
    def find_spec(name, path=None, target=None):
        if name.partition(".")[0] in ("torch", "transformers"):
            raise ModuleNotFoundError(name)
sys.meta_path.insert(0, NotInstalled)
from modelyard.stages import ingest
from modelyard.stages.run import Run
for family in {names()!r}:
    print(ingest(Run.of(family), dataset={str(tmp_path)!r} + "/" + family))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("built-in") == len(names())


def test_an_edit_that_hides_its_time_is_seen(tmp_path: Path) -> None:
    folder = pictures(tmp_path / "mine")
    settings = DataSettings.model_validate({"uri": str(folder), **FEW})
    before = fingerprint(settings, {})
    assert fingerprint(settings, {}) == before
    file = folder / "cats" / "001.png"
    state = file.stat()
    file.write_bytes(bytes(reversed(file.read_bytes())))
    os.utime(file, ns=(state.st_atime_ns, state.st_mtime_ns))
    assert fingerprint(settings, {}) != before


def test_expected_sums_hold_for_files_in_shards(tmp_path: Path) -> None:
    pictures(tmp_path / "mine")
    right = artifact.sha256(tmp_path / "mine" / "cats" / "001.png")
    fetched(tmp_path / "mine", tmp_path / "raw", **FEW, sha256={"cats/001.png": right})
    with pytest.raises(ModelyardError, match=r"cats/002\.png: sha256 is"):
        fetched(tmp_path / "mine", tmp_path / "b", **FEW, sha256={"cats/002.png": right})
