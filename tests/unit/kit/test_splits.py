"""An example's split follows from what it holds, so that it stays there when the data grow."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from modelyard.kit.splits import draw, keys_of, keys_of_rows

SHARES = {"validation": 0.2, "test": 0.2}


def table(rows: int, seed: int = 0) -> pd.DataFrame:
    drawn = np.random.default_rng(seed)
    return pd.DataFrame(
        {"x": drawn.normal(size=rows), "kind": drawn.choice(list("abc"), rows), "y": "no"}
    )


def split_of(parts: dict[str, np.ndarray]) -> np.ndarray:
    found = np.full(sum(map(len, parts.values())), "")
    found = found.astype("U10")
    for split, places in parts.items():
        found[places] = split
    return found


@pytest.mark.parametrize("seed", range(5))
def test_no_row_that_trained_is_judged_on_when_the_table_has_grown_and_is_in_another_order(seed):
    old, new = table(1_000), table(300, seed=100 + seed)
    both = pd.concat([new, old], ignore_index=True)
    before = split_of(draw(keys_of_rows(old, seed), SHARES))
    after = split_of(draw(keys_of_rows(both, seed), SHARES))[len(new) :]
    assert not ((before == "train") & (after == "test")).any()
    assert (before == after).mean() > 0.93
    assert (after == "test").mean() == pytest.approx(0.2, abs=0.03)


def test_each_class_has_its_share_in_every_split():
    classes = np.repeat([0, 1, 2], [700, 60, 10])
    parts = draw(keys_of(map(str, range(770)), 0), SHARES, classes, least=2)
    assert sorted(np.concatenate(list(parts.values())).tolist()) == list(range(770))
    for split, expected in {"test": [140, 12, 2], "validation": [140, 12, 2]}.items():
        assert np.bincount(classes[parts[split]]).tolist() == expected


def test_equal_rows_are_spread_as_others_are():
    """Three different rows, 600 times each: in every split there are some of each."""
    few = pd.DataFrame({"kind": ["a", "b", "c"] * 600})
    parts = draw(keys_of_rows(few, 0), SHARES)
    for part in parts.values():
        shares = few.kind.iloc[part].value_counts(normalize=True)
        assert shares.to_dict() == pytest.approx(dict.fromkeys("abc", 1 / 3), abs=0.06)


def test_copies_of_a_row_stay_with_it_and_where_it_was():
    once = table(600)
    thrice = pd.concat([once] * 3, ignore_index=True)
    before = split_of(draw(keys_of_rows(once, 0), SHARES))
    after = split_of(draw(keys_of_rows(thrice, 0), SHARES)).reshape(3, 600)
    assert (after[0] == after[1]).all()
    assert (after[0] == after[2]).all()
    assert (after[0] == before).mean() > 0.98
    assert (after == "test").mean() == pytest.approx(0.2, abs=0.01)


def test_another_number_draws_other_splits_and_the_same_one_the_same():
    rows = table(1_000)
    first, again, other = (split_of(draw(keys_of_rows(rows, n), SHARES)) for n in (0, 0, 1))
    assert (first == again).all()
    # Of two independent draws .2² + .2² + .6² are equal.
    assert (first == other).mean() == pytest.approx(0.44, abs=0.05)


def test_groups_stay_together_and_where_they_were():
    sizes = np.random.default_rng(0).integers(1, 12, 300)
    names = np.repeat([f"patient {n}" for n in range(300)], sizes)
    old = np.isin(names, [f"patient {n}" for n in range(240)])
    before = split_of(draw(keys_of(names[old], 0), SHARES))
    after = split_of(draw(keys_of(names, 0), SHARES))
    for name in np.unique(names):
        assert len(set(after[names == name])) == 1
    assert not ((before == "train") & (after[old] == "test")).any()
    assert (after == "test").mean() == pytest.approx(0.2, abs=0.02)


def test_few_groups_of_one_class_each_reach_every_split():
    """Three patients of each class, as large as each other: none is small enough for a fifth."""
    names = np.repeat([f"patient {n}" for n in range(6)], 50)
    classes = np.repeat([0, 1] * 3, 50)
    parts = draw(keys_of(names, 0), SHARES, classes)
    for part in parts.values():
        assert set(classes[part]) == {0, 1}


def test_rows_of_a_group_are_not_next_to_each_other():
    names = np.repeat([f"patient {n}" for n in range(20)], 50)
    train = names[draw(keys_of(names, 0), SHARES)["train"]]
    assert (train[1:] == train[:-1]).mean() < 0.3


def test_without_a_share_all_train_and_of_nothing_there_is_nothing():
    assert {split: len(part) for split, part in draw(keys_of("abc", 0), {}).items()} == {"train": 3}
    assert draw(keys_of([], 0), SHARES)["train"].tolist() == []


def test_keys_are_those_of_other_machines():
    """Pinned: another version of a library must not move everybody's splits without a word."""
    assert keys_of(["a", b"b"], 0).tolist() == [3405396810240292928, 8453121595177857668]
    frame = pd.DataFrame({"x": [1.5, 1.5, None], "kind": ["a", "a", None]})
    assert keys_of_rows(frame, 3).tolist() == [
        8551153592335970933,
        3066214021334738374,
        6649946511316779584,
    ]
