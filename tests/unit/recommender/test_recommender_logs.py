"""Logs as archives hold them: without times, without a header, next to other tables."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from modelyard.errors import BadData
from modelyard.families.recommender.config import RecommenderConfig
from modelyard.families.recommender.data import RecommenderData
from modelyard.kit.tables import is_local, read_table, times
from tests.unit.recommender.test_recommender_data import HEADER, built, left_out, rows, text


def pairs() -> list[tuple[int, int, float]]:
    return [(user, item, rating) for user, item, rating, _ in rows()]


def test_without_times_what_is_left_out_is_drawn_whatever_the_order(tmp_path: Path) -> None:
    table = pairs()
    header = "user_id,book_id,rating,format\n"
    table = [(*row, "paper") for row in table]
    summary, out = built(tmp_path / "a", "goodbooks.csv", header + text(table))
    assert "no times: what is left out of a history is drawn" in summary["headline"]
    assert any("The log has no times" in note for note in summary["notes"])
    assert summary["rows"] == {"train": 120, "validation": 30, "test": 30}
    table = [table[place] for place in np.random.default_rng(1).permutation(len(table))]
    _, again = built(tmp_path / "b", "goodbooks.csv", header + text(table))
    assert left_out(out) == left_out(again)
    # Not the last of the file for each user, as sorted exports would have it.
    last = {str(user): str(item) for user, item, _ in pairs()}
    assert sum(left_out(out)[user][1] == item for user, item in last.items()) < 15


def test_each_item_of_a_history_is_as_likely_to_be_left_out(tmp_path: Path) -> None:
    table = [(user, item) for user in range(3_000) for item in "abcdefgh"]
    # Of eight items each user has all; the others bring the number of items that is needed.
    table += [(f"x{place}", place) for place in range(40)]
    _, out = built(tmp_path, "log.csv", "user,item\n" + text(table))
    counts = Counter(items[1] for items in left_out(out).values())
    assert set(counts) == set("abcdefgh")
    assert min(counts.values()) > 0.9 * 3_000 / 8
    assert max(counts.values()) < 1.1 * 3_000 / 8


@pytest.mark.parametrize("column", ["purchased_at", "boughtAt", "releaseDate", "when"])
def test_a_column_that_may_be_the_time_is_asked_about(tmp_path: Path, column: str) -> None:
    table = [(user, item, "2024-03-01") for user, item, _ in pairs()]
    log = f"user,item,{column}\n{text(table)}"
    with pytest.raises(BadData, match=f"no column is the time.*features.time_column={column}"):
        built(tmp_path, "log.csv", log)
    summary, _ = built(tmp_path / "dropped", "log.csv", log, drop=[column])
    assert "no times" in summary["headline"]


def test_a_kind_that_learns_an_order_needs_times(tmp_path: Path) -> None:
    (tmp_path / "log.csv").write_text("user,item\n" + text([row[:2] for row in pairs()]))
    config = RecommenderConfig.model_validate({"model": {"kind": "sequence"}})
    with pytest.raises(BadData, match="and the log has no times.*model.kind=lightgcn"):
        RecommenderData(config).check(tmp_path / "log.csv")


def test_spellings_of_a_name_are_alike(tmp_path: Path) -> None:
    _, expected = built(tmp_path / "a", "log.csv", HEADER + text(rows()))
    header = '"User-ID";"ISBN";"Book-Rating";"Invoice Date"\n'
    _, out = built(tmp_path / "b", "log.csv", header + text(rows(), ";"))
    assert left_out(out) == left_out(expected)


def test_of_several_tables_the_one_with_users_and_items_is_the_log(tmp_path: Path) -> None:
    raw = tmp_path / "raw"
    raw.mkdir()
    (raw / "BX-Books.csv").write_text('"ISBN";"Book-Title"\n"1";"Eins"\n')
    (raw / "BX-Users.csv").write_text('"User-ID";"Age"\n"1";"30"\n')
    summary, _ = built(
        tmp_path, "BX-Book-Ratings.csv", '"User-ID";"ISBN";"Book-Rating"\n' + text(pairs(), ";")
    )
    assert sum(summary["rows"].values()) == 180


@pytest.mark.parametrize("cells", [3, 2])
def test_without_header_and_times_the_columns_are_users_items_and_ratings(
    tmp_path: Path, cells: int
) -> None:
    _, expected = built(
        tmp_path / "a", "log.csv", "user,item\n" + text([row[:2] for row in pairs()])
    )
    table = [row[:cells] for row in pairs()]
    _, out = built(tmp_path / "b", "log.csv", text(table))
    assert left_out(out) == left_out(expected)


def test_a_third_column_of_large_numbers_is_the_time(tmp_path: Path) -> None:
    later = [(user, item, 1_300_000_000 + time) for user, item, _, time in rows()]
    _, expected = built(tmp_path / "a", "log.csv", HEADER + text(rows()))
    _, out = built(tmp_path / "b", "log.csv", text(later))
    assert left_out(out) == left_out(expected)


def test_columns_without_names_can_be_named_by_their_place(tmp_path: Path) -> None:
    """A library of games: its first row holds `purchase`, which is the name of a label elsewhere."""
    table = [(user, f"Game {item}", "purchase", 1.0, 0) for user, item, _ in pairs()]
    summary, out = built(tmp_path, "steam.csv", text(table), user_column="c1", item_column="c2")
    assert "its columns are called c1 to c5" in summary["headline"]
    assert all(items[0].startswith("Game ") for items in left_out(out).values())


def test_times_that_end_in_utc_are_in_utc(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text(
        "event_time,x\n2019-10-01 00:00:01 UTC,1\n2019-10-01T00:00:02Z,2\n"
    )
    table = read_table(tmp_path / "t.csv")
    found = times(table, "event_time")
    assert np.diff(found).tolist() == [1.0]
    assert not is_local(table, "event_time")
