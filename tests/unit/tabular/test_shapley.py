"""Sampled Shapley values against exact ones: brute force, and the shap package."""

from __future__ import annotations

from collections.abc import Callable
from itertools import permutations

import numpy as np
import pytest

from modelyard.families.tabular.shapley import shapley_values

Score = Callable[[np.ndarray], np.ndarray]


def interacting(x: np.ndarray) -> np.ndarray:
    return x[:, 0] * x[:, 1] + np.sin(x[:, 2]) * x[:, 3] ** 2 + np.abs(x[:, 4] + x[:, 0])


def exact(
    score: Score, x: np.ndarray, background: np.ndarray, groups: list[list[int]]
) -> np.ndarray:
    """The definition: every order of the groups, every background row."""
    values = np.zeros(len(groups))
    orders = list(permutations(range(len(groups))))
    for order in orders:
        rows = background.copy()
        before = score(rows).mean()
        for group in order:
            rows[:, groups[group]] = x[groups[group]]
            after = score(rows).mean()
            values[group] += after - before
            before = after
    return values / len(orders)


@pytest.fixture
def data() -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(1)
    return rng.normal(size=5).astype(np.float32), rng.normal(size=(20, 5)).astype(np.float32)


def test_five_columns_agree_with_brute_force(data: tuple[np.ndarray, np.ndarray]) -> None:
    x, background = data
    groups = [[0], [1], [2], [3], [4]]
    expected = exact(interacting, x.astype(float), background.astype(float), groups)
    seen, _ = shapley_values(interacting, x, background, groups, permutations=400)
    np.testing.assert_allclose(seen, expected, atol=0.05)
    coarse, _ = shapley_values(interacting, x, background, groups, permutations=2)
    assert np.abs(seen - expected).max() < np.abs(coarse - expected).max()


def test_grouped_columns_are_switched_together(data: tuple[np.ndarray, np.ndarray]) -> None:
    x, background = data
    groups = [[3, 0], [], [1], [4, 2]]
    expected = exact(interacting, x.astype(float), background.astype(float), groups)
    seen, _ = shapley_values(interacting, x, background, groups, permutations=200)
    np.testing.assert_allclose(seen, expected, atol=0.05)
    assert seen[1] == 0


@pytest.mark.parametrize("count", [1, 2, 3, 8])
def test_base_and_values_add_up_to_the_score_whatever_is_sampled(
    data: tuple[np.ndarray, np.ndarray], count: int
) -> None:
    x, background = data
    values, base = shapley_values(
        interacting, x, background, [[0, 1], [2], [3, 4]], permutations=count
    )
    assert base == pytest.approx(interacting(background).astype(float).mean(), abs=1e-12)
    assert base + values.sum() == pytest.approx(float(interacting(x[None])[0]), abs=1e-9)


def test_one_group_takes_all(data: tuple[np.ndarray, np.ndarray]) -> None:
    x, background = data
    values, base = shapley_values(interacting, x, background, [[0, 1, 2, 3, 4]])
    assert values[0] == pytest.approx(float(interacting(x[None])[0]) - base)


def test_two_groups_are_exact_because_every_second_order_is_reversed(
    data: tuple[np.ndarray, np.ndarray],
) -> None:
    x, background = data
    groups = [[0, 2, 4], [1, 3]]
    expected = exact(interacting, x, background, groups)
    values, _ = shapley_values(interacting, x, background, groups, permutations=2, seed=5)
    np.testing.assert_allclose(values, expected, atol=1e-6)


def test_many_rows_are_scored_in_parts_with_the_same_result(
    data: tuple[np.ndarray, np.ndarray], monkeypatch: pytest.MonkeyPatch
) -> None:
    from modelyard.families.tabular import shapley

    x, background = data
    groups = [[0], [1], [2], [3], [4]]
    sizes: list[int] = []

    def counted(rows: np.ndarray) -> np.ndarray:
        sizes.append(len(rows))
        return interacting(rows)

    whole, _ = shapley_values(counted, x, background, groups)
    assert sizes == [20, 1, 20 * 4 * 4]
    monkeypatch.setattr(shapley, "BATCH_BYTES", 1_000)
    parts, _ = shapley_values(interacting, x, background, groups)
    assert np.array_equal(whole, parts)


def test_a_linear_model_agrees_with_the_shap_package() -> None:
    shap = pytest.importorskip("shap")
    from sklearn.linear_model import LinearRegression

    rng = np.random.default_rng(0)
    x = rng.normal(size=(80, 6)).astype(np.float32)
    model = LinearRegression().fit(x, x @ np.arange(6) + 1)
    background = x[:40]
    masker = shap.maskers.Independent(background, max_samples=40)
    expected = shap.LinearExplainer(model, masker).shap_values(x[50:51])[0]
    values, _ = shapley_values(
        model.predict, x[50], background, [[i] for i in range(6)], permutations=1
    )
    np.testing.assert_allclose(values, expected, atol=1e-4)


def test_a_tree_model_agrees_with_the_shap_package() -> None:
    shap = pytest.importorskip("shap")
    from sklearn.ensemble import RandomForestRegressor

    rng = np.random.default_rng(0)
    x = rng.normal(size=(300, 5)).astype(np.float32)
    model = RandomForestRegressor(10, max_depth=5, random_state=0).fit(
        x, x[:, 0] * x[:, 1] + x[:, 2]
    )
    background = x[:32]
    explainer = shap.TreeExplainer(model, background, feature_perturbation="interventional")
    expected = explainer.shap_values(x[100:101])[0]
    values, base = shapley_values(
        model.predict, x[100], background, [[i] for i in range(5)], permutations=100
    )
    assert base == pytest.approx(float(np.ravel(explainer.expected_value)[0]), abs=1e-6)
    np.testing.assert_allclose(values, expected, atol=0.03)


def test_groups_must_hold_every_column_once(data: tuple[np.ndarray, np.ndarray]) -> None:
    with pytest.raises(AssertionError, match="every column once"):
        shapley_values(interacting, *data, [[0, 1], [1, 2, 3, 4]])
