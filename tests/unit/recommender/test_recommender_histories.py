"""Kinds that read a user's history: its order, its end, and nothing of the future."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch

from modelyard.compress.parity import check_parity
from modelyard.families.recommender.catalog import Catalog, Item
from modelyard.families.recommender.config import RecommenderModel
from modelyard.families.recommender.data import load_split
from modelyard.families.recommender.din import DIN
from modelyard.families.recommender.evaluate import evaluate
from modelyard.families.recommender.host import RecommenderHost
from modelyard.families.recommender.requests import Query
from modelyard.families.recommender.sequence import SASRec
from modelyard.runtimes.export import to_onnx
from modelyard.runtimes.onnx import OnnxRuntime
from tests.unit.recommender.conftest import configured

KINDS = ("din", "sequence")


def catalog_of(*histories: list[int], items: int = 12) -> Catalog:
    """Users u0, u1, … with these training items."""
    joined = np.array([item for history in histories for item in history], np.int64)
    return Catalog(
        [f"u{number}" for number in range(len(histories))],
        [Item(f"i{number}") for number in range(items)],
        joined,
        np.cumsum([len(history) for history in histories]),
        np.bincount(joined, minlength=items),
    )


def saved(folder: Path, catalog: Catalog) -> Path:
    (folder / "assets").mkdir(parents=True)
    catalog.save(folder / "assets")
    return folder


def settings(kind: str, **changes: object) -> RecommenderModel:
    small = {"kind": kind, "dimensions": 4, "hidden": (6, 3), "length": 6, "dropout": 0.0}
    return RecommenderModel.model_validate(small | changes)


def answered(one, **body):
    return one.host.predict(one.run, [one.host.Request.model_validate(body)])[0]


def ids(answer):
    return [item.item for item in answer.items]


def test_attention_is_a_small_network_of_each_pair():
    net = DIN(catalog_of([0, 1, 2]), settings("din")).eval()
    with torch.no_grad():
        net.ago.normal_()
    found = net(torch.tensor([[3, 5, -1]]), torch.tensor([[7, 2]]), net.vectors())
    weights = {name: value.detach().numpy() for name, value in net.named_parameters()}
    for column, candidate in enumerate((7, 2)):
        theirs = weights["item"][candidate]
        interest = np.zeros(4)
        for place, item in enumerate((3, 5)):
            mine = weights["item"][item]
            hidden = weights["past.weight"] @ mine + weights["past.bias"] + weights["ago"][place]
            hidden += weights["candidate.weight"] @ theirs
            hidden += weights["pair"] @ (mine * theirs)
            hidden = np.where(hidden > 0, hidden, 0.1 * hidden)
            weight = weights["weigh.weight"][0] @ hidden + weights["weigh.bias"][0]
            assert found["attention"][0, column, place].item() == pytest.approx(weight, abs=1e-5)
            interest += weight * mine
        assert found["attention"][0, column, 2] == 0
        joint = torch.tensor(np.concatenate([interest, theirs, interest * theirs])).float()
        score = net.layers(joint).item() + (interest * weights["product"] * theirs).sum()
        assert found["score"][0, column].item() == pytest.approx(score, abs=1e-5)


def test_padding_changes_no_answer():
    catalog = catalog_of([0, 1, 2])
    din = DIN(catalog, settings("din")).eval()
    candidates = torch.arange(12)[None]
    plain = din(torch.tensor([[3, 5]]), candidates, din.item)["score"]
    longer = din(torch.tensor([[3, 5, -1, -1]]), candidates, din.item)["score"]
    assert torch.allclose(plain, longer, atol=1e-6)
    (graph,) = SASRec(catalog, settings("sequence")).eval().graphs()
    plain = graph.module(torch.tensor([[3, 5]]))["taste"]
    longer = graph.module(torch.tensor([[3, 5, -1, -1]]))["taste"]
    assert torch.allclose(plain, longer, atol=1e-6)


def test_a_taste_does_not_depend_on_what_comes_later_and_does_on_the_order_before():
    net = SASRec(catalog_of([0, 1, 2]), settings("sequence")).eval()
    first = net(torch.tensor([[3, 5, 7, 9, 1]]), net.item)
    shuffled = net(torch.tensor([[3, 5, 1, 7, 9]]), net.item)
    assert torch.allclose(first[:, :3], shuffled[:, :3], atol=1e-6)
    assert not torch.allclose(first[:, 3:], shuffled[:, 3:], atol=1e-3)
    turned = net(torch.tensor([[5, 3, 7, 9, 1]]), net.item)
    assert not torch.allclose(first[:, -1], turned[:, -1], atol=1e-4)


def test_the_loss_of_a_sequence_is_a_softmax_over_the_drawn_items():
    net = SASRec(catalog_of([0, 1, 2]), settings("sequence")).eval()
    batch = {
        "user": torch.tensor([0]),
        "target": torch.tensor([[3, 5, 7, -1]]),
        "counted": torch.tensor([[0.0, 1.0, 1.0, 0.0]]),
        "negative": torch.tensor([[0, 1]]),
    }
    tastes = net(torch.tensor([[3, 5]]), net.item)[0].detach()
    item = net.item.detach()
    terms = []
    for place, wanted in ((1, 5), (2, 7)):
        scores = item[[wanted, 0, 1]] @ tastes[place]
        terms.append(-torch.log_softmax(scores, 0)[0].item())
    assert net.loss(batch).item() == pytest.approx(np.mean(terms), rel=1e-5)
    assert net.weight(batch) == 2


def test_each_interaction_is_learned_with_only_what_was_before_it(tmp_path):
    history = [0, 3, 5, 1, 8, 2, 9, 4]
    features = saved(tmp_path, catalog_of(history, [6], [7, 0]))
    family = configured("din", length=3)
    found = family.batches(features, "train", 1)
    batch = found.take(np.arange(len(found.order)))
    assert sorted(batch["item"].tolist()) == sorted([*history, 6, 7, 0])
    for item, before in zip(batch["item"].tolist()[:8], batch["items"].tolist(), strict=False):
        place = history.index(item)
        newest = history[:place][::-1][:3]
        assert before == newest + [-1] * (3 - len(newest))


@pytest.mark.parametrize("length", [1, 2, 3, 7, 8, 50])
def test_windows_count_each_interaction_once_and_keep_the_order(tmp_path, length):
    histories = [0, 3, 5, 1, 8, 2, 9, 4, 11], [6], [7, 0]
    features = saved(tmp_path, catalog_of(*histories, items=200))
    found = configured("sequence", length=length).batches(features, "train", 1)
    batch = found.take(np.arange(len(found.order)))
    counted = []
    for user, target, count, negative in zip(
        *(batch[name].tolist() for name in ("user", "target", "counted", "negative")), strict=True
    ):
        items = [item for item in target if item >= 0]
        begin = histories[user].index(items[0])
        assert histories[user][begin : begin + len(items)] == items
        assert target == items + [-1] * (length + 1 - len(items))
        counted += [(user, item) for item, one in zip(target, count, strict=True) if one]
        assert not set(negative) & set(histories[user])
    assert sorted(counted) == sorted(
        (user, item) for user, history in enumerate(histories) for item in history
    )


def test_a_left_out_item_is_the_only_one_that_counts(tmp_path):
    features = saved(tmp_path, catalog_of([0, 3, 5, 1], [6]))
    np.savez(features / "validation.npz", users=np.array([1, 0]), items=np.array([8, 9]))
    found = configured("sequence", length=2).batches(features, "validation", 1)
    batch = found.take(found.order)
    assert batch["target"].tolist() == [[6, 8, -1], [5, 1, 9]]
    assert batch["counted"].tolist() == [[0, 1, 0], [0, 0, 1]]
    again = configured("sequence", length=2).batches(features, "validation", 7)
    assert torch.equal(batch["negative"], again.take(again.order)["negative"])


@pytest.mark.parametrize("kind", KINDS)
def test_graphs_answer_on_onnx_as_in_torch_for_lists_of_any_length(made, kind, tmp_path):
    one = made(kind)
    (graph,) = one.family.graphs(one.model)
    to_onnx(graph, tmp_path / "graph.onnx", 18)
    compiled = OnnxRuntime({graph.name: tmp_path / "graph.onnx"})
    assert check_parity(graph, one.run, compiled) <= graph.tolerance
    for length in (1, 5, 40):
        arrays = {"items": np.arange(2 * length).reshape(2, length) % 60}
        arrays["profile"] = one.host.profiles.side.values[:2]
        if kind == "din":
            arrays["candidates"] = np.arange(40).reshape(2, 20)
        expected, found = one.run(graph.name, arrays), compiled(graph.name, arrays)
        for name, values in expected.items():
            np.testing.assert_allclose(found[name], values, atol=1e-4)


@pytest.mark.parametrize("kind", KINDS)
def test_a_stranger_with_a_users_history_is_answered_as_the_user(made, kind):
    one = made(kind)
    host = RecommenderHost(one.model / "assets")
    catalog, side = host.catalog, host.profiles.side
    # The same is known of both: nothing besides the history.
    side.values[:] = side.missing
    for user in range(0, len(catalog.users), 25):
        names = [catalog.items[item].id for item in catalog.had(user)]
        queries = [Query(user=catalog.users[user]), Query(history=names)]
        known, stranger = host.predict(one.run, queries)
        assert (known.source, stranger.source) == ("personal", "history")
        assert ids(known) == ids(stranger)


@pytest.mark.parametrize("kind", KINDS)
def test_what_a_known_user_had_since_changes_the_answer(made, kind):
    one = made(kind)
    catalog = one.host.catalog
    changed = 0
    for user in range(20):
        before = answered(one, user=catalog.users[user], k=20)
        liked = before.items[-1].item
        after = answered(one, user=catalog.users[user], k=20, history=[liked])
        assert liked not in ids(after)
        changed += ids(after)[:10] != [item for item in ids(before) if item != liked][:10]
    assert changed > 10


def test_din_scores_no_more_than_its_candidates_and_fills_the_answer(made):
    one = made("din")
    scorer = one.host.scorer
    most = scorer.most
    seen = []

    def watched(graph, arrays):
        seen.append(arrays["candidates"].shape)
        return one.run(graph, arrays)

    try:
        scorer.most = 12
        catalog = one.host.catalog
        hidden = [item.id for item in catalog.items[:40]]
        body = {"user": catalog.users[3], "k": 10, "exclude": hidden}
        answers = one.host.predict(watched, [one.host.Request.model_validate(body)] * 70)
    finally:
        scorer.most = most
    assert seen == [(32, 12), (32, 12), (6, 12)]
    assert {len(answer.items) for answer in answers} == {10}
    assert not set(ids(answers[0])) & set(hidden)


def test_the_note_tells_how_many_left_out_items_are_candidates(made):
    one = made("din")
    host = one.host.judging()
    scorer, most = host.scorer, host.scorer.most
    users, target = load_split(one.features, "validation")
    try:
        scorer.most = 20
        found = evaluate(host, one.run, one.features, "validation")
        queries = [Query(user=host.catalog.users[user]) for user in users]
        hits = [
            wanted in scorer.candidates(host.resolve(query))
            for query, wanted in zip(queries, target, strict=True)
        ]
    finally:
        scorer.most = most
    assert 0.3 < np.mean(hits) < 1
    said = f"{100 * np.mean(hits):.1f} % of the left-out items are among the 20 candidates"
    assert any(said in note for note in found.notes)


def test_reasons_of_din_are_the_attention_of_the_first_item(made):
    one = made("din")
    catalog = one.host.catalog
    query = Query(user=catalog.users[5])
    found = one.host.explain(one.run, query)
    assert found.method == "attention"
    top = catalog.item_index[ids(one.host.predict(one.run, [query])[0])[0]]
    newest = catalog.had(5)[::-1][None]
    arrays = {"items": newest, "candidates": np.array([[top]])}
    arrays["profile"] = one.host.profiles.side.values[5:6]
    weights = one.run("attention", arrays)
    expected = dict(zip(newest[0].tolist(), weights["attention"][0, 0].tolist(), strict=True))
    for label, weight in found.contributions.items():
        item = catalog.item_index[label.rpartition("[")[2].rstrip("]")]
        assert weight == pytest.approx(expected[item], abs=1e-5)
    sizes = [abs(weight) for weight in found.contributions.values()]
    assert sizes == sorted(sizes, reverse=True)


@pytest.mark.parametrize("kind", KINDS)
def test_kinds_of_histories_beat_popularity(made, kind):
    one = made(kind)
    found = evaluate(one.host, one.run, one.features, "test")
    assert found.metrics["recall_at_20"] > 1.2 * found.baseline["recall_at_20"]


def test_heads_that_do_not_divide_the_dimensions_are_refused():
    with pytest.raises(ValueError, match="dimensions = 10 is no multiple of model.heads = 4"):
        RecommenderModel(kind="sequence", dimensions=10, heads=4)


def test_a_package_without_the_name_of_a_scorer_scores_the_catalogue(made, tmp_path):
    one = made("lightgcn")
    shutil.copytree(one.model / "assets", tmp_path / "assets")
    file = tmp_path / "assets" / "model.json"
    model = json.loads(file.read_text())
    assert model.pop("scorer") == "catalogue"
    file.write_text(json.dumps(model))
    query = Query(user=one.host.catalog.users[0])
    expected = one.host.predict(one.run, [query])
    assert RecommenderHost(tmp_path / "assets").predict(one.run, [query]) == expected
