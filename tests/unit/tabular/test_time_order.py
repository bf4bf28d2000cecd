"""Rows in time order are split by time where the target follows it, and it is said."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from pydantic import ValidationError

from modelyard.errors import BadData, UsageError
from modelyard.families.tabular import divide
from modelyard.families.tabular.config import TabularConfig
from modelyard.families.tabular.table import BY_TIME, load_split
from tests.unit.tabular.conftest import SPLITS, built, customers, make, write


def sales(days: int = 600, seed: int = 0) -> pd.DataFrame:
    """Daily sales that wander: tomorrow's are near today's."""
    r = np.random.default_rng(seed)
    return pd.DataFrame(
        {
            "day": pd.date_range("2021-01-01", periods=days).strftime("%Y-%m-%d"),
            "promo": r.integers(0, 2, days),
            "temp": np.round(r.normal(15, 8, days), 1),
            "sales": np.round(100 + np.cumsum(r.normal(0, 4, days)), 2),
        }
    )


def signups(rows: int = 900, seed: int = 0) -> pd.DataFrame:
    """Customers in the order in which they came, several a day or none for days; older ones have
    spent more."""
    r = np.random.default_rng(seed)
    days = np.sort(r.integers(0, 700, rows))
    return pd.DataFrame(
        {
            "signed_up": (pd.Timestamp("2024-01-01") + pd.to_timedelta(days, unit="D")).strftime(
                "%Y-%m-%d"
            ),
            "age": r.integers(18, 90, rows),
            "spent": np.round(r.gamma(2.0, 20.0, rows) + (700 - days), 2),
            "churn": np.where(r.random(rows) < 0.2 + 0.3 * days / 700, "left", "stayed"),
        }
    )


def _ends(out: Path, column: str) -> list[tuple[Any, Any]]:
    cells = [pd.read_parquet(out / f"{split}.parquet")[column] for split in SPLITS]
    return [(cell.min(), cell.max()) for cell in cells]


def _is_by_time(out: Path, column: str) -> bool:
    train, validation, test = _ends(out, column)
    return bool(train[1] < validation[0] and validation[1] < test[0])


def test_a_daily_series_is_split_by_its_day_and_the_stage_says_how_to_undo_it(
    tmp_path: Path,
) -> None:
    summary, out = built(tmp_path, write(tmp_path, sales()), target="sales")
    assert _is_by_time(out, "day")
    assert "by day" in summary["headline"]
    assert "--set features.split=random" in summary["headline"]
    summary, out = built(tmp_path, write(tmp_path, sales()), target="sales", split="random")
    assert not _is_by_time(out, "day")
    assert "day" not in summary["headline"]


@pytest.mark.parametrize(
    "frame",
    [
        sales()[::-1],
        sales().assign(day=np.arange(5, 605)),
        sales()[lambda frame: pd.to_datetime(frame["day"]).dt.weekday < 5],
        pd.concat([sales(300, seed).assign(shop=f"s{seed}") for seed in range(4)]),
        pd.concat([sales(300, seed).assign(shop=f"s{seed}") for seed in range(4)]).sort_values(
            "day", kind="stable"
        ),
    ],
    ids=["latest first", "numbered", "working days", "shops below each other", "shops by day"],
)
def test_a_series_is_recognised_however_it_lies_in_the_file(
    tmp_path: Path, frame: pd.DataFrame
) -> None:
    _, out = built(tmp_path, write(tmp_path, frame), target="sales")
    assert _is_by_time(out, "day")


def test_a_class_that_lasts_is_a_series_too(tmp_path: Path) -> None:
    r = np.random.default_rng(3)
    times = pd.date_range("2025-05-01", periods=1500, freq="min")
    # People come and go many times, and stay for a while each time.
    frame = pd.DataFrame(
        {
            "time": times.strftime("%Y-%m-%d %H:%M:%S"),
            "co2": r.normal(500, 40, 1500),
            "occupied": np.where(np.sin(np.arange(1500) / 12) > 0.2, "yes", "no"),
        }
    )
    _, out = built(tmp_path, write(tmp_path, frame), target="occupied")
    assert _is_by_time(out, "time")


@pytest.mark.parametrize("target", ["churn", "spent"])
def test_customers_in_the_order_of_their_sign_up_are_split_at_random(
    tmp_path: Path, target: str
) -> None:
    frame = signups()[["signed_up", "age", target]]
    summary, out = built(tmp_path, write(tmp_path, frame), target=target)
    assert not _is_by_time(out, "signed_up")
    said = " ".join([summary["headline"], *summary["notes"]])
    assert "in the order of signed_up" in said
    assert "--set features.time_column=signed_up" in said
    # What rises along the date is said where everyone reads it.
    assert ("signed_up" in summary["headline"]) == (target == "spent")


def test_rows_in_no_order_of_time_are_split_at_random_without_a_word(tmp_path: Path) -> None:
    summary, _ = built(tmp_path, write(tmp_path, customers()), target="churn")
    assert "joined" not in " ".join([summary["headline"], *summary["notes"]])


def test_a_class_that_only_begins_late_leaves_the_split_random_and_says_why(tmp_path: Path) -> None:
    frame = sales().assign(sales=np.where(np.arange(600) < 500, "low", "high"))
    summary, out = built(tmp_path, write(tmp_path, frame), target="sales")
    assert not _is_by_time(out, "day")
    assert "without class 'high'" in summary["headline"]
    # Nor are folds and intervals drawn as if rows were in the order of time.
    assert not (out / BY_TIME).exists()


def test_a_split_by_time_can_be_wanted_without_naming_the_column(tmp_path: Path) -> None:
    _, out = built(tmp_path, write(tmp_path, customers()), target="churn", split="time")
    assert _is_by_time(out, "joined")
    two = customers().assign(left=lambda frame: frame["joined"].to_numpy()[::-1])
    with pytest.raises(UsageError, match=r"features\.time_column=NAME"):
        built(tmp_path, write(tmp_path, two), target="churn", split="time")


def test_a_random_split_by_a_named_column_is_refused() -> None:
    with pytest.raises(ValidationError, match=r"features\.time_column=null"):
        TabularConfig.model_validate({"features": {"split": "random", "time_column": "day"}})
    assert make(split="random").config.features.time_column is None


def test_the_order_of_a_left_out_date_counts_too(tmp_path: Path) -> None:
    summary, out = built(tmp_path, write(tmp_path, sales()), target="sales", drop=("day",))
    assert "by day" in summary["headline"]
    assert "day" not in pd.read_parquet(out / "train.parquet")


def test_the_reference_of_a_split_by_time_comes_from_all_of_it(tmp_path: Path) -> None:
    _, out = built(tmp_path, write(tmp_path, sales()), target="sales")
    found, truths = make(target="sales").reference(out, 20)
    assert truths is not None
    assert len(found) == len(truths) == 20
    test = pd.read_parquet(out / "test.parquet")
    days = [pd.Timestamp(body["day"]) for body in found]
    assert (min(days), max(days)) == (test["day"].min(), test["day"].max())
    assert days == sorted(set(days))
    for body, truth in zip(found, truths, strict=True):
        row = test["day"] == pd.Timestamp(body["day"])
        assert test.loc[row, "temp"].item() == body["temp"]
        assert load_split(out, "test")[1][row.to_numpy()].item() == truth


@pytest.mark.parametrize(("test_share", "validation_share"), [(0.1, 0.3), (0.2, 0.3)])
def test_many_last_rows_of_one_time_are_the_test_split(
    test_share: float, validation_share: float
) -> None:
    """A file may end with a dump of one day. The nearest border is its end, behind which is nothing."""
    last = round(100 * (1 - test_share - validation_share)) + 5
    times = np.concatenate([np.arange(last), np.full(100 - last, last)])
    settings = TabularConfig.model_validate(
        {"features": {"test_share": test_share, "validation_share": validation_share}}
    ).features
    rows = divide.by_time(settings, times.astype(float))
    assert np.array_equal(rows["test"], np.arange(last, 100))
    assert len(rows["validation"]) == 5


def test_a_class_that_the_newest_rows_lack_is_named_with_the_setting(tmp_path: Path) -> None:
    frame = customers()
    frame = frame.sort_values("churn", kind="stable")
    with pytest.raises(BadData, match="without class 'left'") as error:
        built(tmp_path, write(tmp_path, frame), target="churn", newest_rows=100)
    assert "features.newest_rows" in str(error.value)
    assert "by time" not in str(error.value)
