"""Columns about users and items: read, counted where they are missing, and enough for those of whom
nothing else is known."""

from __future__ import annotations

import csv
import json
import shutil
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pydantic import ValidationError

from modelyard.errors import BadData
from modelyard.families.recommender.batches import draw_negatives
from modelyard.families.recommender.catalog import Catalog
from modelyard.families.recommender.config import RecommenderConfig, RecommenderFeatures
from modelyard.families.recommender.data import RecommenderData
from modelyard.families.recommender.host import RecommenderHost
from modelyard.families.recommender.lists import read_lists
from modelyard.families.recommender.sample import write_sample
from modelyard.store.base import FOLDER, carry
from tests.unit.recommender.conftest import configured, train

KINDS = ("multitask", "din", "sequence")
COLD = 8
"""Items whose interactions are taken out of the log."""


def read(file: Path) -> tuple[list[str], list[list[str]]]:
    with file.open(newline="") as stream:
        header, *rows = list(csv.reader(stream))
    return header, rows


def write(file: Path, header: list[str], rows: list[list[Any]]) -> None:
    with file.open("w", newline="") as stream:
        csv.writer(stream).writerows([header, *rows])


def built(tmp_path: Path, kind: str = "sequence", **settings: Any) -> tuple[dict[str, Any], Path]:
    out = tmp_path / "out"
    shutil.rmtree(out, ignore_errors=True)
    (out / "assets").mkdir(parents=True)
    config = RecommenderConfig.model_validate({"model": {"kind": kind}, "features": settings})
    return RecommenderData(config).features(tmp_path / "raw", out), out


@pytest.fixture
def raw(tmp_path: Path) -> Path:
    (tmp_path / "raw").mkdir()
    write_sample(tmp_path / "raw", 60, 50, 0)
    return tmp_path / "raw"


@pytest.fixture(scope="module")
def cold(tmp_path_factory):
    """`cold("din")`: trained without the interactions of the first items; who had them."""

    @cache
    def make(kind: str):
        folder = tmp_path_factory.mktemp(f"cold-{kind}")
        (folder / "raw").mkdir()
        write_sample(folder / "raw", 300, 80, 1)
        header, rows = read(folder / "raw" / "interactions.csv")
        log = [row for row in rows if int(row[1]) > COLD]
        write(folder / "raw" / "interactions.csv", header, log)
        had = [(row[0], row[1]) for row in rows if int(row[1]) <= COLD and row[4] == "1"]
        return train(configured(kind), folder / "raw", folder), had

    return make


@pytest.mark.parametrize("kind", KINDS)
def test_an_item_that_nobody_had_is_ranked_by_its_columns(cold, kind):
    one, had = cold(kind)
    catalog = one.host.catalog
    assert all(catalog.popularity[catalog.item_index[str(n + 1)]] == 0 for n in range(COLD))
    places = []
    for user, item in had:
        if user not in catalog.user_index:
            continue
        query = one.host.Request(user=user, k=100)
        ids = [found.item for found in one.host.predict(one.run, [query])[0].items]
        places.append(ids.index(item) / (len(ids) - 1))
    assert len(places) > 100
    # 0.5 is chance.
    assert np.mean(places) < 0.35


@pytest.mark.parametrize("kind", KINDS)
def test_a_new_user_with_a_profile_gets_an_answer_of_their_own(cold, kind):
    one, _ = cold(kind)
    host = one.host
    categories = sorted({item.category for item in host.catalog.items})
    shares = {True: [], False: []}
    for category in categories:
        query = host.Request.model_validate(
            {"user": "new", "profile": {"club": f"{category} club"}}
        )
        (answer,) = host.predict(one.run, [query])
        assert answer.source == "profile"
        said = {caution.field: caution.message for caution in answer.warnings}
        assert "the profile given" in said["user"]
        for other in categories:
            share = np.mean([item.category == other for item in answer.items])
            shares[other == category].append(share)
    assert np.mean(shares[True]) > 2 * np.mean(shares[False])
    (empty,) = host.predict(one.run, [host.Request.model_validate({"profile": {}})])
    assert empty.source == "popular"


