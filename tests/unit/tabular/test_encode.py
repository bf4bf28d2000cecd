"""The encoder gives training and serving the same finite numbers."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from modelyard.errors import BadData
from modelyard.families.tabular.config import TabularFeatures
from modelyard.families.tabular.schema import TableSchema
from modelyard.kit.columns.cells import parse_time
from modelyard.kit.columns.encode import Columns, Encoder
from modelyard.kit.columns.frames import to_columns
from modelyard.kit.columns.schema import Column


def schema_of(*columns: dict[str, Any]) -> TableSchema:
    return TableSchema(
        target="y", task="regression", columns=[Column.model_validate(column) for column in columns]
    )


def fitted(columns: Columns, *described: dict[str, Any], **options: Any) -> Encoder:
    return Encoder.fit(columns, schema_of(*described), TabularFeatures(**options))


def test_missing_numbers_take_the_training_median_and_are_marked() -> None:
    encoder = fitted({"age": np.array([1.0, 2.0, np.nan, 9.0])}, {"name": "age", "role": "numeric"})
    assert encoder.names == ["age", "age is missing"]
    there = np.array([1.0, 2.0, 9.0])
    expected = [[(5 - 4) / there.std(), 0], [(2 - 4) / there.std(), 1]]
    assert np.allclose(encoder.transform({"age": [5, None]}), expected)


def test_numeric_transforms_are_what_they_say() -> None:
    values = np.array([-10.0, 0.0, 3.0, 1e6])
    columns = {"a": values, "b": values}
    encoder = fitted(
        columns,
        {"name": "a", "role": "numeric", "transform": "log"},
        {"name": "b", "role": "numeric", "transform": "identity"},
    )
    assert encoder.names == ["a", "b"]
    assert np.allclose(encoder.transform(columns)[:, 0], np.sign(values) * np.log1p(np.abs(values)))
    assert np.allclose(encoder.transform(columns)[:, 1], values)


def test_rare_and_unseen_categories_share_a_bucket_and_missing_has_its_own() -> None:
    cells = ["Oslo"] * 5 + ["Paris"] * 4 + ["Rome"] * 3 + ["Köln", None]
    encoder = fitted({"city": cells}, {"name": "city", "role": "category"}, max_categories=3)
    assert encoder.names == [
        "city=Oslo",
        "city=Paris",
        "city=Rome",
        "city=(other)",
        "city is missing",
    ]
    out = encoder.transform({"city": ["Rome", "Köln", "Atlantis", None, "", " Oslo "]})
    assert out.argmax(axis=1).tolist() == [2, 3, 3, 4, 4, 0]
    assert (out.sum(axis=1) == 1).all()


def test_a_category_missing_only_when_served_counts_as_other() -> None:
    encoder = fitted({"city": ["Oslo", "Rome"]}, {"name": "city", "role": "category"})
    assert encoder.transform({"city": [None]}).tolist() == [[0, 0, 1]]


def test_ordered_categories_follow_the_schemas_order() -> None:
    choices = ["low", "middle", "high"]
    column = {
        "name": "g",
        "role": "category",
        "transform": "ordinal",
        "choices": choices,
        "nullable": True,
    }
    encoder = fitted({"g": ["high", "low", "low", "middle"]}, column)
    assert encoder.names == ["g: rank", "g=(other)", "g is missing"]
    out = encoder.transform({"g": ["low", "middle", "high", "huge", None]})
    assert out.tolist() == [[0, 0, 0], [1, 0, 0], [2, 0, 0], [0.5, 1, 0], [0.5, 0, 1]]


def test_tfidf_equals_scikit_learns() -> None:
    from sklearn.feature_extraction.text import TfidfVectorizer

    r = np.random.default_rng(0)
    words = ["späte", "parcel", "a", "Box", "it's", "quick", "fox2", "_x", "ÄRGER", "re-send"]
    texts = [" ".join(r.choice(words, r.integers(0, 9))) for _ in range(200)]
    encoder = fitted(
        {"note": texts}, {"name": "note", "role": "text", "nullable": False}, max_words=300
    )
    reference = TfidfVectorizer(max_features=300)
    expected = reference.fit_transform(texts).toarray()
    heads = [f"note: {word}" for word in reference.get_feature_names_out()]
    out = encoder.transform({"note": texts})
    assert encoder.names[: len(heads)] == heads
    assert np.allclose(out[:, : len(heads)], expected, atol=1e-6)
    unseen = ["quick quick unheard", "", "nothing known"]
    got = encoder.transform({"note": unseen})[:, : len(heads)]
    assert np.allclose(got, reference.transform(unseen).toarray(), atol=1e-6)


def test_the_most_frequent_words_are_kept() -> None:
    texts = [f"often word{n} seldom{n}" if n % 2 else "often usual" for n in range(100)]
    encoder = fitted({"note": texts}, {"name": "note", "role": "text"}, max_words=10)
    assert {"note: often", "note: usual"} <= set(encoder.names)
    assert len(encoder.names) == 10


def test_times_become_calendar_parts_that_vary_circles_and_an_age() -> None:
    times = ["2024-01-01T00:00:00", "2024-07-02T06:00:00", "2024-12-31T12:30:00"]
    encoder = fitted({"at": times}, {"name": "at", "role": "time"})
    assert not any("year" in name for name in encoder.names)
    out = dict(
        zip(encoder.names, encoder.transform({"at": ["2024-12-30T12:30:00"]})[0], strict=True)
    )
    assert out["at: age in days"] == 1
    assert (out["at: month"], out["at: weekday"], out["at: hour"]) == (12, 0, 12.5)
    assert out["at: weekday (cos)"] == 1
    assert np.isclose(out["at: month (sin)"], 0, atol=1e-6)


@pytest.mark.parametrize(
    ("text", "utc"),
    [
        ("2024-05-01", "2024-05-01T00:00:00"),
        ("2024-05-01T10:00:00Z", "2024-05-01T10:00:00"),
        (" 2024-05-01 10:00:00+02:00", "2024-05-01T08:00:00"),
    ],
)
def test_times_are_taken_to_utc(text: str, utc: str) -> None:
    assert parse_time(text).isoformat() == utc


def test_whole_columns_and_single_rows_agree_however_they_come() -> None:
    columns = mixed()
    encoder = mixed_encoder()
    whole = encoder.transform(columns)
    listed = {
        "x": [None if np.isnan(v) else v for v in columns["x"]],
        "c": list(columns["c"]),
        "t": list(columns["t"]),
        "w": [None if np.isnat(v) else str(v) for v in columns["w"]],
    }
    assert np.array_equal(encoder.transform(listed), whole)
    for row in range(len(whole)):
        one = {name: values[row : row + 1] for name, values in listed.items()}
        assert np.array_equal(encoder.transform(one)[0], whole[row])


def test_groups_cover_every_output_once_and_survive_saving(tmp_path: Path) -> None:
    encoder = mixed_encoder()
    encoder.save(tmp_path)
    loaded = Encoder.load(tmp_path)
    assert loaded.names == encoder.names
    assert loaded.groups == encoder.groups
    assert sorted(i for group in encoder.groups.values() for i in group) == list(
        range(len(encoder.names))
    )
    assert len(set(encoder.names)) == len(encoder.names)
    assert np.array_equal(loaded.transform(mixed()), encoder.transform(mixed()))


@settings(max_examples=60, deadline=None)
@given(
    x=st.none() | st.floats(allow_nan=False, allow_infinity=False) | st.integers(-(10**30), 10**30),
    c=st.none() | st.text(max_size=20),
    t=st.none() | st.text(max_size=60),
    w=st.none() | st.datetimes().map(lambda value: value.isoformat()),
)
def test_any_request_gives_finite_inputs(x: Any, c: Any, t: Any, w: Any) -> None:
    for transform in ("standardize", "log", "identity"):
        out = mixed_encoder(transform).transform({"x": [x], "c": [c], "t": [t], "w": [w]})
        assert np.isfinite(out).all()


def test_a_column_empty_throughout_the_training_split_is_taken() -> None:
    columns: Columns = {"x": [None] * 3, "c": [None] * 3, "t": [None] * 3, "w": [None] * 3}
    encoder = fitted(columns, *described("standardize"))
    assert np.isfinite(encoder.transform(columns)).all()
    assert encoder.groups["t"] == [encoder.names.index("t is missing")]


def described(transform: str) -> list[dict[str, Any]]:
    roles = {"x": "numeric", "c": "category", "t": "text", "w": "time"}
    columns: list[dict[str, Any]] = [{"name": name, "role": role} for name, role in roles.items()]
    columns[0]["transform"] = transform
    return columns


def mixed() -> dict[str, Any]:
    return {
        "x": np.array([1.5, np.nan, -2.0, 4.0]),
        "c": np.array(["a", None, "b", "a"], dtype=object),
        "t": np.array(["red box", "late box", None, "red red"], dtype=object),
        "w": np.array(["2024-01-01", "NaT", "2023-05-05", "2024-02-29"], "datetime64[us]"),
    }


def mixed_encoder(transform: str = "standardize") -> Encoder:
    return fitted(mixed(), *described(transform))


@pytest.mark.parametrize(
    ("column", "cells"),
    [
        ({"name": "a", "role": "numeric"}, ["7", "red"]),
        ({"name": "a", "role": "numeric", "boolean": True}, ["yes", "no"]),
        ({"name": "a", "role": "numeric", "words": ["none"]}, ["7", "red"]),
        ({"name": "a", "role": "time"}, ["2026-03-31", "Monday"]),
    ],
)
def test_a_column_that_is_another_one_in_later_data_is_named(
    column: dict[str, Any], cells: list[str]
) -> None:
    """A champion is judged on data whose columns may be taken for something else."""
    schema = schema_of(column)
    with pytest.raises(BadData, match=f"takes this column for {column['role']}") as error:
        to_columns(pd.DataFrame({"a": cells}), schema)
    assert error.value.column == "a"
