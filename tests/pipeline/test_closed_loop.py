"""The loop as a whole: a service, its traffic and labels, the watcher, a retraining, the swap."""

from __future__ import annotations

import csv
import json
import os
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import numpy as np
import pytest

from tests.pipeline.test_labels import drawn, likely, people
from tests.pipeline.test_watch import wait_for
from tests.service.test_serve import free_port

NAME = "loans"
ROWS = 900
NEW = 60.0
"""By so much income is higher in the traffic that no training saw."""


def command(folder: Path, *words: str) -> str:
    done = subprocess.run(
        [sys.executable, "-m", "modelyard", *words],
        cwd=folder,
        env=environment(folder),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def environment(folder: Path) -> dict[str, str]:
    return os.environ | {"MODELYARD_HOME": str(folder / "runs"), "COLUMNS": "200"}


def paid(income: np.ndarray, age: np.ndarray, seed: int) -> list[str]:
    """The world's answers: among the new, high incomes only the old pay back."""
    usual = drawn(income, age, seed)
    return [
        old if one < 50 + NEW / 2 else ("yes" if years > 45 else "no")
        for old, one, years in zip(usual, income, age, strict=True)
    ]


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """A folder with a champion that knows usual incomes only."""
    income, age = people(ROWS, seed=1)
    with (tmp_path / "loans.csv").open("w", newline="") as stream:
        writer = csv.writer(stream)
        writer.writerow(["income", "age", "paid"])
        writer.writerows(zip(income, age, paid(income, age, seed=2), strict=True))
    settings = ["features.positive=yes", f"registry.name={NAME}", "model.kind=lightgbm"]
    settings += ["data.labels=runs/predictions/tabular"]
    words = [word for setting in settings for word in ("--set", setting)]
    command(tmp_path, "run", "tabular", "--data", "loans.csv", "--target", "paid", *words)
    return tmp_path


@contextmanager
def serving(folder: Path) -> Iterator[str]:
    """The address of `modelyard serve NAME`."""
    port = free_port()
    process = subprocess.Popen(
        [sys.executable, "-m", "modelyard", "serve", NAME, "--port", str(port)],
        cwd=folder,
        env=environment(folder) | {"MODELYARD_LOG_REQUESTS": "on"},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    address = f"http://127.0.0.1:{port}"

    def ready() -> bool:
        try:
            return httpx.get(f"{address}/readyz").status_code == 200
        except httpx.TransportError:
            return False

    try:
        wait_for(ready)
        yield address
    finally:
        process.terminate()
        process.wait(60)


def ask(address: str, call: str, income: np.ndarray, age: np.ndarray) -> list[dict]:
    body = [
        {"income": float(one), "age": float(other)} for one, other in zip(income, age, strict=True)
    ]
    reply = httpx.post(f"{address}/predict", json=body, headers={"x-request-id": call}, timeout=60)
    assert reply.status_code == 200, reply.text
    return reply.json()


def label(address: str, call: str, labels: list[str]) -> None:
    body = [{"id": f"{call}-{number}", "label": one} for number, one in enumerate(labels)]
    reply = httpx.post(f"{address}/feedback", json=body, timeout=60)
    assert reply.status_code in (200, 202), reply.text


def written(folder: Path, rows: int, labels: int) -> None:
    """Waits until the log holds so many answers and labels."""
    import duckdb

    def counted(pattern: str) -> int:
        files = [str(file) for file in (folder / "runs/predictions/tabular").glob(pattern)]
        if not files:
            return 0
        query = "SELECT count(*) FROM read_parquet($files, union_by_name = true)"
        return int(duckdb.connect().execute(query, {"files": files}).fetchall()[0][0])

    wait_for(
        lambda: (
            counted("date=*/*/*.parquet") >= rows
            and counted("feedback/date=*/*/*.parquet") >= labels
        ),
        120,
    )


def watch(folder: Path, *settings: str) -> str:
    words = [word for setting in settings for word in ("--set", setting)]
    return command(folder, "watch", NAME, "--once", "--set", "monitor.cooldown_hours=0", *words)


def champion(folder: Path) -> dict:
    deployments = sorted((folder / "runs").glob("*/*/deployment/deployment.json"))
    found = [json.loads(file.read_text()) for file in deployments]
    return [one for one in found if one["champion"]][-1]


class Caller(threading.Thread):
    """Asks again and again, and counts how it was answered."""

    def __init__(self, address: str) -> None:
        super().__init__()
        self.address, self.over = address, threading.Event()
        self.seen: Counter[int | str] = Counter()
        self.packages: list[str] = []

    def run(self) -> None:
        with httpx.Client(base_url=self.address, timeout=60) as client:
            while not self.over.is_set():
                try:
                    reply = client.post("/predict", json={"income": 50.0, "age": 40.0})
                except httpx.TransportError as error:
                    self.seen[type(error).__name__] += 1
                    continue
                self.seen[reply.status_code] += 1
                version = reply.headers["x-modelyard-package"]
                if version not in self.packages:
                    self.packages.append(version)
                time.sleep(0.05)


def test_new_traffic_with_labels_is_learned_once_and_the_service_swaps_without_a_failed_request(
    place,
):
    with serving(place) as address:
        income, age = people(300, seed=3)
        ask(address, "usual", income, age)
        label(address, "usual", paid(income, age, seed=4))
        written(place, 300, 300)
        said = watch(place)
        assert "stable over 300 rows" in said
        assert champion(place)["version"] == "1"

        income, age = people(500, seed=5, shift=NEW)
        before = ask(address, "new", income, age)
        label(address, "new", paid(income, age, seed=6))
        written(place, 800, 800)
        caller = Caller(address)
        caller.start()
        try:
            said = watch(place)
            made = champion(place)
            assert (made["version"], made["previous"]) == ("2", "1"), said
            assert "labelled requests" in made["reason"]
            wait_for(lambda: len(caller.packages) == 2, 60)
        finally:
            caller.over.set()
            caller.join()
        assert set(caller.seen) == {200}

        truth = paid(income, age, seed=6)
        after = ask(address, "again", income, age)
        right = [
            np.mean([one["label"] == other for one, other in zip(answers, truth, strict=True)])
            for answers in (before, after)
        ]
        assert right[1] > 0.9 > right[0] + 0.2
        income, age = people(300, seed=10)
        ask(address, "usual again", income, age)
        written(place, 1_600, 800)
        said = watch(place)
        assert "stable over" in said
        assert champion(place)["version"] == "2"
        assert len(list((place / "runs").glob("*/*/model"))) == 2


@pytest.mark.slow
def test_a_challenger_that_is_worse_on_labelled_requests_stays_out(place):
    """It is one tree with two leaves."""
    with serving(place) as address:
        income, age = people(400, seed=7, shift=15)
        ask(address, "richer", income, age)
        label(address, "richer", drawn(income, age, seed=8))
        written(place, 400, 400)
    said = watch(place, "model.trees=1", "model.max_leaves=2")
    assert champion(place)["version"] == "1", said
    (kept,) = [
        json.loads(file.read_text())
        for file in (place / "runs").glob("*/*/deployment/deployment.json")
        if not json.loads(file.read_text())["champion"]
    ]
    assert kept["reason"].startswith("kept version 1: version 2 has roc_auc")
    assert "labelled requests" in kept["reason"]


@pytest.mark.slow
def test_labels_that_come_late_and_out_of_order_are_learned_when_they_come(place):
    """The same incomes, and an answer that changed: the requests alone show no drift."""
    with serving(place) as address:
        income, age = people(500, seed=9)
        ask(address, "quiet", income, age)
        written(place, 500, 0)
        assert "stable over 500 rows" in watch(place)
        truth = [
            "yes" if likely(one, years) < 0.5 else "no"
            for one, years in zip(income, age, strict=True)
        ]
        order = np.random.default_rng(0).permutation(500)
        wrong = [{"id": f"quiet-{at}", "label": "yes"} for at in order[:100].tolist()]
        late = [{"id": f"quiet-{at}", "label": truth[at]} for at in order.tolist()]
        for part in (wrong, late[:250], late[250:]):
            assert httpx.post(f"{address}/feedback", json=part, timeout=60).status_code in (
                200,
                202,
            )
        written(place, 500, 600)
    # The old rows say the opposite: a window of them, and what they taught may be lost.
    said = watch(place, "registry.most_lost=1", "features.newest_rows=100")
    assert "(error)" in said
    assert champion(place)["version"] == "2", said
