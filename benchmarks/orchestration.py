"""What a pipeline costs beyond its work: `python benchmarks/orchestration.py [--rounds 5]`.

Seven steps that do nothing by modelyard, kfp.local, Metaflow, ZenML and `dvc repro`; then the
built-in table by `modelyard run tabular` next to one plain script that does the same work, and the
run that finds nothing changed. Whole processes, interleaved; medians, and ratios to modelyard.
Metaflow and ZenML are installed into environments of their own, below `benchmarks/.peers`.
"""

from __future__ import annotations

import argparse
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

HERE = Path(__file__).parent
SCRIPTS = HERE / "orchestrated"
PEERS = {"metaflow": "metaflow", "zenml": "zenml[local]"}
BIN = Path(sys.executable).parent
QUIET = {
    "DVC_NO_ANALYTICS": "1",
    "METAFLOW_USER": "benchmark",
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "MODELYARD_HOME": "runs",
    "ZENML_ANALYTICS_OPT_IN": "false",
    "ZENML_LOGGING_VERBOSITY": "ERROR",
    "OMP_WAIT_POLICY": "PASSIVE",
    "USERNAME": "benchmark",
}
DVC_STAGES = "stages:\n" + "".join(
    f"  step{number}:\n    cmd: python -c pass\n    outs: []\n    deps: []\n    always_changed: true\n"
    for number in range(7)
)


@dataclass(frozen=True)
class Contender:
    """A way to do the same work."""

    name: str
    command: Sequence[str]


def main() -> None:
    options = argparse.ArgumentParser()
    options.add_argument("--rounds", type=int, default=5)
    options.add_argument("--without", nargs="*", default=[], choices=sorted(PEERS))
    given = options.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        work = Path(folder)
        os.environ.update(QUIET)
        os.environ["ZENML_CONFIG_PATH"] = str(work / "zenml")
        os.environ["METAFLOW_HOME"] = str(work / "metaflow")
        empty = prepare_empty(work / "empty", given.without)
        show("seven steps that do nothing", measure(work / "empty", empty, given.rounds))
        table = prepare_table(work / "table")
        show("the built-in table", measure(work / "table", table, given.rounds))


def prepare_empty(folder: Path, without: Sequence[str]) -> list[Contender]:
    """A folder with the pipelines, and who runs them."""
    shutil.copytree(SCRIPTS, folder)
    run([sys.executable, "empty_kfp.py"], folder)
    (folder / "dvc.yaml").write_text(DVC_STAGES)
    run([str(BIN / "dvc"), "init", "--no-scm", "--quiet"], folder)
    found = [
        Contender("modelyard", [sys.executable, "by_modelyard.py"]),
        Contender("dvc repro", [str(BIN / "dvc"), "repro", "--force", "--quiet"]),
        Contender("kfp.local", [sys.executable, "by_kfp.py"]),
    ]
    for name in PEERS:
        if name not in without:
            arguments = ["run"] if name == "metaflow" else []
            found.append(Contender(name, [str(peer(name)), f"by_{name}.py", *arguments]))
    return found


def prepare_table(folder: Path) -> list[Contender]:
    """A folder with the built-in table, and who takes it to a registered model."""
    folder.mkdir()
    run([sys.executable, "-c", _SAMPLE], folder)
    modelyard = [sys.executable, "-m", "modelyard", "run", "tabular"]
    return [
        Contender("modelyard run tabular", [*modelyard, "--fresh"]),
        Contender("one plain script", [sys.executable, str(SCRIPTS / "plain.py")]),
        Contender("modelyard, nothing changed", modelyard),
    ]


_SAMPLE = """
from sklearn.datasets import load_breast_cancer
data = load_breast_cancer(as_frame=True)
table = data.frame.rename(columns={"target": "diagnosis"})
table["diagnosis"] = data.target_names[data.target]
table.to_csv("data.csv", index=False)
"""


def peer(name: str) -> Path:
    """The interpreter of an environment that holds a peer."""
    environment = HERE / ".peers" / name
    python = environment / "bin" / "python"
    if not (environment / ".ready").is_file():
        uv = str(BIN / "uv")
        run([uv, "venv", "--quiet", "--clear", "--python", sys.executable, str(environment)])
        run([uv, "pip", "install", "--quiet", "--python", str(python), PEERS[name]])
        run([str(python), "-m", "compileall", "-q", str(environment / "lib")], check=False)
        (environment / ".ready").touch()
    return python


def measure(folder: Path, contenders: Sequence[Contender], rounds: int) -> dict[str, list[float]]:
    """Seconds of each round by contender, after one round that warms up."""
    seconds: dict[str, list[float]] = {one.name: [] for one in contenders}
    for number in range(rounds + 1):
        for one in contenders:
            start = time.perf_counter()
            run(one.command, folder)
            if number:
                seconds[one.name].append(time.perf_counter() - start)
    return seconds


def run(command: Sequence[str], folder: Path | None = None, check: bool = True) -> None:
    """A command to its end; what it printed is shown if it fails."""
    done = subprocess.run(
        command,
        cwd=folder,
        check=False,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    if check and done.returncode:
        sys.exit(f"{' '.join(command)} failed:\n{done.stdout[-3000:]}")


def show(title: str, seconds: dict[str, list[float]]) -> None:
    """Medians, spread, and ratios to the first."""
    print(f"\n{title}")
    first = statistics.median(next(iter(seconds.values())))
    for name, values in seconds.items():
        median = statistics.median(values)
        spread = f"{min(values):.2f} to {max(values):.2f}"
        print(f"  {name:<28} {median:6.2f} s   {median / first:5.2f}×   ({spread})")


if __name__ == "__main__":
    main()