@pytest.mark.parametrize("kind", ["din", "sequence"])
def test_a_profile_counts_next_to_a_history_and_in_place_of_what_training_knew(cold, kind):
    one, _ = cold(kind)
    host, catalog = one.host, one.host.catalog
    names = [catalog.items[item].id for item in catalog.had(3)]

    def scores(**body):
        (answer,) = host.predict(one.run, [host.Request.model_validate({"k": 50, **body})])
        return answer.source, {item.item: item.score for item in answer.items}

    club = {"club": "war club"}
    plain, with_club = scores(history=names), scores(history=names, profile=club)
    assert plain[0] == with_club[0] == "history"
    assert plain[1] != with_club[1]
    known = scores(user=catalog.users[3], profile=club)
    assert known[0] == "personal"
    shared = known[1].keys() & with_club[1].keys()
    assert [known[1][item] for item in shared] == pytest.approx(
        [with_club[1][item] for item in shared], abs=1e-4
    )
    assert known[1] != scores(user=catalog.users[3])[1]


def test_multitask_says_that_a_known_users_profile_is_not_used(cold):
    one, _ = cold("multitask")
    query = one.host.Request.model_validate(
        {"user": one.host.catalog.users[0], "profile": {"club": "war club"}}
    )
    (answer,) = one.host.predict(one.run, [query])
    assert [caution.field for caution in answer.warnings] == ["profile"]


def test_a_request_has_typed_columns_and_refuses_others(cold):
    one, _ = cold("sequence")
    schema = one.host.Request.model_json_schema()
    profile = next(d for d in schema["$defs"].values() if "club" in d.get("properties", {}))
    types = {
        name: {option["type"] for option in field["anyOf"]}
        for name, field in profile["properties"].items()
    }
    assert types == {"age": {"number", "null"}, "club": {"string", "null"}}
    for body, where in (
        ({"profile": {"age": "old"}}, ("profile", "age")),
        ({"profile": {"colour": "red"}}, ("profile", "colour")),
    ):
        with pytest.raises(ValidationError) as caught:
            one.host.Request.model_validate(body)
        assert caught.value.errors()[0]["loc"] == where


def test_what_training_never_saw_is_warned_of_and_columns_are_watched(cold):
    one, _ = cold("sequence")
    body = {"user": "new", "profile": {"age": 500, "club": "chess club"}}
    query = one.host.Request.model_validate(body)
    (answer,) = one.host.predict(one.run, [query])
    fields = {caution.field for caution in answer.warnings}
    assert {"profile.age", "profile.club"} <= fields
    row = one.host.describe(query, answer)
    assert (row["user.age"], row["user.club"]) == (500, "chess club")
    plain = one.host.Request.model_validate({"user": "new"})
    row = one.host.describe(plain, one.host.predict(one.run, [plain])[0])
    assert (row["user.age"], row["user.club"]) == (None, None)
    assert "profile" in one.host.sensitive


def test_items_that_nobody_had_are_never_drawn_as_negatives(cold):
    one, _ = cold("sequence")
    catalog = Catalog.load(one.features / "assets")
    user = np.repeat(np.arange(50), 20)
    drawn = draw_negatives(np.random.default_rng(0), catalog, user, 5)
    assert catalog.popularity[drawn].min() > 0
    assert (catalog.popularity == 0).sum() >= COLD


def test_requests_of_a_split_hold_the_users_columns(cold):
    one, _ = cold("sequence")
    _, rows = read(one.raw / "users.csv")
    ages = {row[0]: float(row[1]) if row[1] else None for row in rows}
    for body in one.family.requests(one.features, "test"):
        assert body["profile"]["age"] == ages[body["user"]]


