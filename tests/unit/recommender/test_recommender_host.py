"""What a caller gets: personal, by history, or what is popular; never what they had."""

from __future__ import annotations

import json

import numpy as np
import pytest

from modelyard.drift.statistics import compare
from modelyard.families.recommender.config import RecommenderConfig
from modelyard.families.recommender.data import RecommenderData, load_split
from modelyard.families.recommender.evaluate import evaluate
from modelyard.families.recommender.host import best
from modelyard.families.recommender.requests import Query
from modelyard.settings.monitor import MonitorSettings

KINDS = ("lightgcn", "ncf", "multitask", "din", "sequence")


def asked(one, **body):
    return one.host.predict(one.run, [Query.model_validate(body)])[0]


def ids(answer):
    return [item.item for item in answer.items]


def judged(one):
    """Request bodies of the test split."""
    return RecommenderData(RecommenderConfig()).requests(one.features, "test")


@pytest.mark.parametrize("kind", KINDS)
def test_nothing_that_was_had_or_excluded_is_recommended(made, kind):
    one = made(kind)
    catalog = one.host.catalog
    for index in range(0, len(catalog.users), 10):
        user = catalog.users[index]
        first = asked(one, user=user, k=100)
        had = {catalog.items[item].id for item in catalog.had(index)}
        assert len(had) - len(catalog.history(index)) in (0, 2)
        assert set(ids(first)) == {item.id for item in catalog.items} - had
        hidden = ids(first)[:3]
        # Kinds that read histories take one as a sign of taste: see test_recommender_histories.
        since = 3 if kind in ("din", "sequence") else 2
        second = asked(one, user=user, k=5, exclude=hidden[:since], history=hidden[since:])
        assert ids(second) == ids(first)[3:8]
        assert second.source == "personal"
    assert len(catalog.later) > 0


@pytest.mark.parametrize("kind", KINDS)
def test_scores_descend_and_titles_are_given(made, kind):
    answer = asked(made(kind), user=made(kind).host.catalog.users[0], k=20)
    scores = [item.score for item in answer.items]
    assert scores == sorted(scores, reverse=True)
    assert all(item.title and item.category for item in answer.items)
    assert all((item.click is not None) == (kind == "multitask") for item in answer.items)


def test_a_user_is_known_by_number_or_text(made):
    one = made("lightgcn")
    assert asked(one, user=int(one.host.catalog.users[3])) == asked(
        one, user=one.host.catalog.users[3]
    )


def test_an_unknown_user_gets_what_is_popular(made):
    one = made("lightgcn")
    catalog = one.host.catalog
    ranked = sorted(range(len(catalog.items)), key=lambda item: (-catalog.popularity[item], item))
    for body in ({}, {"user": "nobody"}, {"user": "nobody", "history": ["no such item"]}):
        answer = asked(one, **body)
        assert answer.source == "popular"
        assert ids(answer) == [catalog.items[item].id for item in ranked[:10]]
        assert answer.ignored == len(body.get("history", []))


def test_unknown_users_and_items_are_named_in_warnings(made):
    one = made("lightgcn")
    known, item = one.host.catalog.users[0], one.host.catalog.items[0].id
    assert asked(one, user=known, history=[item]).warnings == ()
    answer = asked(one, user="nobody", history=[item, "x"], exclude=["y", "z"])
    said = {caution.field: caution.message for caution in answer.warnings}
    assert said == {
        "user": "was not in the training data: the answer rests on the history given",
        "history": "1 of 2 items were not in the training data",
        "exclude": "2 of 2 items were not in the training data",
    }


@pytest.mark.parametrize("kind", KINDS)
def test_a_stranger_is_known_by_the_history(made, kind):
    one = made(kind)
    users, wanted = load_split(one.features, "validation")
    catalog = one.host.catalog
    names = [item.id for item in catalog.items]
    hits = {"history": 0, "popular": 0}
    for user, item in zip(users.tolist(), wanted.tolist(), strict=True):
        history = [names[had] for had in catalog.history(user)]
        for source, body in (("history", {"history": history}), ("popular", {"exclude": history})):
            answer = asked(one, k=10, **body)
            assert answer.source == source
            assert not set(ids(answer)) & set(history)
            hits[source] += names[item] in ids(answer)
    assert hits["history"] > 1.2 * hits["popular"]


