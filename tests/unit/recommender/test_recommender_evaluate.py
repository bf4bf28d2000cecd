"""The figures are what the papers define, on the whole catalogue, and nothing of the future is
in them."""

from __future__ import annotations

import csv
import math
from pathlib import Path

import numpy as np
import pytest

from modelyard.families.recommender.catalog import Catalog, Item
from modelyard.families.recommender.config import RecommenderConfig
from modelyard.families.recommender.data import load_impressions, load_split
from modelyard.families.recommender.evaluate import ask, evaluate, histories, rank
from modelyard.families.recommender.family import Recommender
from modelyard.families.recommender.ranking import (
    figures,
    neighbour_scores,
    popularity_scores,
    ranks,
)
from modelyard.judging.curves import roc_auc
from tests.unit.recommender.conftest import configured, train

KINDS = ("lightgcn", "ncf", "multitask")


def sorted_out(scores: list[float], seen: set[int]) -> list[int]:
    """All items but the seen ones, best first, by nothing but Python."""
    return sorted(
        (item for item in range(len(scores)) if item not in seen), key=lambda item: -scores[item]
    )


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("split", ["validation", "test"])
def test_metrics_are_those_of_plain_loops_over_all_scores(made, kind, split):
    one = made(kind)
    catalog = Catalog.load(one.features / "assets")
    users, target = load_split(one.features, split)
    scores = one.host.scores(one.run("personal", {"user": users})).tolist()
    before = dict(
        zip(*(part.tolist() for part in load_split(one.features, "validation")), strict=True)
    )
    hits, gains, reciprocal, shown = (
        dict.fromkeys((5, 10, 20), 0),
        dict.fromkeys((5, 10, 20), 0.0),
        0.0,
        set(),
    )
    for row, (user, wanted) in enumerate(zip(users.tolist(), target.tolist(), strict=True)):
        seen = set(catalog.history(user).tolist()) | ({before[user]} if split == "test" else set())
        ranked = sorted_out(scores[row], seen)
        place = ranked.index(wanted) + 1
        shown |= set(ranked[:10])
        reciprocal += 1 / place if place <= 20 else 0
        for k in hits:
            hits[k] += place <= k
            gains[k] += 1 / math.log2(place + 1) if place <= k else 0
    found = evaluate(one.host, one.run, one.features, split)
    assert found.rows == len(users)
    for k in hits:
        assert found.metrics[f"recall_at_{k}"] == pytest.approx(hits[k] / len(users))
        assert found.metrics[f"ndcg_at_{k}"] == pytest.approx(gains[k] / len(users))
    assert found.metrics["mrr_at_20"] == pytest.approx(reciprocal / len(users))
    assert found.metrics["coverage_at_10"] == pytest.approx(len(shown) / len(catalog.items))


def test_the_baseline_is_popularity_in_training(made):
    one = made("lightgcn")
    catalog = Catalog.load(one.features / "assets")
    users, target = load_split(one.features, "test")
    before = dict(zip(*load_split(one.features, "validation"), strict=True))
    hits = 0
    for user, wanted in zip(users.tolist(), target.tolist(), strict=True):
        seen = {*catalog.history(user).tolist(), before[user]}
        hits += wanted in sorted_out(catalog.popularity.tolist(), seen)[:10]
    found = evaluate(one.host, one.run, one.features, "test")
    assert found.baseline["recall_at_10"] == pytest.approx(hits / len(users))


def small() -> Catalog:
    """Three users with two items each, of four."""
    items = np.array([0, 1, 0, 2, 0, 1])
    return Catalog(
        ["a", "b", "c"],
        [Item(name) for name in "wxyz"],
        items,
        np.array([2, 4, 6]),
        np.bincount(items, minlength=4),
    )


def test_figures_by_hand():
    # The wanted items stand first, third, and nowhere.
    lists = np.full((3, 20), -1)
    lists[0, :2], lists[1, :3], lists[2, :2] = [3, 2], [1, 2, 3], [2, 3]
    found = figures(lists, np.array([3, 3, 0]), np.array([0, 1, 2]), small())
    assert ranks(lists, np.array([3, 3, 0])).tolist() == [1, 3, np.inf]
    assert found["recall_at_5"] == pytest.approx(2 / 3)
    assert found["ndcg_at_5"] == pytest.approx((1 + 1 / 2) / 3)
    assert found["mrr_at_20"] == pytest.approx((1 + 1 / 3) / 3)
    assert found["coverage_at_5"] == pytest.approx(3 / 4)
    # Shares with one added: 4, 3, 2, 1 of 10; shown are z y, x y z, y z.
    bits = [-math.log2(share) for share in (0.1, 0.2, 0.3, 0.2, 0.1, 0.2, 0.1)]
    assert found["novelty_at_5"] == pytest.approx(sum(bits) / 7)
    profile = ((3 + 2) / 2 + (3 + 1) / 2 + (3 + 2) / 2) / 3
    assert found["popularity_lift_at_5"] == pytest.approx(
        (0 + 1 + 2 + 1 + 0 + 1 + 0) / 7 / profile - 1
    )


