"""Answers: the cluster of a row, what it is like, why, and how the row differs."""

from __future__ import annotations

import importlib.util
import sys
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from pydantic import ValidationError

from modelyard.families.clustering import maps
from tests.unit.clustering.conftest import blobs, fit, moons


def people(rows=300):
    """Young members in Paris, and old people elsewhere with more income."""
    r = np.random.default_rng(0)
    old = np.arange(rows) % 3 == 0
    return pd.DataFrame(
        {
            "age": np.where(old, r.normal(70, 4, rows), r.normal(25, 4, rows)).round(1),
            "income": np.where(old, r.normal(60, 9, rows), r.normal(30, 9, rows)).round(2),
            "city": np.where(old, r.choice(["Oslo", "Rome"], rows), "Paris"),
            "member": np.where(old, "false", "true"),
            "note": r.choice(["x", "y"], rows),
        }
    )


@pytest.fixture(scope="module")
def served(tmp_path_factory):
    """People in two clusters, and how to ask for one."""
    return fit(people(), tmp_path_factory.mktemp("people"), clusters=2)


@pytest.fixture(scope="module")
def crescents(tmp_path_factory):
    return fit(moons(), tmp_path_factory.mktemp("moons"), kind="hdbscan")


def ask(found, **row):
    host = found.host
    request = host.Request.model_validate(row)
    (answer,) = host.predict(found.onnx(), [request])
    return answer, request


YOUNG = {"age": 26.0, "income": 31.0, "city": "Paris", "member": True, "note": "x"}


def test_an_answer_says_which_cluster_and_what_it_is_like(served):
    answer, _ = ask(served, **YOUNG)
    assert (answer.cluster, answer.is_noise, answer.unlike) == (0, False, [])
    young, old = (set(name.split(", ")) for name in served.host.clusters.names)
    assert answer.name == served.host.clusters.names[0]
    assert young < {"low age", "low income", "city=Paris", "member=true"}
    assert old < {"high age", "high income", "member=false"}
    assert 0 < answer.distance < 3
    assert answer.warnings == ()


def test_columns_in_which_a_row_differs_from_its_cluster_are_named(served):
    answer, _ = ask(served, **(YOUNG | {"income": 65.0}))
    assert answer.unlike == ["income"]
    answer, _ = ask(served, **(YOUNG | {"member": False, "city": "Oslo"}))
    assert set(answer.unlike) == {"member", "city"}
    assert answer.cluster == 0


def test_a_row_beyond_all_of_its_cluster_carries_a_warning(served):
    answer, _ = ask(served, **(YOUNG | {"age": -400.0}))
    assert "distance" in [caution.field for caution in answer.warnings]
    assert "age" in [caution.field for caution in answer.warnings]


def test_an_unknown_field_and_a_wrong_type_are_refused(served):
    for wrong in ({"label": 1}, {"age": "old"}, {"age": None}):
        with pytest.raises(ValidationError):
            served.host.Request.model_validate(YOUNG | wrong)


def test_the_service_s_documentation_has_fields_and_examples(served):
    schema = served.host.Request.model_json_schema()
    assert list(schema["properties"]) == list(YOUNG)
    assert "in training" in schema["properties"]["age"]["description"]
    assert set(schema["examples"][0]) == set(YOUNG)


def test_reasons_add_up_to_the_side_of_the_cluster(served):
    answer, request = ask(served, **(YOUNG | {"note": "y"}))
    reasons = served.host.explain(served.onnx(), request)
    assert reasons.output == "how much nearer cluster 0 is than the next, in squared distance"
    assert next(iter(reasons.contributions)) in ("age", "city", "member")
    assert reasons.contributions["age"] > 0.2
    assert abs(reasons.contributions["note"]) < 0.5 * reasons.contributions["age"]
    against = served.host.Request.model_validate(YOUNG | {"income": 75.0})
    assert served.host.explain(served.onnx(), against).contributions["income"] < 0
    assert answer.cluster == 0


