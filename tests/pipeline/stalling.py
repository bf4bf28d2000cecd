"""A straight line that stops halfway through the stage named by a file, so that a test can kill
it there."""

import time
from pathlib import Path

from modelyard.family import Entry
from tests.toy.family import LineConfig, LineFamily, LineHost

SWITCH = Path("stall-in")


def stall(stage: str, half: Path | None = None) -> None:
    if SWITCH.is_file() and SWITCH.read_text() == stage:
        if half is not None:
            (half / "half-written").write_text("x")
        Path("stalled").touch()
        time.sleep(120)


class StallingHost(LineHost):
    def __init__(self, assets):
        stall("monitor")
        super().__init__(assets)


class StallingFamily(LineFamily):
    def sample(self, raw):
        super().sample(raw)
        stall("ingest", raw)

    def features(self, raw, out):
        summary = super().features(raw, out)
        stall("features", out)
        return summary

    def fit(self, features, out, trainer):
        summary = super().fit(features, out, trainer)
        stall("train", out)
        return summary

    def evaluate(self, host, run, features, split="test"):
        if split == "test":
            stall("evaluate")
        return super().evaluate(host, run, features, split)

    def graphs(self, model):
        stall("export")
        return super().graphs(model)

    def requests(self, features, split, limit=None):
        if split == "test":
            stall("package")
        return super().requests(features, split, limit)


Stalling = Entry(
    "straight line that stops halfway", LineConfig, build=StallingFamily, host=StallingHost
)
