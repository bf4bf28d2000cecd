"""Logs as the repositories of recommenders hold them: RecBole's atomic files, NCF's ratings, LightGCN's
lists, and rows in the order of time without a time."""

from __future__ import annotations

from pathlib import Path

import pytest

from modelyard.errors import BadData
from modelyard.families.recommender.catalog import Catalog
from modelyard.families.recommender.config import RecommenderConfig
from modelyard.families.recommender.data import RecommenderData
from tests.unit.recommender.test_recommender_data import HEADER, built, left_out, rows, text

ATOMIC = "user_id:token\titem_id:token\trating:float\ttimestamp:float\n"


def test_atomic_files_say_what_movielens_says(tmp_path: Path) -> None:
    _, expected = built(tmp_path / "a", "ratings.csv", HEADER + text(rows()))
    raw = tmp_path / "b" / "raw"
    raw.mkdir(parents=True)
    items = [(item, f"Film {item}", f"{1990 + item % 9}", "Drama Crime") for item in range(1, 26)]
    items[3] = (4, "Film 4", "unknwon", "Drama")
    header = "item_id:token\tmovie_title:token_seq\trelease_year:token\tclass:token_seq\n"
    (raw / "ml.item").write_text(header + text(items, "\t"))
    users = [(user, 20 + user % 30) for user in range(1, 31)]
    (raw / "ml.user").write_text("user_id:token\tage:float\n" + text(users, "\t"))
    (raw / "ml.kg").write_text("head_id:token\ttail_id:token\n1\t2\n")
    summary, out = built(tmp_path / "b", "ml.inter", ATOMIC + text(rows(), "\t"))
    assert left_out(out) == left_out(expected)
    # A token is a name, whatever most of its cells look like.
    assert "1 column of users; 2 columns of items" in summary["headline"]
    titles = {item.id: item.title for item in Catalog.load(out / "assets").items}
    assert titles["1"] == "Film 1"


def test_movielens_lists_without_a_header_are_not_taken_for_atomic_files(tmp_path: Path) -> None:
    raw = tmp_path / "raw"
    raw.mkdir()
    films = [(item, f"Film {item}", "01-Jan-1995", "", "http://f", 0, 1) for item in range(1, 26)]
    (raw / "u.item").write_text(text(films, "|"))
    (raw / "u.user").write_text(text([(user, 24, "F", "writer") for user in range(1, 31)], "|"))
    summary, out = built(tmp_path, "u.data", text(rows(), "\t"))
    assert "columns" not in summary["headline"]
    assert {item.category for item in Catalog.load(out / "assets").items} == {None}


def test_an_atomic_file_by_itself_is_a_log(tmp_path: Path) -> None:
    file = tmp_path / "ml.inter"
    file.write_text(ATOMIC + text(rows(), "\t"))
    RecommenderData(RecommenderConfig()).check(file)


@pytest.mark.parametrize("header", ["", "uid iid rating timestamp\n"])
def test_names_that_spaces_separate_are_read(tmp_path: Path, header: str) -> None:
    named = [(f"USER_{user}", f"LOC_{item}", *others) for user, item, *others in rows()]
    _, expected = built(tmp_path / "a", "ratings.csv", HEADER + text(named))
    summary, out = built(tmp_path / "b", "trainData.txt", header + text(named, " "))
    assert left_out(out) == left_out(expected)
    assert "trainData.txt is separated by spaces" in summary["notes"]


@pytest.mark.parametrize("line", ["USER_1", "USER_1 LOC_1 1.0 more", "USER_1 LOC_1,1.0"])
def test_lines_of_unequal_length_or_with_commas_are_not_cut_at_spaces(
    tmp_path: Path, line: str
) -> None:
    named = [(f"USER_{user}", f"LOC_{item}", "1.0") for user, item, *_ in rows()]
    with pytest.raises(BadData):
        built(tmp_path, "trainData.txt", text(named, " ") + line + "\n")


def test_ratings_without_a_header_are_read_whatever_their_ending(tmp_path: Path) -> None:
    _, expected = built(tmp_path / "a", "ratings.csv", HEADER + text(rows()))
    _, out = built(tmp_path / "b", "ml-1m.train.rating", text(rows(), "\t"))
    assert left_out(out) == left_out(expected)


def test_one_time_throughout_is_no_time(tmp_path: Path) -> None:
    pairs = [(user, item) for user, item, _, _ in rows()]
    _, expected = built(tmp_path / "a", "log.csv", "user,item\n" + text(pairs))
    # Pinterest's log: everything is liked, at the time 0.
    same = [(user, item, 1, 0) for user, item in pairs]
    summary, out = built(tmp_path / "b", "pinterest.train.rating", text(same, "\t"))
    assert left_out(out) == left_out(expected)
    assert "timestamp: '0' throughout, which is no time" in summary["notes"]
    assert "what is left out of a history is drawn" in summary["headline"]


def test_lines_of_a_user_and_their_items_are_a_log(tmp_path: Path) -> None:
    pairs = [(user, item) for user, item, _, _ in rows() if user != item]
    lists: dict[int, list[int]] = {}
    for user, item in pairs:
        lists.setdefault(user, []).append(item)
    _, expected = built(tmp_path / "a", "log.csv", "user,item\n" + text(pairs))
    lines = [" ".join(map(str, (user, *items))) for user, items in lists.items()]
    # Of a user without items only the number, as LightGCN's files have it.
    content = "\n".join([*lines, "99 ", "98"])
    summary, out = built(tmp_path / "b", "train.txt", content)
    assert left_out(out) == left_out(expected)
    note = "train.txt: each line is a user, followed by their items; 2 have none, and are left out"
    assert note in summary["notes"]


def test_pairs_of_equal_lines_are_no_lists(tmp_path: Path) -> None:
    pairs = [(user, item) for user, item, _, _ in rows()]
    summary, _ = built(tmp_path, "Video.txt", text(pairs, " "))
    assert not any("followed by their items" in note for note in summary["notes"])
    assert summary["rows"]["test"] == 30


def test_rows_in_the_order_of_time_need_no_time(tmp_path: Path) -> None:
    pairs = [(user, item) for user, item, _, _ in rows()]
    summary, out = built(tmp_path, "Video.txt", text(pairs, " "), in_order=True)
    last: dict[str, list[str]] = {}
    for user, item in pairs:
        last.setdefault(str(user), []).append(str(item))
    assert left_out(out) == {user: tuple(items[-2:]) for user, items in last.items()}
    assert "no times: rows are in their order (features.in_order)" in summary["headline"]
    settings = {"model": {"kind": "sequence"}, "features": {"in_order": True}}
    config = RecommenderConfig.model_validate(settings)
    RecommenderData(config).check(tmp_path / "raw" / "Video.txt")


def test_of_several_logs_the_largest_is_the_example_to_give(tmp_path: Path) -> None:
    raw = tmp_path / "raw"
    raw.mkdir()
    (raw / "play.dat").write_text("User_ID\tGame_ID\tHours\n1\t1\t3\n")
    with pytest.raises(BadData, match=r"seen: play.dat, purchase.dat. .*--data …/purchase.dat"):
        built(
            tmp_path, "purchase.dat", "User_ID\tGame_ID\n" + text([row[:2] for row in rows()], "\t")
        )