def test_neighbours_are_summed_cosines():
    (first, *_) = list(neighbour_scores(small(), np.array([0, 1])))
    cosine = 1 / math.sqrt(3 * 1)
    assert first.tolist() == pytest.approx(
        [2 / math.sqrt(3 * 2), 2 / math.sqrt(3 * 2), cosine, 0.0]
    )


def test_lists_leave_out_what_was_had_and_end_early():
    lists = rank(popularity_scores(small(), np.array([0])), [np.array([0, 2])])
    assert lists[0, :3].tolist() == [1, 3, -1]


def test_roc_auc_counts_pairs():
    rng = np.random.default_rng(0)
    truth, score = rng.integers(0, 2, 60), rng.integers(0, 9, 60)
    pairs = [(a > b) + (a == b) / 2 for a in score[truth == 1] for b in score[truth == 0]]
    assert roc_auc(truth, score.astype(float)) == pytest.approx(sum(pairs) / len(pairs))


def test_towers_beat_the_items_own_means_at_their_tasks(made):
    one = made("multitask")
    found = evaluate(one.host, one.run, one.features, "test")
    assert found.metrics["click_roc_auc"] > found.baseline["click_roc_auc"] + 0.02
    assert found.directions["dwell_log_mae"] == "min"
    assert set(found.metrics) == set(found.baseline)


def test_the_train_split_is_asked_as_strangers_and_can_be_hit(made):
    one = made("lightgcn")
    found = evaluate(one.host, one.run, one.features, "train")
    assert found.metrics["recall_at_20"] > found.baseline["recall_at_20"]
    assert any("history" in note for note in found.notes)


@pytest.mark.parametrize("kind", ["lightgcn", "din", "sequence"])
def test_the_model_knows_nothing_of_the_test_interaction(made, kind, tmp_path):
    one = made(kind)
    with (one.raw / "interactions.csv").open(newline="") as stream:
        header, *rows = list(csv.reader(stream))
    user = "7"
    last = max(
        (row for row in rows if row[0] == user and row[4] == "1"), key=lambda row: int(row[3])
    )
    had = {row[1] for row in rows if row[0] == user}
    other = next(row[1] for row in rows if row[1] not in had)
    (tmp_path / "raw").mkdir()
    with (tmp_path / "raw" / "interactions.csv").open("w", newline="") as stream:
        changed = [[row[0], other, *row[2:]] if row is last else row for row in rows]
        csv.writer(stream).writerows([header, *changed])
    for name in ("items.csv", "users.csv"):
        (tmp_path / "raw" / name).write_bytes((one.raw / name).read_bytes())
    again = train(configured(kind), tmp_path / "raw", tmp_path)
    files = sorted(path.relative_to(one.model) for path in one.model.rglob("*") if path.is_file())
    assert len(files) >= 8
    assert [
        name
        for name in files
        if (one.model / name).read_bytes() != (again.model / name).read_bytes()
    ] == [Path("assets/later.npy")]
    assert (one.features / "test.npz").read_bytes() != (again.features / "test.npz").read_bytes()


def test_a_champion_that_knows_fewer_users_and_items_is_judged_on_the_same(made, tmp_path):
    one = made("lightgcn")
    with (one.raw / "interactions.csv").open(newline="") as stream:
        header, *rows = list(csv.reader(stream))
    (tmp_path / "raw").mkdir()
    with (tmp_path / "raw" / "log.csv").open("w", newline="") as stream:
        csv.writer(stream).writerows(
            [header, *(row for row in rows if int(row[0]) > 50 and int(row[1]) > 10)]
        )
    champion = train(configured("ncf"), tmp_path / "raw", tmp_path)
    found = evaluate(champion.host, champion.run, one.features, "test")
    assert found.rows == len(load_split(one.features, "test")[0])
    assert any("personal" in note and "history" in note for note in found.notes)
    assert found.metrics["ndcg_at_10"] > 0
    assert found.baseline == evaluate(one.host, one.run, one.features, "test").baseline


def test_histories_hold_the_validation_item_on_test_alone(made):
    one = made("lightgcn")
    users, item = load_split(one.features, "validation")
    wanted = dict(zip(users.tolist(), item.tolist(), strict=True))
    for user, at_validation, at_test in zip(
        users.tolist(),
        histories(one.features, "validation"),
        histories(one.features, "test"),
        strict=True,
    ):
        assert wanted[user] not in at_validation
        assert at_test.tolist() == [*at_validation.tolist(), wanted[user]]