def test_noise_is_in_no_cluster_and_its_reason_is_the_distance(crescents):
    answer, request = ask(crescents, x=0.5, y=30.0)
    assert (answer.cluster, answer.is_noise, answer.name) == (-1, True, "noise")
    reasons = crescents.host.explain(crescents.onnx(), request)
    assert reasons.output.startswith("squared distance from cluster")
    assert next(iter(reasons.contributions)) == "y"
    assert reasons.contributions["y"] > 100
    assert 0 < reasons.contributions["x"] < reasons.contributions["y"] / 10


def test_drift_looks_at_inputs_cluster_and_distance(served, crescents):
    answer, request = ask(served, **YOUNG)
    row = served.host.describe(request, answer)
    assert list(row) == [*YOUNG, "cluster", "distance"]
    assert (row["cluster"], row["member"]) == ("0", "true")
    answer, request = ask(crescents, x=0.5, y=30.0)
    assert crescents.host.describe(request, answer)["cluster"] == "noise"


def test_a_mixture_answers_with_probability_and_density(tmp_path):
    found = fit(blobs(), tmp_path, kind="gmm", clusters=4)
    answer, request = ask(found, a=0.1, b=0.0, c=0.1)
    assert answer.probability > 0.99
    assert not answer.is_noise
    reasons = found.host.explain(found.onnx(), request)
    assert reasons.output == f"log-odds of cluster {answer.cluster}"
    # Far from the other clusters, where their chances are beyond what a number holds.
    assert min(abs(part) for part in reasons.contributions.values()) > 1
    strange, _ = ask(found, a=2.5, b=2.5, c=-9.0)
    assert strange.log_density < answer.log_density
    assert "log_density" in [caution.field for caution in strange.warnings]
    assert list(found.host.describe(request, answer))[3:] == [
        "cluster",
        "probability",
        "log_density",
    ]


def test_a_file_is_read_as_the_training_data_were(served, tmp_path):
    text = "city;age;income;member;note;who\nParis;26,5;31,25;true;x;Ann\n"
    (tmp_path / "new.csv").write_text(text)
    (body,) = served.host.read_file(tmp_path / "new.csv")
    assert body["who"] == "Ann"
    assert (body["age"], body["income"], body["member"]) == (26.5, 31.25, True)


def test_the_card_s_table_marks_what_sets_clusters_apart(served):
    (table,) = served.report["tables"]
    rows = {row[0]: row[1:] for row in table["rows"]}
    assert rows["age"][1].endswith("▼")
    assert rows["age"][2].endswith("▲")
    assert rows["city"][1].startswith("Paris (100 %)")
    assert rows["note"][1].endswith("·")
    assert list(rows)[-1] == "note"


def test_maps_and_curves_are_drawn(served, crescents):
    titles = [plot.title for plot in served.evaluate().plots]
    assert titles == ["Map of the clusters", "Map by t-SNE", "Silhouette by cluster"]
    plots = {plot.title: plot for plot in crescents.evaluate().plots}
    # A map of two columns is the plane itself: t-SNE adds nothing.
    assert list(plots) == [
        "Map of the clusters",
        "Silhouette by cluster",
        "Labels and clusters, rows",
    ]
    assert [one.name for one in plots["Map of the clusters"].series][-1] == "noise"
    assert plots["Labels and clusters, rows"].columns[-1] == "noise"


def test_the_chosen_number_is_marked_on_its_curve(tmp_path):
    found = fit(blobs(), tmp_path)
    (plot,) = [
        one for one in found.evaluate().plots if one.title.startswith("Silhouette by number")
    ]
    curve, chosen = plot.series
    assert chosen.x == [4.0]
    assert chosen.y == [max(curve.y)]


def test_umap_is_drawn_where_it_is_installed(monkeypatch):
    z, labels = np.random.default_rng(0).normal(0, 1, (40, 5)), np.zeros(40, int)
    _, missing = maps.draw(z, labels, 0)
    assert missing == ["No map by UMAP: umap-learn is not installed (pip install umap-learn)."]

    class Flat:
        def __init__(self, n_neighbors, random_state):
            assert n_neighbors <= 13

        def fit_transform(self, rows):
            return rows[:, :2]

    monkeypatch.setitem(sys.modules, "umap", SimpleNamespace(UMAP=Flat))
    spec = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name: name if name == "umap" else spec(name)
    )
    found, missing = maps.draw(z, labels, 0)
    assert missing == []
    assert found["umap"].shape == (40, 2)
