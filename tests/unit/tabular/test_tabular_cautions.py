"""Which categories are new, also where a column has more than the schema names."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd

from modelyard.families.tabular.host import TabularHost
from modelyard.families.tabular.schema import TableSchema
from modelyard.kit.columns.cautions import Cautions, save_categories
from modelyard.kit.columns.encode import Encoder
from tests.unit.tabular.conftest import built, customers, write

FIELDS = {"land": "land", "size": "size"}


def countries(count: int, rows: int = 600) -> pd.DataFrame:
    r = np.random.default_rng(0)
    names = [f"Land-{number:03d}" for number in range(count)]
    frame = pd.DataFrame({"land": names + r.choice(names[:5], rows - count).tolist()})
    frame["size"] = np.round(r.normal(1, 0.2, rows), 3)
    frame["y"] = np.where(r.random(rows) < 0.5, "a", "b")
    return frame.sample(frac=1, random_state=0)


def test_a_rare_category_is_not_new_and_a_new_one_is(tmp_path: Path) -> None:
    _, out = built(tmp_path, write(tmp_path, countries(90)), target="y")
    host = TabularHost(out / "assets")
    trained = set(pd.read_parquet(out / "train.parquet")["land"])
    assert len(trained) > len(host.schema.inputs[0].choices) == 50

    def fields(land: str) -> list[str]:
        request = host.Request.model_validate({"land": land, "size": 1.0})
        return [one.field for one in host._cautions.of(vars(request))]

    assert [fields(land) for land in sorted(trained)] == [[]] * len(trained)
    assert fields("Atlantis") == ["land"]


def test_categories_of_an_earlier_model_stay_known(tmp_path: Path) -> None:
    _, out = built(tmp_path, write(tmp_path, countries(90)), target="y")
    schema, later = TableSchema.load(out / "assets"), tmp_path / "later"
    later.mkdir()
    save_categories(later, schema, {"land": ["Atlantis", None]}, out / "assets")
    cautions = Cautions(schema, FIELDS, Encoder.load(out / "assets"), later)
    seen = sorted(set(pd.read_parquet(out / "train.parquet")["land"]))
    for land in ("Atlantis", seen[0], seen[-1]):
        assert cautions.of({"land": land, "size": 1.0}) == ()


def test_of_too_many_categories_none_is_taken_for_new(tmp_path: Path) -> None:
    _, out = built(tmp_path, write(tmp_path, countries(200)), target="y")
    schema, many = TableSchema.load(out / "assets"), tmp_path / "many"
    many.mkdir()
    names = [f"n{number}" for number in range(6_000)]
    save_categories(many, schema, {"land": names}, None)
    assert not list(many.iterdir())
    cautions = Cautions(schema, FIELDS, Encoder.load(out / "assets"), many)
    assert cautions.of({"land": "Atlantis", "size": 1.0}) == ()


def test_a_time_far_from_those_of_training_is_named(tmp_path: Path) -> None:
    _, out = built(tmp_path, write(tmp_path, customers()), target="churn")
    host = TabularHost(out / "assets")
    body = {"age": 40.0, "income": None, "city": "Oslo", "member": True, "note": "late box"}

    def said(joined: str) -> list[str]:
        request = host.Request.model_validate(body | {"joined": joined})
        return [one.message for one in host._cautions.of(vars(request)) if one.field == "joined"]

    # The customers joined within 700 days from 2024 on.
    for near in ("2024-01-01", "2025-12-01T10:00:00+05:00", "2027-06-01", "2022-07-01"):
        assert said(near) == []
    for far in ("1970-01-01", "2204-05-01", "0001-01-01", "9999-12-31"):
        assert said(far) == [f"{far} is far outside the training data, which ends at 2025-11-29"]