def test_a_history_of_one_item_ranks_by_likeness_to_it(made):
    one = made("lightgcn")
    net = one.family.graphs(one.model)[1].module
    vectors = net.items.numpy()
    item = one.host.catalog.items[5].id
    order = np.argsort(-(vectors @ vectors[5]), kind="stable")
    expected = [one.host.catalog.items[index].id for index in order if index != 5][:10]
    assert ids(asked(one, history=[item])) == expected


def test_unknown_ids_are_passed_over_and_counted(made):
    one = made("lightgcn")
    user, known = one.host.catalog.users[0], one.host.catalog.items[0].id
    answer = asked(one, user=user, exclude=["x", known, 987654], history=["y"])
    assert answer.ignored == 3
    assert ids(answer) == ids(asked(one, user=user, exclude=[known]))


def test_all_items_excluded_is_an_empty_answer(made):
    one = made("lightgcn")
    everything = [item.id for item in one.host.catalog.items]
    answer = asked(one, user=one.host.catalog.users[0], exclude=everything)
    assert answer.items == []
    row = one.host.describe(Query(exclude=everything), answer)
    assert row["top_score"] is None
    assert one.host.explain(one.run, Query(exclude=everything)) is None


def test_requests_and_judging_agree_on_what_is_left_out(made):
    """`requests` sends what is new since training, `evaluate` the whole history: to the model's
    own host the same, but for what it hides from whoever is answered."""
    one = made("lightgcn")
    host = one.host.judging()
    _, wanted = load_split(one.features, "test")
    names = [item.id for item in one.host.catalog.items]
    requests = [host.Request.model_validate(body) for body in judged(one)]
    answers = host.predict(one.run, requests)
    assert not any(
        names[item] in ids(asked(one, **body))
        for item, body in zip(wanted, judged(one), strict=True)
    )
    hits = [names[item] in ids(answer) for item, answer in zip(wanted, answers, strict=True)]
    assert np.mean(hits) == pytest.approx(
        evaluate(one.host, one.run, one.features).metrics["recall_at_10"]
    )


def test_an_explanation_names_the_nearest_of_the_history(made):
    one = made("lightgcn")
    user = one.host.catalog.users[0]
    explained = one.host.explain(one.run, Query(user=user))
    top = one.host.catalog.item_index[asked(one, user=user).items[0].item]
    vectors = one.host.item_vectors
    for label, value in explained.contributions.items():
        item = one.host.catalog.item_index[label.rpartition("[")[2].rstrip("]")]
        assert item in one.host.catalog.had(0)
        cosine = (
            vectors[item]
            @ vectors[top]
            / np.linalg.norm(vectors[item])
            / np.linalg.norm(vectors[top])
        )
        assert value == pytest.approx(float(cosine), abs=1e-6)
    sizes = [abs(value) for value in explained.contributions.values()]
    assert sizes == sorted(sizes, reverse=True)
    assert one.host.explain(one.run, Query(user="nobody")) is None


def test_best_takes_the_first_of_equals():
    scores = np.array([1.0, 3.0, 3.0, 2.0, 3.0], np.float32)
    assert best(scores, np.ones(5, bool), 2) == [1, 2]
    assert best(scores, np.array([True, False, True, True, False]), 9) == [2, 3, 0]
    assert best(scores, np.zeros(5, bool), 3) == []


def rows(one, queries):
    answers = one.host.predict(one.run, queries)
    described = [one.host.describe(*pair) for pair in zip(queries, answers, strict=True)]
    return {name: [row[name] for row in described] for name in described[0]}


def test_drift_is_seen_when_strangers_come_and_not_when_nothing_changed(made):
    one = made("lightgcn")
    reference = rows(
        one,
        [Query.model_validate(body) for body in judged(one)],
    )
    served = rows(one, [Query(user=body["user"]) for body in judged(one)])
    settings = MonitorSettings()
    assert [column.name for column in compare(reference, served, settings) if column.drifted] == []
    strangers = [
        Query(user=f"new {n}") if n % 2 else query
        for n, query in enumerate(Query(user=body["user"]) for body in judged(one))
    ]
    drifted = {
        column.name
        for column in compare(reference, rows(one, strangers), settings)
        if column.drifted
    }
    assert {"source", "known_history", "mean_popularity", "top_score"} <= drifted


def test_no_log_holds_who_asked(made):
    one = made("lightgcn")
    query = Query(user=one.host.catalog.users[0], history=["1"], exclude=["2"])
    row = one.host.describe(query, one.host.predict(one.run, [query])[0])
    assert not set(row) & {"user", "history", "exclude"}
    assert {"user", "history", "exclude", "profile"} == one.host.sensitive
    assert len(row) == len(json.loads(json.dumps(row)))
