"""The kind that compares a row with the nearest training rows."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from sklearn.metrics import roc_auc_score

from modelyard.families.anomaly import scoring
from modelyard.families.anomaly.config import AnomalyModel
from modelyard.families.anomaly.neighbours import PIECES, Neighbours, fit
from modelyard.training.loop import load_weights


def fitted(x: np.ndarray, out: Path, *, clean: bool = True, **settings: object) -> Neighbours:
    net = Neighbours(x.mean(axis=0), x.std(axis=0))
    fit(net, x, AnomalyModel.model_validate(settings), clean, 0, out)
    return net


def scores(net: Neighbours, x: np.ndarray) -> np.ndarray:
    with torch.inference_mode():
        errors = net(torch.from_numpy(x))["errors"].double().numpy()
    return np.asarray(np.square(errors).mean(axis=1))


def normal(rows: int, columns: int = 3, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(rows, columns)).astype(np.float32)


def test_the_columns_parts_are_those_of_the_distance_from_the_nearest_rows(tmp_path: Path) -> None:
    x = normal(300)
    net, asked = fitted(x, tmp_path, nearest=7), torch.from_numpy(normal(20, seed=1))
    with torch.inference_mode():
        views, kept = net.views(asked).numpy(), net.views(torch.from_numpy(x)).numpy()
        errors = net(asked)["errors"].numpy()
    for view, error in zip(views, errors, strict=True):
        squares = np.square(view - kept)
        nearest = np.argsort(squares.sum(axis=1))[:7]
        parts = squares[nearest].mean(axis=0).reshape(2, 3).mean(axis=0)
        assert np.allclose(np.square(error), parts, atol=1e-4)


def test_a_column_with_a_long_tail_is_compared_by_rank_too(tmp_path: Path) -> None:
    """In standard deviations alone the one huge value would make all others alike."""
    rng = np.random.default_rng(0)

    def rows(count: int) -> np.ndarray:
        tailed, other = np.exp(0.3 * rng.normal(size=count)), rng.normal(size=count)
        return np.stack([tailed, other], axis=1).astype(np.float32)

    x, asked = rows(500), rows(220)
    x[0, 0], asked[200:, 0] = 1e5, 8.0
    found = scores(fitted(x, tmp_path), asked)
    assert roc_auc_score(np.repeat([0, 1], [200, 20]), found) > 0.95


def test_ranks_keep_the_order_and_go_on_beyond_what_was_seen(tmp_path: Path) -> None:
    x = np.exp(normal(400, 1)).astype(np.float32)
    net = fitted(x, tmp_path)
    line = torch.linspace(-5, 200, 1000)[:, None]
    with torch.inference_mode():
        ranks = net.views(line)[:, 1].numpy()
    assert (np.diff(ranks) > 0).all()
    assert np.isfinite(scores(net, np.full((1, 1), 1e30, np.float32))).all()


def test_columns_of_few_values_have_a_piece_between_each(tmp_path: Path) -> None:
    x = np.tile(np.array([[0], [0], [0], [1]], np.float32), (50, 1))
    net = fitted(x, tmp_path)
    assert (net.rises[0] != 0).sum() == 1
    found = scores(net, np.array([[0], [0.5], [1], [3]], np.float32))
    assert found[0] == found[2] == 0
    assert 0 < found[1] < found[3]


def test_a_column_that_the_kept_rows_do_not_vary_in_counts_too(tmp_path: Path) -> None:
    x = normal(200)
    net = Neighbours(x.mean(axis=0), x.std(axis=0))
    still = x.copy()
    # Only rows that are labelled anomalies moved it.
    still[:, 1] = 0.5
    fit(net, still, AnomalyModel(), True, 0, tmp_path)
    usual, moved = still[:5], still[:5].copy()
    moved[:, 1] = 3
    assert (scores(net, moved) > scores(net, usual) + 1).all()


def test_anomalies_that_nobody_marked_and_that_are_alike_are_still_strange(tmp_path: Path) -> None:
    alike = normal(30, seed=2) * 0.01 + 4
    x = np.concatenate([normal(2000), alike]).astype(np.float32)
    usual = scores(fitted(x, tmp_path, clean=False), normal(500, seed=3))
    assert scores(fitted(x, tmp_path, clean=False), alike).min() > np.quantile(usual, 0.99)
    # The ten that are enough where anomalies are marked are of their own kind.
    assert np.median(scores(fitted(x, tmp_path), alike)) < np.median(usual)


def test_a_kept_network_opens_with_as_many_rows_and_the_same_scores(tmp_path: Path) -> None:
    x, asked = normal(300), normal(9, seed=4)
    net = fitted(x, tmp_path, nearest=5, most_rows=120)
    opened = load_weights(Neighbours(x.mean(axis=0), x.std(axis=0)), tmp_path)
    assert isinstance(opened, Neighbours)
    assert (len(opened.rows), opened.starts.shape) == (120, (3, PIECES))
    assert np.array_equal(scores(opened, asked), scores(net, asked))


def test_wide_rows_are_given_to_a_graph_in_smaller_pieces() -> None:
    given = []

    def run(graph: str, arrays: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        given.append(len(arrays["values"]))
        return {"score": arrays["values"][:, 0]}

    for columns in (3, 2**16):
        scoring.run_graph(run, np.zeros((10, 1, columns), np.float32))
    assert given == [10, 4, 4, 2]
