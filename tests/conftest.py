"""Fixtures of several folders of tests."""

from __future__ import annotations

import gc
import os
from collections.abc import Iterator

import pytest

from tests.browser import CHROMIUM, Browser, started


@pytest.fixture(scope="session")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    """A headless Chromium; a test that needs one is skipped where there is none."""
    if CHROMIUM is None:
        pytest.skip("needs chromium")
    with started(tmp_path_factory.mktemp("chromium")) as browser:
        yield browser


LONG = (
    "tests/unit/text/test_text_pretrained.py",
    "tests/unit/test_scaffold.py",
    "tests/unit/test_shards.py",
    "tests/unit/tabular/test_regression_target.py",
    "tests/training/test_stage.py",
    "tests/tuning/test_search.py",
)
"""Files late in the alphabet that take more than 20 seconds. A worker takes whole files: one that
begins such a file at the end leaves the others idle."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Long files come first. What holds bounds in seconds is tried three times before it counts as
    failed: another job on the same cores is no error of the code, and one in the code fails each
    time."""
    items.sort(key=lambda item: not item.nodeid.startswith(LONG))
    for item in items:
        if item.get_closest_marker("timed") is not None:
            item.add_marker(pytest.mark.flaky(reruns=2, reruns_delay=5))


def pytest_configure(config: pytest.Config) -> None:
    """The tests' own families are from outside modelyard: packages of them are opened here and
    in processes started from here, as an operator lets them who names them. The machine's cores
    are shared among the workers: torch's threads wait for one that has no core, and training of
    small models takes up to six times the time."""
    # The process that starts the workers hands its environment on to them.
    workers = config.getoption("numprocesses", None) or os.environ.get("PYTEST_XDIST_WORKER_COUNT")
    threads = max(1, (os.cpu_count() or 1) // int(workers or 1))
    os.environ.setdefault("OMP_NUM_THREADS", str(threads))
    ours = [
        "toy.family:Line",
        "service.grinding:Grinder",
        "service.payments:Payments",
        "service.shaped:Shaped",
        "service.telling:Teller",
    ]
    os.environ["MODELYARD_FAMILIES"] = ",".join(f"tests.{name}" for name in ours)
    # Reading the tests makes millions of objects that stay: looking for garbage among them is a
    # quarter of that time, and then a part of every test's.
    gc.disable()
    # It looks through all modules that are loaded: before the others that is cheap.
    import skops.io  # noqa: F401


def pytest_collection_finish() -> None:
    """What collecting made is never looked at again."""
    gc.freeze()
    gc.enable()
