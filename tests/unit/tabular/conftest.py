"""A table of customers, and the way from a file to features."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import threadpoolctl

from modelyard.families.tabular.config import TabularConfig
from modelyard.families.tabular.family import Tabular
from modelyard.families.tabular.schema import TableSchema
from modelyard.settings.family import resolve

WORDS = [
    "late",
    "parcel",
    "broken",
    "box",
    "friendly",
    "call",
    "refund",
    "order",
    "quick",
    "wrong",
    "size",
    "again",
]
POSITIVE = "; positive class: left (the rarer one, 84 of 400)"
"""What the features line says of `customers()`."""
SPLITS = ("train", "validation", "test")


@pytest.fixture(scope="module")
def one_thread() -> Iterator[None]:
    """Data this small is fitted faster by one thread than by several that wait for each other."""
    with pytest.MonkeyPatch.context() as patch, threadpoolctl.threadpool_limits(1):
        patch.setenv("OMP_NUM_THREADS", "1")
        yield


def make(uri: str | None = "mine", **features: Any) -> Tabular:
    return Tabular(resolve(TabularConfig, ("--set", {"features": features, "data": {"uri": uri}})))


def customers(rows: int = 400, seed: int = 0) -> pd.DataFrame:
    r = np.random.default_rng(seed)
    days = pd.to_timedelta(r.integers(0, 700 * 86_400, rows), unit="s")
    frame = pd.DataFrame(
        {
            "customer": [f"C{n:06d}" for n in r.permutation(rows)],
            "age": r.integers(18, 90, rows),
            "income": np.round(r.lognormal(10, 0.6, rows), 2),
            "city": r.choice(["Paris", "Köln", "Oslo"], rows, p=[0.5, 0.3, 0.2]),
            "joined": (pd.Timestamp("2024-01-01") + days).strftime("%Y-%m-%dT%H:%M:%S"),
            "member": r.choice(["true", "false"], rows),
            "note": [" ".join(r.choice(WORDS, 6)) for _ in range(rows)],
            "unit": "EUR",
        }
    )
    frame.loc[r.random(rows) < 0.1, "income"] = np.nan
    frame.loc[r.random(rows) < 0.1, "city"] = None
    frame["churn"] = np.where(r.random(rows) < 0.15 + 0.3 * (frame["age"] < 30), "left", "stayed")
    return frame


def built(tmp_path: Path, data: Path, **features: Any) -> tuple[dict[str, Any], Path]:
    out = tmp_path / "features"
    out.mkdir(exist_ok=True)
    return make(**features).features(data, out), out


def further(notes: list[str]) -> list[str]:
    """Those that do not speak of the positive class."""
    return [note for note in notes if not note.startswith("Of two classes")]


def write(tmp_path: Path, frame: pd.DataFrame, **options: Any) -> Path:
    file = tmp_path / "raw" / "customers.csv"
    file.parent.mkdir(exist_ok=True)
    frame.to_csv(file, index=False, **options)
    return file


def roles(out: Path) -> dict[str, str]:
    return {column.name: column.role for column in TableSchema.load(out / "assets").columns}