def test_missing_cells_and_rows_are_counted(raw, tmp_path):
    header, rows = read(raw / "users.csv")
    rows = [[row[0], "30", ("war club", "sport club")[n % 2]] for n, row in enumerate(rows)]
    rows[4][1], rows[5][1] = "", ""
    rows = [row for row in rows if row[0] not in ("20", "21")]
    write(raw / "users.csv", header, [*rows, ["1", "99", "war club"], rows[2]])
    summary, out = built(tmp_path)
    notes = " ".join(summary["notes"])
    assert "Missing among 60 users: age of 4, club of 2." in notes
    assert "1 rows say something else of one of the users than an earlier row of users.csv" in notes
    assert "2 columns of users; 2 columns of items" in summary["headline"]
    side = Catalog.load(out / "assets").user_side
    assert side.encode({"age": 30, "club": "war club"}).tolist() == side.values[0].tolist()
    place = Catalog.load(out / "assets").user_index["20"]
    assert side.values[place].tolist() == side.missing.tolist()


def test_columns_of_the_log_that_begin_with_user_or_item_are_read(raw, tmp_path):
    (raw / "users.csv").unlink()
    header, rows = read(raw / "interactions.csv")
    more = ["user_age", "item_price", "channel"]
    wide = [[*row, str(20 + int(row[0])), str(int(row[1]) / 4), "web"] for row in rows]
    write(raw / "interactions.csv", [*header, *more], wide)
    summary, out = built(tmp_path)
    catalog = Catalog.load(out / "assets")
    assert [column.name for column in catalog.user_side.schema.inputs] == ["user_age"]
    place = catalog.user_side.encoder.groups["user_age"][0]
    assert catalog.user_side.values[catalog.user_index["7"], place] == 27
    names = [column.name for column in catalog.item_side.schema.inputs]
    assert names == ["category", "pages", "item_price"]
    place = catalog.item_side.encoder.groups["item_price"][0]
    assert catalog.item_side.values[catalog.item_index["10"], place] == 2.5
    assert "channel" in summary["left_out"]


def test_numbers_are_standardized_and_categories_are_not(raw, tmp_path):
    _, out = built(tmp_path)
    side = Catalog.load(out / "assets").item_side
    mean, spread = side.scale
    place = side.encoder.groups["pages"][0]
    assert mean[place] == pytest.approx(side.values[:, place].mean(), rel=1e-5)
    assert spread[place] == pytest.approx(side.values[:, place].std(), rel=1e-4)
    for other in side.encoder.groups["category"]:
        assert (mean[other], spread[other]) == (0, 1)


def test_several_values_of_a_cell_are_words_of_their_own(raw, tmp_path):
    header, rows = read(raw / "items.csv")
    wide = [
        [*row[:2], f"{row[2]}|drama" if n % 2 else row[2], row[3]] for n, row in enumerate(rows)
    ]
    write(raw / "items.csv", header, wide)
    _, out = built(tmp_path)
    names = Catalog.load(out / "assets").item_side.encoder.names
    assert "category: drama" in names
    assert not [name for name in names if "|" in name]


def test_features_are_the_same_for_every_kind(raw, tmp_path):
    """The stage is not given the section `model`: what it writes must not depend on it."""
    kept = {}
    for kind in ("lightgcn", "sequence"):
        _, out = built(tmp_path, kind)
        files = sorted(path for path in out.rglob("*") if path.is_file())
        kept[kind] = {str(path.relative_to(out)): path.read_bytes() for path in files}
    assert kept["lightgcn"] == kept["sequence"]


def test_a_kind_without_columns_recommends_nothing_that_nobody_had(tmp_path):
    (tmp_path / "raw").mkdir()
    write_sample(tmp_path / "raw", 150, 80, 0)
    header, rows = read(tmp_path / "raw" / "interactions.csv")
    write(tmp_path / "raw" / "interactions.csv", header, [row for row in rows if row[1] != "3"])
    one = train(configured("lightgcn"), tmp_path / "raw", tmp_path)
    catalog = one.host.catalog
    assert catalog.items[catalog.item_index["3"]].listed
    assert catalog.user_side is None
    assert not (one.model / "assets" / "user_columns").exists()
    for user in catalog.users[:20]:
        (answer,) = one.host.predict(one.run, [one.host.Request(user=user, k=100)])
        assert "3" not in {item.item for item in answer.items}
    drawn = draw_negatives(np.random.default_rng(0), catalog, np.repeat(np.arange(50), 50), 5)
    assert catalog.item_index["3"] not in drawn
    assert "profile" not in one.family.requests(one.features, "test")[0]
    assert "profile" not in one.host.Request.model_fields


