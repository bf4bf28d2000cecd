"""Requests whose label came are rows of the table: they add to its splits and change none of them."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pyarrow.parquet
import pytest

from modelyard.families.tabular.config import TabularConfig
from modelyard.families.tabular.data import TabularData
from modelyard.families.tabular.labelled import load_mask
from modelyard.judging.evaluation import DATA, LABELLED, Evaluation, Group
from modelyard.settings.family import RegistrySettings
from modelyard.stages.challenge import compare
from modelyard.store.labelled import LabelledRequest, labelled_of, write_labelled

ROWS = 120
HEADER = ["amount", "since", "online", "plan", "note", "gone"]


def row(number: int) -> list[str]:
    plan = ("basic", "plus", "pro")[number % 3]
    online = ("true", "false")[number % 2]
    note = f"customer {number} asked for the invoice again and for a refund of the fee"
    return [
        str(10 + number / 4).replace(".", ","),
        f"{1 + number % 28:02d}.03.2025",
        online,
        plan,
        note,
        ("1", "0")[number % 5 < 2],
    ]


def body(number: int, **changes) -> dict:
    found = {
        "amount": 10 + number / 4,
        "since": f"2025-04-{1 + number % 28:02d}T10:00:00",
        "online": number % 2 == 0,
        "plan": "plus",
        "note": f"late request {number} of a customer who asked for the invoice",
    }
    return found | changes


@pytest.fixture
def dataset(tmp_path: Path) -> Path:
    """A table with German numbers and dates, `;` between its cells."""
    raw = tmp_path / "dataset" / "raw"
    raw.mkdir(parents=True)
    with (raw / "data.csv").open("w", newline="") as stream:
        writer = csv.writer(stream, delimiter=";")
        writer.writerow(HEADER)
        writer.writerows(row(number) for number in range(ROWS))
    return tmp_path / "dataset"


def read(dataset: Path, out: Path, requests: list[LabelledRequest], **features) -> dict:
    out.mkdir()
    (dataset / "labelled.jsonl").unlink(missing_ok=True)
    if requests:
        write_labelled(dataset, requests)
    config = TabularConfig.model_validate(
        {
            "data": {"uri": "data.csv"},
            "features": {"target": "gone", "split": "random"} | features,
        }
    )
    return TabularData(config).features(dataset / "raw", out)


def asked(number: int, label: str = "1", **changes) -> LabelledRequest:
    return LabelledRequest(
        id=f"r{number}", time="2026-01-01T00:00:00", request=body(number, **changes), label=label
    )


def cells(out: Path, split: str) -> list[dict]:
    return pyarrow.parquet.read_table(out / f"{split}.parquet").to_pylist()


def test_requests_are_written_and_read_in_their_order(dataset):
    assert labelled_of(dataset / "raw") == []
    requests = [asked(number) for number in range(3)]
    write_labelled(dataset, requests)
    assert labelled_of(dataset / "raw") == requests


def test_labelled_requests_join_each_split_and_the_table_keeps_its_own(dataset, tmp_path):
    read(dataset, tmp_path / "plain", [])
    summary = read(dataset, tmp_path / "more", [asked(number) for number in range(40)])
    assert summary["dropped"] == {}
    assert "40 labelled requests among the rows" in summary["headline"]
    total = 0
    for split in ("train", "validation", "test"):
        before, after = cells(tmp_path / "plain", split), cells(tmp_path / "more", split)
        mask = load_mask(tmp_path / "more", split)
        assert [one for one, new in zip(after, mask, strict=True) if not new] == before
        assert mask.sum() >= 2
        total += int(mask.sum())
        x = np.load(tmp_path / "more" / f"{split}.npz")["x"]
        assert len(x) == len(after)
    assert total == 40
    assert load_mask(tmp_path / "plain", "test") is None


def test_a_requests_values_are_those_of_the_table(dataset, tmp_path):
    # the same row once in the table's own notation and once as a request
    read(dataset, tmp_path / "out", [asked(number, since="2025-03-05") for number in range(12)])
    table, more = [], []
    for split in ("train", "validation", "test"):
        x = np.load(tmp_path / "out" / f"{split}.npz")["x"]
        mask = load_mask(tmp_path / "out", split)
        for one, encoded, new in zip(cells(tmp_path / "out", split), x, mask, strict=True):
            (more if new else table).append((one, encoded))
    (own,) = [pair for pair in table if pair[0]["amount"] == 11.0]
    (same,) = [pair for pair in more if pair[0]["amount"] == 11.0]
    assert own[0]["since"] == same[0]["since"]
    assert own[0]["online"] == same[0]["online"]
    assert own[0]["plan"] == same[0]["plan"] == "plus"
    close = np.isclose(own[1], same[1])
    assert close.mean() > 0.8, "all but the note's words are equal"


def test_what_does_not_fit_the_table_is_left_out_and_counted(dataset, tmp_path):
    requests = [
        *[asked(number) for number in range(20)],
        asked(20, label="maybe"),
        asked(21, amount="a lot"),
        asked(22, amount=None),
        asked(23, label="0.0"),
        asked(24, extra=7),
        asked(25, amount=1e140),
        asked(26, since="0001-01-01"),
    ]
    summary = read(dataset, tmp_path / "out", requests)
    assert summary["dropped"]["labelled: the label is no class"] == 1
    assert summary["dropped"]["labelled: amount does not fit the table"] == 3
    assert summary["dropped"]["labelled: since does not fit the table"] == 1
    assert sum(int(load_mask(tmp_path / "out", split).sum()) for split in summary["rows"]) == 22


def test_a_window_of_the_table_takes_its_newest_rows_and_every_labelled_request(dataset, tmp_path):
    requests = [asked(number) for number in range(20)]
    for name, settings, kept in (
        ("by place", {}, {str(number) for number in range(70, 120)}),
        ("by time", {"split": "time", "time_column": "since"}, None),
    ):
        summary = read(dataset, tmp_path / name, requests, newest_rows=50, **settings)
        assert summary["dropped"]["older than the newest rows"] == 70
        assert sum(summary["rows"].values()) == 70
        own = [
            one
            for split in summary["rows"]
            for one, new in zip(
                cells(tmp_path / name, split),
                load_mask(tmp_path / name, split),
                strict=True,
            )
            if not new
        ]
        if kept is not None:
            assert {f"{4 * (one['amount'] - 10):.0f}" for one in own} == kept
        else:
            days = sorted(1 + number % 28 for number in range(ROWS))
            assert sorted(one["since"].day for one in own) == days[-50:]


def test_a_few_labelled_requests_train_only(dataset, tmp_path):
    summary = read(dataset, tmp_path / "out", [asked(number) for number in range(5)])
    assert load_mask(tmp_path / "out", "train").sum() == 5
    assert load_mask(tmp_path / "out", "test").sum() == 0
    assert any("5 rows are requests" in note for note in summary["notes"])


def judged(labelled: float, own: float) -> Evaluation:
    groups = {
        LABELLED: Group(rows=40, metrics={"accuracy": labelled}),
        DATA: Group(rows=200, metrics={"accuracy": own}),
    }
    return Evaluation(
        split="test",
        rows=240,
        metrics={"accuracy": (labelled + 5 * own) / 6},
        baseline={},
        baseline_name="most frequent class",
        main="accuracy",
        directions={"accuracy": "max"},
        groups=groups,
    )


@pytest.mark.parametrize(
    ("challenger", "champion", "better"),
    [
        ((0.9, 0.8), (0.7, 0.81), True),
        ((0.9, 0.7), (0.7, 0.8), False),
        ((0.6, 0.9), (0.7, 0.8), False),
        ((0.71, 0.9), (0.7, 0.8), True),
    ],
    ids=["better and hardly forgot", "forgot", "worse on requests", "better on both"],
)
def test_a_challenger_must_be_better_on_requests_and_not_forget_the_data(
    challenger, champion, better
):
    found = compare("accuracy", judged(*challenger), judged(*champion), RegistrySettings())
    assert found.better is better
    assert "on 40 labelled requests" in found.reason
    assert ("registry.most_lost" in found.reason) is (challenger[1] < champion[1] - 0.02)


def test_an_evaluation_without_labelled_requests_is_compared_as_a_whole():
    plain = judged(0.9, 0.5).model_copy(update={"groups": {}})
    found = compare("accuracy", plain, judged(0.1, 0.5), RegistrySettings())
    assert found.better
    assert found.reason == "accuracy 0.5667 > 0.4333"


def test_a_column_of_whole_numbers_takes_requests_with_others(dataset, tmp_path):
    """Amounts were whole so far, and a caller may send any number."""
    file = dataset / "raw" / "data.csv"
    with file.open(newline="") as stream:
        rows = list(csv.reader(stream, delimiter=";"))
    for number, cell in enumerate(rows[1:]):
        cell[0] = str(10 + number)
    with file.open("w", newline="") as stream:
        csv.writer(stream, delimiter=";").writerows(rows)
    read(dataset, tmp_path / "plain", [])
    read(dataset, tmp_path / "more", [asked(number, amount=10.5) for number in range(20)])
    for split in ("train", "validation", "test"):
        mask = load_mask(tmp_path / "more", split)
        amounts = np.array([one["amount"] for one in cells(tmp_path / "more", split)])
        assert (amounts[mask] == 10.5).all()
        before = [one["amount"] for one in cells(tmp_path / "plain", split)]
        assert amounts[~mask].tolist() == before


def test_a_label_that_no_model_can_be_fitted_to_is_left_out_and_counted(dataset, tmp_path):
    """The table's own targets are refused from this size on: their squares are no numbers."""
    file = dataset / "raw" / "data.csv"
    with file.open(newline="") as stream:
        rows = list(csv.reader(stream, delimiter=";"))
    for number, cell in enumerate(rows[1:]):
        cell[5] = str(3 * number)
    with file.open("w", newline="") as stream:
        csv.writer(stream, delimiter=";").writerows(rows)
    requests = [asked(number, label="1e200" if number < 3 else "7.5") for number in range(20)]
    summary = read(dataset, tmp_path / "out", requests, task="regression")
    assert summary["dropped"] == {"labelled: the label is too large": 3}
