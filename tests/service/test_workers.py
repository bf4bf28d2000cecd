"""Workers that are killed while they answer are replaced; a killed command leaves nothing
behind."""

from __future__ import annotations

import asyncio
import os
import random
import shutil
import signal
import socket
import time
from pathlib import Path

import httpx
import pytest
from prometheus_client.mmap_dict import MmapedDict

from tests.service.test_serve import alive, children, served
from tests.service.test_swap import shifted

pytestmark = pytest.mark.timed

LONGEST_WAIT = 20.0
"""Seconds until a new worker answers, on a machine that has much else to do; one that is never
replaced would not answer at all."""


def answered(work: Path, worker: int) -> float:
    """Requests that this very process has answered with 200, as it counts them itself."""
    total = 0.0
    for file in work.glob(f"modelyard-serve-*/counter_{worker}.db"):
        for key, value, *_ in MmapedDict.read_all_values_from_file(str(file)):
            if "modelyard_requests" in key and '"200"' in key:
                total += value
    return total


async def ask(address: str, statuses: list[int], stop: asyncio.Event) -> None:
    """Asks on a connection of its own each time, until it is stopped; a broken connection is no
    answer."""
    while not stop.is_set():
        try:
            async with httpx.AsyncClient(base_url=address, timeout=10) as client:
                reply = await client.post("/predict", json={"amount": 1.0})
                statuses.append(reply.status_code)
        except httpx.TransportError:
            statuses.append(0)
        await asyncio.sleep(0.005)


async def killed_under_load(
    process, address: str, work: Path, times: int, seed: int
) -> tuple[list[int], list[float]]:
    """Statuses of all requests, and for each kill the seconds until a new worker had answered
    one."""
    statuses: list[int] = []
    waits: list[float] = []
    stop, rng = asyncio.Event(), random.Random(seed)
    asking = [asyncio.ensure_future(ask(address, statuses, stop)) for _ in range(4)]
    for _ in range(times):
        await asyncio.sleep(rng.uniform(0.05, 0.5))
        before = children(process.pid)
        os.kill(rng.choice(before), signal.SIGKILL)
        start = time.monotonic()
        while time.monotonic() < start + LONGEST_WAIT:
            new = [one for one in children(process.pid) if one not in before]
            if len(new) == 1 and answered(work, new[0]):
                break
            await asyncio.sleep(0.02)
        waits.append(time.monotonic() - start)
    stop.set()
    await asyncio.gather(*asking)
    return statuses, waits


@pytest.mark.parametrize("times", [3, pytest.param(20, marks=pytest.mark.slow)])
def test_each_killed_worker_is_replaced_by_one_that_answers_and_no_other_request_fails(
    payments_path, tmp_path, times
):
    work = tmp_path / "work"
    work.mkdir()
    with served(payments_path, tmp_path / "log", workers=2, TMPDIR=str(work)) as (process, address):
        statuses, waits = asyncio.run(killed_under_load(process, address, work, times, seed=times))
        workers = children(process.pid)
        assert len(workers) == 2
        process.send_signal(signal.SIGTERM)
        assert process.wait(40) == 0
    assert max(waits) < LONGEST_WAIT, waits
    assert set(statuses) <= {0, 200}, "a request outside the killed worker got an error"
    # Four clients ask one after another: a kill breaks off what the dead worker held, four requests
    # at most.
    assert statuses.count(0) <= 4 * times
    assert statuses.count(200) > 20 * times
    assert not any(map(alive, workers))
    assert list(work.glob("modelyard*")) == []


@pytest.mark.parametrize("times", [1, pytest.param(20, marks=pytest.mark.slow)])
def test_a_killed_command_leaves_neither_processes_nor_files_nor_a_taken_port(
    payments_path, tmp_path, times
):
    work = tmp_path / "work"
    work.mkdir()
    for _ in range(times):
        with served(payments_path, tmp_path / "log", workers=2, TMPDIR=str(work)) as (
            process,
            address,
        ):
            workers = children(process.pid)
            assert len(workers) == 2
            assert len(list(work.glob("modelyard*"))) == 1
            process.kill()
            process.wait()
            deadline = time.monotonic() + 10
            while any(map(alive, workers)) and time.monotonic() < deadline:
                time.sleep(0.05)
            assert not any(map(alive, workers))
            assert list(work.glob("modelyard*")) == []
            with socket.socket() as probe:
                probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                probe.bind(("127.0.0.1", int(address.rpartition(":")[2])))


def test_all_workers_killed_at_once_are_all_replaced(payments_path, tmp_path):
    with served(payments_path, tmp_path, workers=2) as (process, address):
        first = children(process.pid)
        for worker in first:
            os.kill(worker, signal.SIGKILL)
        deadline = time.monotonic() + 10
        status = 0
        while status != 200 and time.monotonic() < deadline:
            try:
                status = httpx.post(
                    f"{address}/predict", json={"amount": 1.0}, timeout=5
                ).status_code
            except httpx.TransportError:
                time.sleep(0.05)
        assert status == 200
        assert not set(first) & set(children(process.pid))


def test_after_a_breaking_swap_a_new_worker_begins_with_the_new_package(line_path, tmp_path):
    new = shifted(line_path, tmp_path / "v1", "v1", 100.0)
    header = {"authorization": "Bearer secret"}
    with served(line_path, tmp_path / "log", workers=2, MODELYARD_TOKEN="secret") as (
        process,
        address,
    ):
        body = {"package": str(new), "breaking": True}
        swapped = httpx.post(f"{address}/admin/swap", json=body, headers=header, timeout=20)
        assert swapped.json() == {"package": "v1"}
        for worker in children(process.pid):
            os.kill(worker, signal.SIGKILL)
        version = None
        deadline = time.monotonic() + LONGEST_WAIT
        while version is None and time.monotonic() < deadline:
            try:
                reply = httpx.post(f"{address}/predict", json={"x": 1.0}, headers=header)
                version = reply.headers["x-modelyard-package"]
            except httpx.TransportError:
                time.sleep(0.05)
        assert version == "v1"


def test_where_no_worker_can_start_any_more_the_command_ends_with_the_cause(
    payments_path, tmp_path
):
    package = tmp_path / "package"
    shutil.copytree(payments_path, package)
    with served(package, tmp_path / "log", workers=2) as (process, _):
        shutil.rmtree(package)
        for worker in children(process.pid):
            os.kill(worker, signal.SIGKILL)
        assert process.wait(60) != 0
        told = process.stderr.read()
    assert "no worker is left and 5 in a row did not start" in told
    assert str(package) in told.splitlines()[-1]