def test_settings_leave_columns_out_and_say_so(raw, tmp_path):
    summary, out = built(tmp_path, "sequence", columns=False)
    assert Catalog.load(out / "assets").item_side is None
    assert {"age", "club", "pages"} <= set(summary["left_out"])
    assert any("(age, club): features.columns=false" in note for note in summary["notes"])
    summary, out = built(tmp_path, "sequence", drop=["age", "club"])
    assert Catalog.load(out / "assets").user_side is None
    assert "age (left out by features.drop)" in summary["left_out"]
    assert "Columns go into multitask, din and sequence" in " ".join(summary["notes"])


def test_movielens_users_without_a_header_are_read(raw):
    users = "".join(
        f"{n}::{'FM'[n % 2]}::{18 + n % 5}::{n % 20}::4806{n % 9}\n" for n in range(1, 61)
    )
    (raw / "users.csv").unlink()
    (raw / "users.dat").write_text(users)
    listing = read_lists(raw, RecommenderFeatures()).sides["user"]
    assert listing.names == ["gender", "age", "occupation", "zip"]
    assert listing.ids[:2] == ["1", "2"]


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (
            "name,age\nAnn,3\n",
            "users.csv: no column is the user; seen: name, age. Type: --set features.user_column=NAME",
        ),
        ("user,age\n,3\n", "users.csv, row 1, column 'user': a user without an id"),
        ("user,age\n" + "1,3\n" * 30 + "2,old\n", "row 31, column 'age': 'old' is not a number"),
    ],
)
def test_faulty_lists_of_users_are_refused_with_their_place(raw, tmp_path, content, said):
    (raw / "users.csv").write_text(content)
    with pytest.raises(BadData) as caught:
        built(tmp_path)
    assert said in str(caught.value)


def test_a_run_that_continues_keeps_the_encoding_of_columns(cold, tmp_path):
    one, _ = cold("sequence")
    (tmp_path / "raw").mkdir()
    write_sample(tmp_path / "raw", 100, 90, 7)
    header, rows = read(tmp_path / "raw" / "users.csv")
    write(tmp_path / "raw" / "users.csv", [*header, "height"], [[*row, "1.8"] for row in rows])
    (tmp_path / "raw" / "items.csv").unlink()
    out = tmp_path / "out"
    (out / "assets").mkdir(parents=True)
    carry(one.model, out / FOLDER)
    shutil.copytree(one.model / "assets", out / FOLDER / "assets")
    summary = one.family.features(tmp_path / "raw", out)
    before, after = RecommenderHost(one.model / "assets").catalog, Catalog.load(out / "assets")
    for side in ("user_side", "item_side"):
        old, new = getattr(before, side), getattr(after, side)
        assert new.encoder.names == old.encoder.names
        assert new.scale.tolist() == old.scale.tolist()
    assert len(after.item_side.values) == len(after.items)
    assert any(name.startswith("height") for name in summary["left_out"])
    # Items that nobody had then keep their places; those that somebody had since are known now.
    had = {row[1] for row in read(tmp_path / "raw" / "interactions.csv")[1] if row[4] == "1"}
    for place, item in enumerate(before.items):
        assert after.items[place].id == item.id
        assert after.items[place].listed == (item.listed and item.id not in had)
    assert [item.listed for item in before.items[:COLD]].count(True) == 0
    assert sum(item.listed for item in before.items) >= COLD
    assert sum(item.listed for item in after.items) < sum(item.listed for item in before.items)
    assert json.loads((out / "assets" / "users.json").read_text())[: len(before.users)] == (
        before.users
    )
