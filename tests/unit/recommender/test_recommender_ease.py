"""EASE against its definition, and what is particular to a kind fitted in one step."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from pydantic import ValidationError
from safetensors.numpy import load_file

from modelyard.errors import BadData
from modelyard.families.recommender import ease
from modelyard.families.recommender.catalog import Catalog
from modelyard.families.recommender.config import RecommenderConfig, RecommenderModel
from modelyard.families.recommender.family import Recommender
from modelyard.families.recommender.kinds import settled
from modelyard.families.recommender.requests import Query
from tests.training.going_on import features_of, model_of
from tests.unit.recommender.conftest import configured, train


def weights_of(folder: Path) -> np.ndarray:
    return load_file(folder / "model.safetensors")["weights"]


def matrix(catalog: Catalog) -> np.ndarray:
    """Users and items of training, (users, items)."""
    had = np.zeros((len(catalog.users), len(catalog.items)))
    had[catalog.history_users, catalog.history_items] = 1
    return had


def later(raw: Path, folder: Path) -> Path:
    """The same people with other items."""
    folder.mkdir()
    header, *lines = (raw / "interactions.csv").read_text().splitlines()
    changed = [line.replace(",", ",9", 1) for line in lines]
    (folder / "interactions.csv").write_text("\n".join([header, *changed]) + "\n")
    return folder


def test_each_item_is_regressed_on_all_others(made, tmp_path):
    one = train(configured("ease", regularization=7.0), made("ease").raw, tmp_path)
    had = matrix(Catalog.load(one.features / "assets"))
    weights = weights_of(one.model)
    for item in (0, 5, 40):
        others = np.delete(had, item, axis=1)
        ridge = others.T @ others + 7 * np.eye(others.shape[1])
        expected = np.linalg.solve(ridge, others.T @ had[:, item])
        assert np.allclose(np.delete(weights[:, item], item), expected, atol=1e-5)
        assert weights[item, item] == 0


def test_the_penalty_is_the_best_on_the_validation_split(made):
    one = made("ease")
    catalog = Catalog.load(one.features / "assets")
    found = {}
    for penalty in ease.PENALTIES:
        settings = configured("ease", regularization=penalty)
        again = model_of(settings, one.features, one.model.parent / f"{penalty}")
        (found[penalty],) = [
            settings.evaluate(host, run, one.features, "validation").metrics["ndcg_at_10"]
            for host, run in [(type(one.host)(again / "assets"), settings.native(again))]
        ]
        if np.array_equal(weights_of(again), weights_of(one.model)):
            chosen = penalty
    assert found[chosen] == max(found.values()) > min(found.values())
    assert len(catalog.items) == len(weights_of(one.model))


def test_a_strangers_history_counts_as_a_users_own(made):
    one = made("ease")
    catalog = one.host.catalog
    names = [catalog.items[item].id for item in catalog.had(3).tolist()]
    known, stranger = one.host.predict(
        one.run, [Query(user=catalog.users[3]), Query(user="nobody", history=names)]
    )
    assert (known.source, stranger.source) == ("personal", "history")
    assert [item.item for item in known.items] == [item.item for item in stranger.items]
    assert known.items[0].score == pytest.approx(stranger.items[0].score, abs=1e-5)


def test_reasons_add_up_to_the_score(made):
    one = made("ease")
    user = int(np.argmin(np.where(one.host.catalog.lengths > 2, one.host.catalog.lengths, 99)))
    query = Query(user=one.host.catalog.users[user])
    explained = one.host.explain(one.run, query)
    (answer,) = one.host.predict(one.run, [query])
    assert explained.method == "item weights"
    assert len(explained.contributions) == len(one.host.catalog.had(user))
    assert sum(explained.contributions.values()) == pytest.approx(answer.items[0].score, abs=1e-5)


def test_a_later_log_is_fitted_with_the_histories_of_the_earlier_model(made, tmp_path):
    one, family = made("ease"), configured("ease", regularization=7.0)
    features = features_of(
        family, later(one.raw, tmp_path / "raw"), tmp_path / "features", one.model
    )
    joined = Catalog.load(features / "assets")
    assert len(joined.history_items) > 1.5 * len(one.host.catalog.history_items)
    weights = weights_of(model_of(family, features, tmp_path / "model"))
    had = matrix(joined)
    inverse = np.linalg.inv(had.T @ had + 7 * np.eye(had.shape[1]))
    expected = -inverse / np.diag(inverse)
    np.fill_diagonal(expected, 0)
    assert np.allclose(weights, expected, atol=1e-5)


def test_more_items_than_pairs_can_be_held_of_are_refused(made, tmp_path, monkeypatch):
    monkeypatch.setattr(ease, "MOST_ITEMS", 79)
    with pytest.raises(BadData, match=r"at most 79 items.*here are 80.*--set model\.kind=lightgcn"):
        model_of(configured("ease"), made("ease").features, tmp_path / "model")


def test_no_penalty_is_refused():
    with pytest.raises(ValidationError, match="ease takes one above 0"):
        RecommenderModel(kind="ease", regularization=0)


def test_auto_is_ease_where_it_fits_and_nothing_asks_for_a_network(made, tmp_path, monkeypatch):
    features = made("ease").features

    def kind(folder: Path = features, **sections: object) -> str:
        return settled(RecommenderConfig.model_validate(sections), folder).kind

    assert kind() == "ease"
    assert kind(model={"layers": 2}) == kind(model={"regularization": 1e-3}) == "lightgcn"
    assert kind(compress={"prune": 0.5}) == kind(continual={"memory": 9}) == "lightgcn"
    assert kind(model={"kind": "ncf"}) == "ncf"
    monkeypatch.setattr(ease, "MOST_ITEMS", 79)
    assert kind() == "lightgcn"
    monkeypatch.undo()
    # A network goes on as one, whatever the settings say of the folder that it is written to.
    one = configured("auto")
    earlier = model_of(one, features, tmp_path / "a")
    assert json.loads((earlier / "assets" / "model.json").read_text())["kind"] == "lightgcn"
    one = Recommender(RecommenderConfig.model_validate({"training": {"epochs": 1}}))
    raw = later(made("ease").raw, tmp_path / "raw")
    assert kind(features_of(one, raw, tmp_path / "f", earlier)) == "lightgcn"