def test_plots_are_those_of_the_field(made):
    one = made("lightgcn")
    found = evaluate(one.host, one.run, one.features, "test")
    plots = {plot.title: plot for plot in found.plots}
    assert set(plots) == {
        "Recall by list length",
        "Recall by user activity",
        "Long tail",
        "Popularity of what is shown",
    }
    model = plots["Recall by list length"].series[0]
    assert model.y[9] == pytest.approx(found.metrics["recall_at_10"])
    for series in plots["Long tail"].series:
        assert series.y[0] == 0
        assert series.y[-1] == pytest.approx(1)
        assert series.y == sorted(series.y)


@pytest.mark.slow
def test_lightgcn_is_ahead_of_ncf_and_ncf_of_popularity_by_default(tmp_path: Path):
    gains = {}
    for kind in ("lightgcn", "ncf"):
        folder = tmp_path / kind
        (folder / "raw").mkdir(parents=True)
        family = Recommender(RecommenderConfig.model_validate({"model": {"kind": kind}}))
        family.sample(folder / "raw")
        one = train(family, folder / "raw", folder)
        catalog = Catalog.load(one.features / "assets")
        users, target = load_split(one.features, "test")
        had = histories(one.features, "test")
        lists, _ = ask(one.host.judging(), one.run, catalog, users, had, "test")
        for name, found in (
            (kind, lists),
            ("popularity", rank(popularity_scores(catalog, users), had)),
        ):
            place = ranks(found, target)
            gains[name] = np.where(place <= 10, 1 / np.log2(1 + place), 0)
    for better, worse, factor in (("lightgcn", "ncf", 1.03), ("ncf", "popularity", 3)):
        ahead = gains[better] - gains[worse]
        # Four standard errors of the paired difference over users.
        assert ahead.mean() > 4 * ahead.std() / np.sqrt(len(ahead))
        assert gains[better].mean() > factor * gains[worse].mean()


def test_a_history_longer_than_a_request_may_hold_is_judged(made):
    """Bots and shops have more than the 10,000 items that a caller may send."""
    one = made("ncf")
    catalog = Catalog.load(one.features / "assets")
    users, _ = load_split(one.features, "test")
    had = [np.tile(catalog.history(user), 10_000) for user in users[:2].tolist()]
    lists, sources = ask(one.host.judging(), one.run, catalog, users[:2], had, "test")
    short = [catalog.history(user) for user in users[:2].tolist()]
    expected, _ = ask(one.host.judging(), one.run, catalog, users[:2], short, "test")
    assert np.array_equal(lists, expected)
    assert sources["personal"] == 2


def test_clicks_without_a_time_neither_train_nor_judge_it_and_are_counted(tmp_path):
    """No time is not a time of 0 seconds: what is known of the others stays what it was."""
    family = configured("multitask")
    (tmp_path / "raw").mkdir()
    family.sample(tmp_path / "raw")
    file = tmp_path / "raw/interactions.csv"
    with file.open() as stream:
        rows = list(csv.DictReader(stream))
    for number, row in enumerate(rows):
        if number % 3 == 0:
            row["dwell"] = ""
        if row["conversion"] == "0":
            row["conversion"] = ""
    with file.open("w", newline="") as stream:
        writer = csv.DictWriter(stream, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    one = train(family, tmp_path / "raw", tmp_path)
    judged = evaluate(one.host, one.run, one.features, "test")
    shown = load_impressions(one.features, "test")
    timed = (shown["click"] == 1) & ~np.isnan(shown["dwell"])
    assert 0 < timed.sum() < (shown["click"] == 1).sum()
    # The usual log time is 3 and more: trained on zeros, the mean error would be above 1.
    assert judged.metrics["dwell_log_mae"] < 0.9
    assert judged.baseline["dwell_log_mae"] < 0.9
    assert 0 < judged.metrics["conversion_roc_auc"] < 1


def test_the_log_says_how_many_clicks_have_no_time(tmp_path):
    family = configured("multitask")
    (tmp_path / "raw").mkdir()
    family.sample(tmp_path / "raw")
    file = tmp_path / "raw/interactions.csv"
    lines = file.read_text().splitlines()
    clicked = [number for number, line in enumerate(lines) if line.split(",")[4] == "1"]
    for number in clicked[:7]:
        lines[number] = lines[number].rpartition(",")[0] + ","
    file.write_text("\n".join(lines) + "\n")
    out = tmp_path / "features"
    (out / "assets").mkdir(parents=True)
    notes = family.features(tmp_path / "raw", out)["notes"]
    assert any(note.startswith("7 clicked rows have no dwell time") for note in notes)
