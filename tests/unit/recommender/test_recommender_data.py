"""Logs of interactions become splits, and faulty ones are refused with their place."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from modelyard.errors import BadData
from modelyard.families.recommender.catalog import Catalog
from modelyard.families.recommender.config import RecommenderConfig, RecommenderFeatures
from modelyard.families.recommender.data import RecommenderData, load_impressions, load_split
from modelyard.families.recommender.host import RecommenderHost

HEADER = "userId,movieId,rating,timestamp\n"


def rows(users: int = 30, items: int = 25, each: int = 6) -> list[tuple[int, int, float, int]]:
    """User u has `each` items, one a day from the start on."""
    return [
        (user, 1 + (user * 7 + day * 3) % items, 3.5, 1_000 + 86_400 * day + user)
        for user in range(1, users + 1)
        for day in range(each)
    ]


def text(table: list[tuple[Any, ...]], mark: str = ",") -> str:
    return "".join(mark.join(str(cell) for cell in row) + "\n" for row in table)


def built(
    tmp_path: Path, name: str, content: str | bytes, **settings: Any
) -> tuple[dict[str, Any], Path]:
    raw, out = tmp_path / "raw", tmp_path / "out"
    raw.mkdir(parents=True, exist_ok=True)
    (out / "assets").mkdir(parents=True, exist_ok=True)
    (raw / name).write_bytes(content.encode() if isinstance(content, str) else content)
    return RecommenderData(RecommenderConfig(features=RecommenderFeatures(**settings))).features(
        raw, out
    ), out


def left_out(features: Path) -> dict[str, tuple[str, str]]:
    """Validation and test item of each judged user, by id."""
    catalog = Catalog.load(features / "assets")
    found = {}
    for split in ("validation", "test"):
        for user, item in zip(*load_split(features, split), strict=True):
            found.setdefault(catalog.users[user], []).append(catalog.items[item].id)
    return {user: tuple(items) for user, items in found.items()}


@pytest.mark.parametrize(
    "header", ["customer,product,date,channel", "InvoiceDate,CustomerID,StockCode,Quantity"]
)
def test_the_log_of_a_shop_with_dates_says_what_movielens_says(tmp_path: Path, header: str) -> None:
    _, out = built(tmp_path, "ratings.csv", HEADER + text(rows()))
    expected = left_out(out)
    table = [
        dict(zip(header.lower().split(","), [""] * 4, strict=True))
        | {name: str(user) for name in ("customer", "customerid")}
        | {name: str(item) for name in ("product", "stockcode")}
        | {
            name: datetime.fromtimestamp(time, UTC).strftime("%Y-%m-%d %H:%M:%S")
            for name in ("date", "invoicedate")
        }
        for user, item, _, time in rows()
    ]
    lines = text([tuple(row[name] for name in header.lower().split(",")) for row in table])
    (tmp_path / "shop").mkdir()
    _, out = built(tmp_path / "shop", "orders.csv", header + "\n" + lines)
    assert left_out(out) == expected


def test_american_dates_leave_out_the_same_items_and_unclear_ones_ask(tmp_path: Path) -> None:
    now = [(*row[:3], row[3] + 1_700_000_000) for row in rows(each=20)]
    _, out = built(tmp_path, "ratings.csv", HEADER + text(now))
    expected = left_out(out)

    def dated(form: str) -> str:
        return text([(*row[:3], datetime.fromtimestamp(row[3], UTC).strftime(form)) for row in now])

    _, out = built(tmp_path, "ratings.csv", HEADER + dated("%m/%d/%Y %I:%M:%S %p"))
    assert left_out(out) == expected
    days = [(*row[:3], (row[3] - 1_000) // 86_400) for row in rows(each=20)]
    unclear = HEADER + text(
        [(*row[:3], f"{1 + row[3] // 12:02}/{1 + row[3] % 12:02}/2026") for row in days]
    )
    with pytest.raises(BadData, match=r"Type: --set features\.dates=month_first \(or day_first\)"):
        built(tmp_path, "ratings.csv", unclear)
    built(tmp_path, "ratings.csv", unclear, dates="month_first")


def test_events_as_json_lines_say_what_the_csv_says(tmp_path: Path) -> None:
    _, out = built(tmp_path, "ratings.csv", HEADER + text(rows()))
    expected = left_out(out)
    events = [
        {"reviewerID": str(user), "asin": item, "overall": 4.0, "unixReviewTime": time, "tags": []}
        for user, item, _, time in rows()
    ]
    lines = "\r\n".join(json.dumps(event) for event in events) + "\r\n\r\n"
    titles = "".join(
        json.dumps({"asin": item, "title": f"Bücher {item}"}) + "\n" for item in range(1, 26)
    )
    (tmp_path / "shop" / "raw").mkdir(parents=True)
    (tmp_path / "shop" / "raw" / "items.jsonl").write_text(titles)
    summary, out = built(tmp_path / "shop", "events.ndjson", lines)
    assert left_out(out) == expected
    assert Catalog.load(out / "assets").items[0].title == "Bücher 1"
    assert "tags" in summary["left_out"]


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ('{"user": "a", "time": 4}', "row 3, column 'item': an interaction without an item"),
        ("[1, 2]", r"row 3: must be a JSON object, seen \[1, 2\]"),
        ('{"user": ', "row 3: is not JSON"),
    ],
)
def test_a_wrong_line_of_json_is_named(tmp_path: Path, line: str, message: str) -> None:
    good = '{"user": "a", "item": 1, "time": 3}\n'
    with pytest.raises(BadData, match=message):
        built(tmp_path, "events.jsonl", f"{good}\n{line}\n{good}")


def test_columns_of_any_name_are_those_that_the_settings_name(tmp_path: Path) -> None:
    _, out = built(tmp_path, "ratings.csv", HEADER + text(rows()))
    expected = left_out(out)
    table = [(user, 9, item, rating, time) for user, item, rating, time in rows()]
    named = {"user_column": "Käufer", "item_column": "Ware", "time_column": "Tag"}
    (tmp_path / "shop" / "raw").mkdir(parents=True)
    (tmp_path / "shop" / "raw" / "items.csv").write_text("Ware;Preis;title\n1;4;Eins\n")
    log = "käufer;user;Ware;Note;Tag\r\n" + text(table, ";")
    _, out = built(tmp_path / "shop", "log März.csv", log.encode("cp1252"), **named)
    assert left_out(out) == expected
    catalog = Catalog.load(out / "assets")
    assert catalog.items[catalog.item_index["1"]].title == "Eins"
    with pytest.raises(BadData, match=r"column 'Punkte' is unknown.*\(features.rating_column\)"):
        built(tmp_path / "shop", "log März.csv", log, **named, rating_column="Punkte")
    host = RecommenderHost(out / "assets")
    (tmp_path / "neu.csv").write_bytes("käufer;Stadt\n007;Köln\n".encode("cp1252"))
    assert host.read_file(tmp_path / "neu.csv") == [{"user": "007", "Stadt": "Köln"}]
    (tmp_path / "neu.jsonl").write_text('{"customer_id": 7, "k": 3}\n')
    assert host.read_file(tmp_path / "neu.jsonl") is None
    (tmp_path / "neu.jsonl").write_text('{"customer_id": 7, "n": 3}\n')
    assert host.read_file(tmp_path / "neu.jsonl") == [{"user": "7", "n": 3}]


@pytest.mark.parametrize(
    ("name", "hint"),
    [
        ("log.zip", "Unpack it"),
        ("a.npy", "Save its rows as CSV or Parquet"),
    ],
)
def test_a_file_that_is_no_table_says_how_it_becomes_one(
    tmp_path: Path, name: str, hint: str
) -> None:
    with pytest.raises(BadData, match=rf"{name}: files named .* are not supported.*{hint}"):
        built(tmp_path, name, b"PK")


def test_a_header_of_unknown_names_is_no_interaction(tmp_path: Path) -> None:
    with pytest.raises(
        BadData,
        match="no column is the user; seen: Käufer, Ware, Note, Tag. Type: .*user_column=NAME.*user_id",
    ):
        built(tmp_path, "log.csv", "Käufer,Ware,Note,Tag\n" + text(rows()))


def test_the_last_two_by_time_are_left_out_whatever_the_order_of_the_file(tmp_path: Path) -> None:
    table = rows()
    shuffled = [table[place] for place in np.random.default_rng(1).permutation(len(table))]
    summary, out = built(tmp_path, "ratings.csv", HEADER + text(shuffled))
    assert summary["rows"] == {"train": 120, "validation": 30, "test": 30}
    for user, items in left_out(out).items():
        mine = sorted((time, item) for owner, item, _, time in table if str(owner) == user)
        assert items == (str(mine[-2][1]), str(mine[-1][1]))
        catalog = Catalog.load(out / "assets")
        history = [catalog.items[item].id for item in catalog.history(catalog.user_index[user])]
        assert history == [str(item) for _, item in mine[:-2]]


def test_popularity_counts_training_interactions_alone(tmp_path: Path) -> None:
    _, out = built(tmp_path, "ratings.csv", HEADER + text(rows()))
    catalog, left = Catalog.load(out / "assets"), left_out(out)
    for index, item in enumerate(catalog.items):
        everyone = sum(str(one) == item.id for _, one, _, _ in rows())
        assert catalog.popularity[index] == everyone - sum(
            pair.count(item.id) for pair in left.values()
        )


def test_users_with_too_few_interactions_are_trained_on_and_not_judged(tmp_path: Path) -> None:
    table = [*rows(), (900, 1, 4.0, 5_000), (900, 2, 4.0, 6_000)]
    summary, out = built(tmp_path, "ratings.csv", HEADER + text(table))
    catalog = Catalog.load(out / "assets")
    assert "900" in catalog.users and "900" not in left_out(out)  # noqa: PT018
    assert catalog.lengths[catalog.user_index["900"]] == 2
    assert any("1 of 31 users have too few" in note for note in summary["notes"])


def test_repeats_are_counted_and_left_out(tmp_path: Path) -> None:
    table = rows()
    again = (*table[0][:3], table[0][3] + 10)
    summary, _ = built(tmp_path, "ratings.csv", HEADER + text([*table, table[3], table[4], again]))
    assert summary["dropped"] == {"duplicate row": 2, "the user had the item before": 1}
    assert sum(summary["rows"].values()) == 180


def test_interactions_of_guests_are_left_out_and_counted_or_refused(tmp_path: Path) -> None:
    table = HEADER + ",4,3.0,99\n" + text(rows()) + ",5,3.0,98\n"
    with pytest.raises(BadData, match=r"row 1, .*without a user \(2 such rows\).*anonymous=drop"):
        built(tmp_path / "a", "ratings.csv", table, anonymous="refuse")
    summary, out = built(tmp_path / "b", "ratings.csv", table)
    assert summary["dropped"]["without a user"] == 2
    _, plain = built(tmp_path / "c", "ratings.csv", HEADER + text(rows()))
    assert left_out(out) == left_out(plain)
    broken = table + "7,5,3.0,never\n"
    with pytest.raises(BadData, match="row 183, column 'timestamp': 'never'"):
        built(tmp_path / "d", "ratings.csv", broken)
    with pytest.raises(BadData, match="column 'userId': no interaction has a user"):
        built(tmp_path / "e", "ratings.csv", HEADER + ",4,3.0,99\n,5,3.0,98\n")


def test_a_list_of_objects_is_a_log(tmp_path: Path) -> None:
    names = HEADER.strip().split(",")
    listed = json.dumps([dict(zip(names, row, strict=True)) for row in rows()])
    _, out = built(tmp_path / "a", "events.json", listed)
    _, plain = built(tmp_path / "b", "ratings.csv", HEADER + text(rows()))
    assert left_out(out) == left_out(plain)


def test_low_ratings_and_the_rare_are_left_out_on_request(tmp_path: Path) -> None:
    table = [*rows(), (1, 24, 1.0, 9_000_000), (77, 999, 5.0, 9_000_001)]
    summary, out = built(tmp_path, "ratings.csv", HEADER + text(table), min_rating=2, core=3)
    assert summary["dropped"]["rated below 2"] == 1
    assert summary["dropped"]["not in the 3-core"] == 1
    assert "999" not in {item.id for item in Catalog.load(out / "assets").items}


@pytest.mark.parametrize("low", [0, -1])
def test_only_ratings_above_zero_count_as_liked_unless_a_setting_says_otherwise(
    tmp_path: Path, low: int
) -> None:
    disliked = [(user, 99, low, 9_000_000) for user in range(1, 11)]
    table = [*rows(), *disliked, (11, 98, "", 9_000_000)]
    summary, out = built(tmp_path, "ratings.csv", HEADER + text(table))
    assert summary["dropped"]["rated 0 or below"] == 10
    assert summary["headline"].endswith("; liked is what was rated above 0 (features.min_rating)")
    items = {item.id for item in Catalog.load(out / "assets").items}
    assert "99" not in items
    assert left_out(out)["11"][1] == "98"
    summary, out = built(tmp_path, "ratings.csv", HEADER + text(table), min_rating=-1)
    assert left_out(out)["1"][1] == "99"
    assert "liked" not in summary["headline"]
    summary, _ = built(tmp_path, "ratings.csv", HEADER + text(table), min_rating=1.5)
    assert "; liked is what was rated 1.5 or more" in summary["headline"]


def test_a_log_without_a_rating_above_zero_says_what_to_set(tmp_path: Path) -> None:
    table = [(user, item, 0, time) for user, item, _, time in rows()]
    with pytest.raises(BadData, match="0 users have 3 inter.*Set a lower features.min_rating"):
        built(tmp_path, "ratings.csv", HEADER + text(table))
    summary, _ = built(tmp_path, "ratings.csv", HEADER + text(table), min_rating=0)
    assert sum(summary["rows"].values()) == 180


@pytest.mark.parametrize("factors", [(1, 1000), (1_000_000, 1), (1000, 1_000_000_000)])
def test_times_in_several_units_leave_out_the_same_items(
    tmp_path: Path, factors: tuple[int, int]
) -> None:
    now = [(*row[:3], row[3] + 1_700_000_000) for row in rows()]
    _, out = built(tmp_path, "ratings.csv", HEADER + text(now))
    expected = left_out(out)
    table = [(*row[:3], row[3] * factors[n % 2]) for n, row in enumerate(now)]
    summary, out = built(tmp_path, "ratings.csv", HEADER + text(table))
    assert left_out(out) == expected
    (note,) = (note for note in summary["notes"] if note.startswith("timestamp: "))
    assert note.count("90 ") == 2
    assert summary["headline"].endswith("; 1 note on how cells were read (see the card)")
    lost = [*table, (1, 2, 3.5, 12)]
    with pytest.raises(BadData, match="row 181, column 'timestamp': '12' is no time since 1970"):
        built(tmp_path, "ratings.csv", HEADER + text(lost))


@pytest.mark.parametrize(
    ("name", "mark", "header"),
    [
        ("ratings.dat", "::", ""),
        ("u.data", "\t", ""),
        ("log.csv", ",", ""),
        ("log.tsv", "\t", "user\titem\tstars\tts\n"),
        ("log.csv", ";", "user_id;item_id;rating;time\n"),
        ("x.csv", ",", "USERID,ItemId,rating,Timestamp\n"),
    ],
)
def test_the_usual_forms_of_a_log_give_the_same_splits(
    tmp_path: Path, name: str, mark: str, header: str
) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    _, plain = built(tmp_path / "a", "ratings.csv", HEADER + text(rows()))
    _, other = built(tmp_path / "b", name, header + text(rows(), mark))
    assert left_out(other) == left_out(plain)


def test_parquet_with_numbers_or_dates_gives_the_same_splits(tmp_path: Path) -> None:
    import pandas as pd

    (tmp_path / "a").mkdir()
    _, plain = built(tmp_path / "a", "ratings.csv", HEADER + text(rows()))
    frame = pd.DataFrame(rows(), columns=["userId", "itemId", "rating", "timestamp"])
    dated = frame.assign(timestamp=pd.to_datetime(frame["timestamp"], unit="s"))
    for name, table in (("numbers", frame), ("dates", dated)):
        (tmp_path / name / "raw").mkdir(parents=True)
        table.to_parquet(tmp_path / name / "raw" / "interactions.parquet")
        content = (tmp_path / name / "raw" / "interactions.parquet").read_bytes()
        _, out = built(tmp_path / name, "interactions.parquet", content)
        assert left_out(out) == left_out(plain)


def test_a_movielens_folder_is_read_with_titles(tmp_path: Path) -> None:
    raw = tmp_path / "raw"
    raw.mkdir()
    (raw / "movies.csv").write_text(
        'movieId,title,genres\n1,"Heat, the (1995)",Crime|Drama\n2,Alien,\n'
    )
    (raw / "tags.csv").write_text("userId,movieId,tag,timestamp\n1,1,good,3\n")
    (raw / "README.txt").write_text("read me")
    _, out = built(tmp_path, "ratings.csv", HEADER + text(rows()))
    catalog = Catalog.load(out / "assets")
    first = catalog.items[catalog.item_index["1"]]
    assert (first.title, first.category) == ("Heat, the (1995)", "Crime")
    assert catalog.items[catalog.item_index["2"]].category is None


def test_what_was_shown_is_divided_where_the_left_out_clicks_are(tmp_path: Path) -> None:
    shown = [(*row, 1, 0, 12.5) for row in rows()]
    passed = [(1, 20, "", 1_000 + 86_400 * day + 500, 0, 0, 0) for day in (0, 3, 4, 9)]
    header = "userId,itemId,rating,timestamp,click,conversion,dwell\n"
    summary, out = built(tmp_path, "interactions.csv", header + text([*shown, *passed]))
    assert sum(summary["rows"].values()) == len(shown)
    counts = {split: load_impressions(out, split) for split in ("train", "validation", "test")}
    # User 1 clicks on days 0 to 5: day 3 is the last of training, day 4 validation, day 5 test.
    assert {split: int((part["click"] == 0).sum()) for split, part in counts.items()} == {
        "train": 1,
        "validation": 1,
        "test": 2,
    }
    assert {split: int(part["click"].sum()) for split, part in counts.items()} == summary["rows"]


GOOD = HEADER + text(rows())


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("", "ratings.csv: the file is empty"),
        (HEADER, "ratings.csv: there is a header but no row below it"),
        (GOOD + "4, ,3.0,99\n", "row 181, column 'movieId': an interaction without an item"),
        (
            GOOD + "4,4,3.0,yesterday\n",
            "row 181, column 'timestamp': 'yesterday' is neither a number nor a time",
        ),
        (GOOD + "4,4,3.0,\n", "row 181, column 'timestamp': the time is missing"),
        (GOOD + "4,4,3.0,nan\n", "row 181, column 'timestamp': the time is missing"),
        (
            GOOD + "4,4,3.0,inf\n",
            "row 181, column 'timestamp': 'inf' is neither a number nor a time",
        ),
        (GOOD + "4,4,inf,99\n", "row 181, column 'rating': the cell is infinite"),
        (GOOD + "\n4,4,3.0,soon\n", "row 182, column 'timestamp'"),
        (GOOD + "4,4,many,99\n", "row 181, column 'rating': 'many' is not a number"),
        (GOOD + "4,4,3.0\n", "row 181: 3 cells where the header has 4"),
        (
            text(rows()) + "4,4,3.0,soon\n",
            "row 181, column 'timestamp': 'soon' is neither a number nor a time",
        ),
        (
            "userId,rating,timestamp\n1,2,3\n",
            "no column is the item; seen: userId, rating, timestamp. Type",
        ),
        ("1\n3\n", "row 1: 1 cells and no header"),
        (HEADER + text(rows(users=19)), "19 users have 3 interactions or more; 20 are needed"),
        (HEADER + text(rows(items=20)), "20 items; at least 21 are needed"),
        (b"userId,itemId\x00", "is binary, not text"),
    ],
)
def test_a_faulty_log_is_refused_with_its_place(
    tmp_path: Path, content: str | bytes, said: str
) -> None:
    with pytest.raises(BadData) as caught:
        built(tmp_path, "ratings.csv", content)
    assert said in str(caught.value)


@pytest.mark.parametrize(
    ("cells", "said"),
    [
        ("2,0,5", "column 'click': '2' is neither 0 nor 1"),
        ("1,maybe,5", "column 'conversion': 'maybe' is neither"),
        ("1,0,-5", "column 'dwell': -5 seconds: a time spent is 0 or more"),
    ],
)
def test_faulty_labels_are_refused_with_their_place(tmp_path: Path, cells: str, said: str) -> None:
    header = "userId,itemId,rating,timestamp,click,conversion,dwell\n"
    with pytest.raises(BadData, match="row 2") as caught:
        built(tmp_path, "log.csv", f"{header}1,1,3,5,1,0,4\n1,2,3,6,{cells}\n")
    assert said in str(caught.value)


def test_folders_without_one_log_are_refused(tmp_path: Path) -> None:
    with pytest.raises(
        BadData, match="one file of interactions is needed; seen: a.csv, b.csv.*--data …/a.csv"
    ):
        (tmp_path / "raw").mkdir()
        (tmp_path / "raw" / "a.csv").write_text(GOOD)
        built(tmp_path, "b.csv", GOOD)
    (tmp_path / "c").mkdir()
    with pytest.raises(BadData, match="x.parquet: is not a complete Parquet file"):
        built(tmp_path / "c", "x.parquet", b"PAR1 cut")
    (tmp_path / "d" / "raw").mkdir(parents=True)
    (tmp_path / "d" / "raw" / "items.csv").write_text("id,title\n1,One\n,Two\n")
    with pytest.raises(BadData, match=r"items.csv, row 2, column 'id': an item without an id"):
        built(tmp_path / "d", "ratings.csv", GOOD)


def test_requests_hold_what_is_known_at_the_time(tmp_path: Path) -> None:
    _, out = built(tmp_path, "ratings.csv", GOOD)
    left = left_out(out)
    for body in RecommenderData(RecommenderConfig()).requests(out, "validation"):
        assert set(body) == {"user", "k"}
    for body in RecommenderData(RecommenderConfig()).requests(out, "test"):
        assert body["history"] == [left[body["user"]][0]]
    for body in RecommenderData(RecommenderConfig()).requests(out, "train"):
        assert "user" not in body
        assert len(body["history"]) == 3
    assert json.loads((out / "assets" / "users.json").read_text())[:2] == ["1", "2"]


def test_a_log_without_what_multitask_learns_is_refused_before_a_run(tmp_path):
    lines = [f"u{n % 30},i{n % 23},{n}" for n in range(200)]
    (tmp_path / "log.csv").write_text("\n".join(["user,item,time", *lines]) + "\n")
    RecommenderData(RecommenderConfig()).check(tmp_path)
    config = RecommenderConfig.model_validate({"model": {"kind": "multitask"}})
    with pytest.raises(BadData, match=r"missing: all three\. Type: --set model\.kind=lightgcn"):
        RecommenderData(config).check(tmp_path)


def test_an_id_that_no_request_can_say_is_refused_with_its_row(tmp_path: Path) -> None:
    """Addresses as ids: found when the log is read, not when the trained model is judged."""
    long = "x" * 201
    changed = [(long if user == 2 else user, *rest) for user, *rest in rows()]
    with pytest.raises(BadData, match="201 characters; requests take at most 200") as error:
        built(tmp_path, "ratings.csv", HEADER + text(changed))
    assert error.value.row == 7
    assert error.value.column == "userId"


def test_a_list_without_titles_is_no_list_without_items(tmp_path: Path) -> None:
    (tmp_path / "raw").mkdir()
    names = [str(item) for item in range(1, 26)]
    (tmp_path / "raw/items.csv").write_text(
        "movieId,genre\n" + "".join(f"{name},drama\n" for name in names)
    )
    summary, _ = built(tmp_path, "ratings.csv", HEADER + text(rows()))
    assert not any("not in the list of items" in note for note in summary["notes"])
    (tmp_path / "raw/items.csv").write_text(
        "movieId,genre\n" + "".join(f"{name},drama\n" for name in names[3:])
    )
    summary, _ = built(tmp_path, "ratings.csv", HEADER + text(rows()))
    assert any(note.startswith("3 items are not in the list") for note in summary["notes"])


def test_the_median_is_of_items_that_somebody_had(tmp_path: Path) -> None:
    """Items of low ratings only are no items of the catalogue."""
    disliked = [(1, 1_000 + number, 0.0, 999_999) for number in range(40)]
    summary, _ = built(tmp_path, "ratings.csv", HEADER + text([*disliked, *rows()]))
    (table,) = (table for table in summary["tables"] if table["title"] == "Interactions")
    figures = dict(table["rows"])
    median = float(figures["an item has (median, most)"].split(" / ")[0])
    assert median == np.median(np.bincount([row[1] for row in rows()])[1:])
