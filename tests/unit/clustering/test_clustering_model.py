"""Clusters of every kind: chosen, fitted, assigned, exported."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from sklearn.cluster import DBSCAN, HDBSCAN, KMeans
from sklearn.metrics import adjusted_rand_score, davies_bouldin_score, silhouette_score
from sklearn.mixture import GaussianMixture

from modelyard.errors import BadData, UsageError
from modelyard.families.clustering import kinds, model
from modelyard.families.clustering.assets import GRAPH, INPUT
from modelyard.families.clustering.choosing import choose
from modelyard.families.clustering.config import ClusteringModel
from modelyard.families.clustering.evaluate import load_split
from modelyard.families.clustering.kinds import Plan, silhouettes
from modelyard.families.clustering.stability import noise_as_singles, stability
from modelyard.judging.evaluation import judge
from modelyard.kit.logits import log_sum
from modelyard.settings.family import GateSettings
from tests.unit.clustering.conftest import blobs, fit, make, moons

KINDS = ["kmeans", "gmm", "dbscan", "hdbscan"]


@pytest.fixture(scope="module")
def fitted(tmp_path_factory):
    """A model of each kind on the same table."""
    folder = tmp_path_factory.mktemp("kinds")
    return {kind: fit(moons(), folder / kind, kind=kind) for kind in KINDS}


@pytest.mark.parametrize("kind", ["kmeans", "gmm"])
def test_the_number_of_clusters_is_found(kind, tmp_path):
    found = fit(blobs(), tmp_path, kind=kind)
    assert len(found.host.clusters.sizes) == 4
    assert found.evaluate().metrics["adjusted_rand"] == pytest.approx(1.0)


def test_a_given_number_of_clusters_is_taken(tmp_path):
    found = fit(blobs(), tmp_path, clusters=3)
    assert len(found.host.clusters.sizes) == 3
    assert "3 clusters (as set)" in found.report["headline"]


def test_clusters_stand_in_the_order_of_their_sizes(fitted):
    for found in fitted.values():
        sizes = found.host.clusters.sizes
        assert sizes == sorted(sizes, reverse=True) or found.host.clusters.kind == "gmm"
        counts = np.bincount(found.labels("train")[found.labels("train") >= 0])
        assert counts.tolist() == sizes


def test_kmeans_assigns_as_scikit_learn_does(fitted):
    found = fitted["kmeans"]
    count = len(found.host.clusters.sizes)
    own = KMeans(count, n_init=10, random_state=0).fit(found.scaled("train"))
    assert adjusted_rand_score(own.predict(found.scaled("test")), found.labels("test")) == 1.0


@pytest.mark.parametrize("covariance", ["full", "diag", "tied", "spherical"])
def test_a_mixture_answers_as_scikit_learn_does(covariance, tmp_path):
    found = fit(blobs(spread=1.5), tmp_path, kind="gmm", clusters=3, covariance=covariance)
    own = GaussianMixture(
        3, covariance_type=covariance, reg_covar=0.01, n_init=3, random_state=0
    ).fit(found.scaled("train"))
    output = found.onnx()(GRAPH, {INPUT: load_split(found.features, "test")["x"]})
    z = found.scaled("test")
    host = found.host
    density = own.score_samples(z)
    assert log_sum(output["log_densities"]) == pytest.approx(density, abs=1e-4)
    chances = np.exp(output["log_densities"] - density[:, None])
    assert chances.max(1) == pytest.approx(own.predict_proba(z).max(1), abs=1e-4)
    requests = found.family.requests(found.features, "test")
    answers = host.predict(found.onnx(), [host.Request.model_validate(body) for body in requests])
    assert [one.log_density for one in answers] == pytest.approx(density, abs=1e-4)
    assert [one.probability for one in answers] == pytest.approx(chances.max(1), abs=1e-4)


def test_dbscan_puts_a_row_where_its_nearest_core_row_within_eps_is(fitted):
    found = fitted["dbscan"]
    z, (eps, *_) = found.scaled("train"), found.host.clusters.reach
    own = DBSCAN(eps=eps, min_samples=5).fit(z)
    cores, groups = z[own.core_sample_indices_], own.labels_[own.core_sample_indices_]
    rows = np.r_[found.scaled("test"), z]
    apart = np.sqrt(((rows[:, None] - cores[None]) ** 2).sum(-1))
    expected = np.where(apart.min(1) <= eps, groups[apart.argmin(1)], -1)
    seen = np.r_[found.labels("test"), found.labels("train")]
    assert (expected == -1).sum() > 3
    assert ((seen == -1) == (expected == -1)).all()
    assert adjusted_rand_score(expected, seen) == 1.0


def test_nothing_is_reached_from_a_border_row():
    z = np.array([[0.0], [0.1], [0.2], [0.3], [0.4], [1.3]])
    plan = Plan("dbscan", eps=1.0, min_rows=5)
    found, labels = kinds.fit(plan, z, 0)
    assert labels.tolist() == [0] * 6
    # 1.3 has three rows within reach: a row at 2.2, near to it alone, is noise.
    assert model.arrays_of(plan, found, z, labels)["points"].tolist() == z[:5].tolist()


def test_eps_is_the_knee_of_the_distances_to_the_fifth_row(fitted):
    found = fitted["dbscan"]
    z = found.scaled("train")
    fifth = np.sort(np.sort(np.sqrt(((z[:, None] - z[None]) ** 2).sum(-1)), axis=1)[:, 4])
    below = np.linspace(fifth[0], fifth[-1], len(fifth)) - fifth
    assert found.host.clusters.reach[0] == pytest.approx(fifth[below.argmax()])


def test_hdbscan_reaches_as_far_as_a_cluster_s_rows_lie_apart(fitted):
    found = fitted["hdbscan"]
    z = found.scaled("train")
    least = max(5, len(z) // 50)
    own = HDBSCAN(min_cluster_size=least, min_samples=5, copy=True).fit(z)
    reach = []
    for cluster in np.unique(own.labels_[own.labels_ >= 0]):
        inside = z[own.labels_ == cluster]
        apart = np.sqrt(((inside[:, None] - inside[None]) ** 2).sum(-1))
        np.fill_diagonal(apart, np.inf)
        reach.append(apart.min(1).max())
    assert sorted(found.host.clusters.reach) == pytest.approx(sorted(reach))
    inside = own.labels_ >= 0
    assert adjusted_rand_score(own.labels_[inside], found.labels("train")[inside]) == 1.0


@pytest.mark.parametrize("kind", KINDS)
def test_the_graph_answers_as_the_library_does_near_and_far(kind, fitted):
    found = fitted[kind]
    x = load_split(found.features, "train")["x"]
    rows = np.r_[x, x * 1e4, x + 1e5].astype(np.float32)
    library = found.family.native(found.model)(GRAPH, {INPUT: rows})
    graph = found.onnx()(GRAPH, {INPUT: rows})
    assert library.keys() == graph.keys()
    for name, values in library.items():
        assert graph[name] == pytest.approx(values, rel=1e-5, abs=1e-5), name
    if "distances" in graph and kind != "kmeans":
        # A core row lies at no distance from itself.
        assert (graph["distances"].min(1) < 1e-6).sum() > len(x) / 2


@pytest.mark.parametrize("opset", [15, 17, 18, 21])
@pytest.mark.parametrize("kind", ["gmm", "dbscan"])
def test_the_graph_is_the_same_in_every_operator_set(kind, opset, fitted):
    from modelyard.runtimes.onnx import OnnxRuntime

    found = fitted[kind]
    x = load_split(found.features, "test")["x"]
    graph = model.graph(found.model, opset)
    output = OnnxRuntime({GRAPH: graph.onnx})(GRAPH, {INPUT: x})
    for name, values in found.onnx()(GRAPH, {INPUT: x}).items():
        assert (output[name] == values).all()


@pytest.mark.parametrize("kind", KINDS)
def test_figures_are_those_of_scikit_learn_on_rows_in_clusters(kind, fitted):
    found = fitted[kind]
    z, labels, result = found.scaled("test"), found.labels("test"), found.evaluate()
    inside = labels >= 0
    share = inside.mean()
    expected = silhouette_score(z[inside], labels[inside]) * share
    assert result.metrics["silhouette"] == pytest.approx(expected)
    bouldin = davies_bouldin_score(z[inside], labels[inside])
    assert result.metrics["davies_bouldin"] == pytest.approx(bouldin)
    if kind in ("dbscan", "hdbscan"):
        assert result.metrics["noise_share"] == pytest.approx(1 - share)
        assert 0 < share < 1
    else:
        assert "noise_share" not in result.metrics
    truth = load_split(found.features, "test")["label"]
    known = truth >= 0
    single = np.where(labels < 0, 1000 + np.arange(len(labels)), labels)
    rand = adjusted_rand_score(truth[known], single[known])
    assert result.metrics["adjusted_rand"] == pytest.approx(rand)


def test_silhouettes_by_hand():
    z = np.array([[0.0], [1.0], [4.0], [9.0], [50.0]])
    # a = 1, b = (4 + 9) / 2; a = 1, b = (3 + 8) / 2; a = 5, b = 3.5; a = 5, b = 8.5; noise.
    expected = [1 - 1 / 6.5, 1 - 1 / 5.5, 3.5 / 5 - 1, 1 - 5 / 8.5, 0.0]
    assert silhouettes(z, np.array([0, 0, 1, 1, -1])) == pytest.approx(expected)


def test_adjusted_rand_by_hand_counts_each_row_of_noise_alone():
    # Pairs that both put together: 1 of 6; expected 2 * 1 / 6, at most (2 + 1) / 2.
    truth, found = np.array([0, 0, 1, 1]), noise_as_singles(np.array([5, 5, -1, -1]))
    expected = (1 - 2 * 1 / 6) / (1.5 - 2 * 1 / 6)
    assert adjusted_rand_score(truth, found) == pytest.approx(expected)


def test_one_cluster_only_is_said_and_does_not_pass(tmp_path):
    found = fit(blobs(100, 1), tmp_path, kind="dbscan", eps=3.0)
    assert found.host.clusters.sizes == [65]
    assert "There is one cluster only: nothing is set apart" in found.report["warnings"]
    result = found.evaluate()
    assert result.metrics["silhouette"] == 0
    assert not judge(GateSettings(), result).passed


def test_all_noise_is_refused_with_the_setting_to_change(tmp_path):
    with pytest.raises(BadData, match=r"no row has 5 rows within eps 1e-06.*--set model\.eps="):
        fit(blobs(), tmp_path, kind="dbscan", eps=1e-6)


def test_more_clusters_than_different_rows_are_refused(tmp_path):
    frame = pd.DataFrame({"a": [1.5, 2.5, 4.5] * 20, "b": [0.5, 3.5, 1.5] * 20})
    with pytest.raises(
        UsageError, match=r"model\.clusters' = 7.*3 different rows. Allowed: 2 to 3"
    ):
        fit(frame, tmp_path, clusters=7)


@pytest.mark.parametrize("kind", KINDS)
def test_rows_that_are_copies_of_few_are_clustered(kind, tmp_path):
    frame = pd.DataFrame({"a": [1.5, 2.5, 4.5] * 30, "b": [0.5, 3.5, 1.5] * 30})
    if kind == "dbscan":
        with pytest.raises(BadData, match=r"every training row has 4 copies.*model\.eps"):
            fit(frame, tmp_path / "chosen", kind=kind)
    settings = {"eps": 0.1} if kind == "dbscan" else {}
    found = fit(frame, tmp_path / "set", kind=kind, **settings)
    assert len(found.host.clusters.sizes) in (2, 3)
    assert found.evaluate().metrics["silhouette"] > 0.4


def test_each_combination_of_few_categories_may_be_a_cluster(tmp_path):
    r = np.random.default_rng(0)
    frame = pd.DataFrame(
        {"color": r.choice(["red", "blue"], 200), "size": r.choice(["S", "L"], 200)}
    )
    found = fit(frame, tmp_path)
    assert len(found.host.clusters.sizes) == 4
    assert found.evaluate().metrics["silhouette"] == pytest.approx(1.0)


def test_uniform_rows_are_said_to_hold_no_clusters(tmp_path):
    r = np.random.default_rng(0)
    frame = pd.DataFrame(r.normal(0, 1, (300, 8)), columns=list("abcdefgh"))
    found = fit(frame, tmp_path, kind="kmeans", clusters=5)
    said = " ".join(found.report["warnings"])
    assert "below 0.25" in said
    assert "Other samples of the rows give other clusters" in said
    mixture = fit(frame, tmp_path / "gmm", kind="gmm", max_clusters=3)
    assert "there may be no clusters" in " ".join(mixture.report["warnings"])


def test_clear_clusters_are_stable(tmp_path):
    found = fit(blobs(), tmp_path)
    assert found.host.clusters.stability > 0.99
    assert found.report["warnings"] == []


def test_the_largest_number_that_was_tried_is_said_to_be(tmp_path):
    found = fit(blobs(), tmp_path, max_clusters=4)
    assert "--set model.max_clusters=8" in found.report["warnings"][0]


def test_a_large_table_s_density_is_fitted_on_some_of_its_rows(tmp_path):
    found = fit(moons(600), tmp_path, kind="dbscan", most_rows=300)
    assert "Fitted on 300 of 410 training rows" in " ".join(found.report["notes"])


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"kind": "dbscan", "clusters": 3}, "dbscan finds their number itself"),
        ({"kind": "kmeans", "eps": 0.5}, "model.eps = 0.5 is of dbscan only"),
        ({"kind": "gmm", "min_cluster": 9}, "model.min_cluster = 9 is of hdbscan only"),
    ],
)
def test_settings_of_another_kind_are_refused(settings, said):
    with pytest.raises(UsageError, match=said):
        make(**settings)


def test_random_clusters_and_cuts_stand_beside_the_clusters(fitted):
    result = fitted["kmeans"].evaluate()
    assert result.baseline_name == "random clusters of the same sizes"
    assert abs(result.baseline["silhouette"]) < 0.1
    assert abs(result.baseline["adjusted_rand"]) < 0.05
    (cut,) = result.rivals
    assert cut == "cuts across the first principal component"
    assert {gain.over for gain in result.gains} == {cut, result.baseline_name}
    dense = fitted["dbscan"].evaluate()
    assert {gain.over for gain in dense.gains} == {result.baseline_name}
    assert "noise_share" not in dense.baseline


def test_a_large_split_is_judged_on_a_sample_that_is_said(tmp_path, monkeypatch):
    from modelyard.families.clustering import evaluate

    monkeypatch.setattr(evaluate, "JUDGED", 30)
    result = fit(blobs(), tmp_path, clusters=4).evaluate()
    assert "Figures are of 30 of 48 rows at random" in " ".join(result.notes)


def test_the_stability_of_dbscan_is_that_of_rows_as_dense_as_those_it_was_fitted_on():
    """eps is a distance: of a quarter of the rows most would be noise, whatever the clusters."""
    rng = np.random.default_rng(0)
    z = np.array([[0, 0], [6, 0], [0, 6]])[rng.integers(0, 3, 8_000)]
    z = z + rng.normal(size=z.shape)
    chosen = choose(ClusteringModel(kind="dbscan"), z, 0)
    mean, least = stability(chosen.plan, z, 6, 0)
    assert mean > 0.94
    assert least > 0.92


@pytest.mark.parametrize("kind", KINDS)
def test_the_first_cluster_is_the_largest_of_those_that_are_served(kind, tmp_path):
    """A library's clusters hold other rows than those nearest to their rows."""
    rng = np.random.default_rng(0)
    frame = pd.DataFrame({"a": np.round(rng.normal(size=300), 1), "b": rng.normal(size=300)})
    found = fit(frame, tmp_path, kind=kind)
    sizes = found.host.clusters.sizes
    assert sizes == sorted(sizes, reverse=True)
    labels = found.labels("train")
    assert sizes == [int((labels == cluster).sum()) for cluster in range(len(sizes))]
