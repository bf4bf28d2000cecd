"""Networks and batches against their definitions."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch

from modelyard.compress.parity import check_parity
from modelyard.errors import BadData
from modelyard.families.recommender.batches import draw_negatives
from modelyard.families.recommender.catalog import Catalog, Item
from modelyard.families.recommender.config import RecommenderModel
from modelyard.families.recommender.model import FoldIn, LightGCN, NeuMF
from modelyard.runtimes.export import to_onnx
from modelyard.runtimes.onnx import OnnxRuntime
from tests.unit.recommender.conftest import configured, train

KINDS = ("lightgcn", "ncf", "multitask")


def small() -> Catalog:
    items = np.array([0, 1, 2, 1, 3])
    return Catalog(
        ["a", "b", "c"],
        [Item(name) for name in "vwxyz"],
        items,
        np.array([2, 4, 5]),
        np.bincount(items, minlength=5),
    )


def test_lightgcn_averages_normalized_neighbourhoods():
    catalog = small()
    net = LightGCN(catalog, RecommenderModel(dimensions=4, layers=2))
    matrix = np.zeros((8, 8))
    for user in range(3):
        for item in catalog.history(user):
            matrix[user, 3 + item] = matrix[3 + item, user] = 1
    degree = np.maximum(matrix.sum(0), 1)
    matrix = matrix / np.sqrt(degree) / np.sqrt(degree)[:, None]
    first = torch.cat([net.user, net.item]).detach().numpy()
    expected = (first + matrix @ first + matrix @ matrix @ first) / 3
    users, items = net.vectors()
    assert np.allclose(torch.cat([users, items]).detach().numpy(), expected, atol=1e-6)


def test_bpr_loss_is_the_mean_log_likelihood_of_the_order():
    net = LightGCN(small(), RecommenderModel(dimensions=4, layers=1, regularization=0))
    batch = {
        "user": torch.tensor([0, 1]),
        "item": torch.tensor([0, 1]),
        "negative": torch.tensor([[3, 4], [0, 3]]),
    }
    users, items = (part.detach().numpy() for part in net.vectors())
    terms = [
        np.log1p(np.exp(users[u] @ items[n] - users[u] @ items[p]))
        for u, p, negatives in zip([0, 1], [0, 1], [[3, 4], [0, 3]], strict=True)
        for n in negatives
    ]
    assert net.loss(batch).item() == pytest.approx(np.mean(terms), rel=1e-5)


def test_neumf_scores_a_pair_alone_as_in_the_catalogue():
    net = NeuMF(small(), RecommenderModel(kind="ncf", dimensions=4, hidden=(6, 3)))
    everything = net(torch.tensor([0, 2]))["score"]
    alone = net.heads(net.user[[0, 2]], net.item[torch.tensor([[1, 3], [4, 0]])])["score"]
    assert torch.allclose(alone, everything[[[0], [1]], [[1, 3], [4, 0]]], atol=1e-6)


@pytest.mark.parametrize("kind", KINDS)
def test_fold_in_is_a_mean_without_regard_to_padding(made, kind):
    one = made(kind)
    fold = one.family.graphs(one.model)[1].module
    assert isinstance(fold, FoldIn)
    user = (fold.profiles[[3, 8]].mean(0))[None]
    expected = fold.net.heads(user, fold.items)
    for items in ([[3, 8]], [[8, 3, -1, -1]]):
        found = fold(torch.tensor(items))
        for name, scores in expected.items():
            assert torch.allclose(found[name], scores, atol=1e-5)


@pytest.mark.parametrize("kind", KINDS)
def test_graphs_answer_on_onnx_as_in_torch_alone_and_in_sevens(made, kind, tmp_path):
    one = made(kind)
    graphs = one.family.graphs(one.model)
    files = {graph.name: tmp_path / f"{graph.name}.onnx" for graph in graphs}
    for graph in graphs:
        to_onnx(graph, files[graph.name], 18)
        assert len(next(iter(graph.example.values()))) == 7
    compiled = OnnxRuntime(files)
    for graph in graphs:
        assert check_parity(graph, one.run, compiled) <= graph.tolerance
    longer = {"items": np.array([[0, 5, 9, 11, -1], [3, -1, -1, -1, -1]])}
    wider = dataclasses.replace(graphs[1], example=longer)
    assert check_parity(wider, one.run, compiled) <= graphs[1].tolerance


def test_negatives_are_never_what_the_user_had():
    rng = np.random.default_rng(0)
    catalog = small()
    user = np.repeat([0, 1, 2], 400)
    drawn = draw_negatives(rng, catalog, user, 3)
    for index in range(3):
        mine = drawn[user == index]
        others = set(range(5)) - set(catalog.history(index).tolist())
        assert set(mine.ravel().tolist()) == others
        shares = np.bincount(mine.ravel(), minlength=5)[sorted(others)] / mine.size
        assert np.allclose(shares, 1 / len(others), atol=0.06)


def test_every_training_interaction_is_in_one_batch_and_no_left_out_one_is(made):
    one = made("lightgcn")
    catalog = Catalog.load(one.features / "assets")
    seen = [
        (int(u), int(i))
        for batch in one.family.batches(one.features, "train", 1)
        for u, i in zip(batch["user"], batch["item"], strict=True)
    ]
    known = list(zip(catalog.history_users.tolist(), catalog.history_items.tolist(), strict=True))
    assert sorted(seen) == sorted(known)
    for batch in one.family.batches(one.features, "validation", 1):
        for user, item, unseen in zip(
            batch["user"].tolist(), batch["item"].tolist(), batch["unseen"], strict=True
        ):
            assert (user, item) not in set(known)
            assert set(np.flatnonzero(unseen == 0).tolist()) == {
                *catalog.history(user).tolist(),
                item,
            }


def test_multitask_without_its_columns_says_what_to_do(made, tmp_path):
    one = made("lightgcn")
    for name in ("train", "validation", "test"):
        (tmp_path / f"{name}.npz").write_bytes(b"")
    family = configured("multitask")
    with pytest.raises(
        BadData, match="click, conversion and dwell; missing: all three.*model.kind=lightgcn"
    ):
        next(iter(family.batches(tmp_path, "train", 1)))
    assert one.host.rank_by is None


@pytest.mark.parametrize("bottom", ["mmoe", "shared"])
def test_on_either_bottom_the_ranking_is_the_product_of_the_chances(made, bottom, tmp_path):
    one = made("multitask")
    again = train(configured("multitask", bottom=bottom, rank_by="conversion"), one.raw, tmp_path)
    outputs = again.run("personal", {"user": np.array([0, 1])})
    sigmoid = {name: 1 / (1 + np.exp(-outputs[name])) for name in ("shown", "click", "conversion")}
    product = sigmoid["shown"] * sigmoid["click"] * sigmoid["conversion"]
    assert np.allclose(again.host.scores(outputs), product, rtol=1e-5)
