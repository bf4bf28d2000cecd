"""Every kind trains, exports, beats the z-score and names the faulty sensor."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any, get_args

import numpy as np
import pytest
import torch

from modelyard.errors import BadData, BrokenArtifact, UsageError
from modelyard.families.anomaly import networks
from modelyard.families.anomaly.config import AnomalyConfig, Kind
from modelyard.families.anomaly.parts import Part
from modelyard.families.anomaly.relations import expectation, whitening
from modelyard.families.anomaly.samples import COLUMNS
from modelyard.families.anomaly.schema import Schema, kind_of
from modelyard.families.anomaly.scoring import run_graph
from modelyard.runtimes.export import to_onnx
from modelyard.runtimes.onnx import OnnxRuntime
from modelyard.settings.export import ExportSettings
from modelyard.training.loop import load_weights
from tests.sampled import sampled
from tests.unit.anomaly.conftest import WINDOW, Trained, fresh, make, train

KINDS = get_args(Kind)
TrainedKind = Callable[[str], Trained]


@pytest.mark.parametrize("kind", KINDS)
def test_each_kind_clearly_beats_the_largest_z_score(kind: str, trained: TrainedKind) -> None:
    one = trained(kind)
    result = one.family.evaluate(one.host, one.run, one.features)
    assert result.main == "roc_auc"
    for metric in ("roc_auc", "average_precision", "event_recall"):
        assert result.metrics[metric] > result.baseline[metric] + 0.1, metric
    assert result.metrics["probe_roc_auc"] > result.baseline["probe_roc_auc"] + 0.1


@pytest.mark.parametrize("kind", KINDS)
def test_the_onnx_graph_gives_the_trained_models_scores_at_batch_1_and_7(
    kind: str, trained: TrainedKind, tmp_path: Path
) -> None:
    one = trained(kind)
    (graph,) = one.family.graphs(one.model)
    to_onnx(graph, tmp_path / "model.onnx", ExportSettings().opset)
    compiled = OnnxRuntime({"model": tmp_path / "model.onnx"})
    part = Part.load(one.features, "test")
    window = one.host.detector.window
    for rows in (1, 7, 500):
        windows = part.windows(part.ends(window)[-rows:], window)
        expected, seen = run_graph(one.run, windows), run_graph(compiled, windows)
        assert expected.keys() == seen.keys()
        for name, value in expected.items():
            assert seen[name].shape == value.shape
            assert (
                np.max(np.abs(seen[name] - value) / np.maximum(1, np.abs(value))) < graph.tolerance
            )
        assert np.allclose(
            one.host.scores(one.run, windows),
            one.host.scores(compiled, windows),
            rtol=1e-3,
            atol=1e-4,
        )


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("column", sampled(["pressure", "oil_temperature", "vibration"], 3))
def test_the_disturbed_sensor_comes_first_in_the_reasons(
    kind: str, column: str, trained: TrainedKind
) -> None:
    one = trained(kind)
    index, window = COLUMNS.index(column), one.host.detector.window
    spread = one.host.schema.columns[index].spread
    first, known = 0, [fresh(machine, 1600).astype(float) for machine in range(2)]
    cases = [
        (machine, end, sign)
        for machine in range(2)
        for end in range(500, 1500, 100)
        for sign in (-1, 1)
    ]
    for machine, end, sign in cases:
        rows = known[machine][end - window + 1 : end + 1].copy()
        rows[-1, index] += sign * 4 * spread
        content = [dict(zip(COLUMNS, row, strict=True)) for row in rows.tolist()]
        body = {"values": content[0]} if window == 1 else {"window": content}
        request = one.host.Request.model_validate(body)
        reasons = one.host.explain(one.run, request)
        (answer,) = one.host.predict(one.run, [request])
        assert answer.anomaly  # type: ignore[attr-defined]
        first += next(iter(reasons.contributions)) == column
    assert first >= 0.8 * len(cases)


@pytest.mark.parametrize("kind", ["autoencoder", "lstm"])
def test_parts_of_the_reconstruction_error_add_up_to_the_score(
    kind: str, trained: TrainedKind
) -> None:
    one = trained(kind)
    body = one.family.requests(one.features, "test", 1)[0]
    request = one.host.Request.model_validate(body)
    reasons, (answer,) = one.host.explain(one.run, request), one.host.predict(one.run, [request])
    assert sum(reasons.contributions.values()) == pytest.approx(answer.score)  # type: ignore[attr-defined]
    assert reasons.method == "share of the reconstruction error"


@pytest.mark.parametrize("kind", ["deepsvdd", "ocsvm"])
def test_occlusion_is_the_fall_of_the_score_at_the_expected_value(
    kind: str, trained: TrainedKind
) -> None:
    one = trained(kind)
    values = one.family.requests(one.features, "test", 5)[3]["values"]
    request = one.host.Request.model_validate({"values": values})
    reasons, (answer,) = one.host.explain(one.run, request), one.host.predict(one.run, [request])
    x = Part.load(one.features, "train").x.astype(np.float64)
    flow = COLUMNS.index("flow")
    others = np.column_stack([np.delete(x, flow, axis=1), np.ones(len(x))])
    weights, *_ = np.linalg.lstsq(others, x[:, flow])
    expected = float([*(value for name, value in values.items() if name != "flow"), 1.0] @ weights)
    (other,) = one.host.predict(
        one.run, [one.host.Request.model_validate({"values": {**values, "flow": expected}})]
    )
    fall = answer.score - other.score  # type: ignore[attr-defined]
    assert reasons.contributions["flow"] == pytest.approx(fall, rel=0.01, abs=1e-4)
    assert reasons.method == "occlusion to what the other columns let expect"


def test_deep_svdd_has_no_bias_and_keeps_the_centre_it_was_given(trained: TrainedKind) -> None:
    one = trained("deepsvdd")
    family = one.family
    torch.manual_seed(family.config.seed)
    untrained = family.model(one.features / "assets")
    after = load_weights(family.model(one.model / "assets"), one.model)
    assert all(not name.endswith("bias") for name, _ in after.named_parameters())
    assert torch.equal(untrained.get_buffer("centre"), after.get_buffer("centre"))
    assert one.host.detector.centre == pytest.approx(after.get_buffer("centre").tolist())
    values = torch.from_numpy(Part.load(one.features, "train").x)
    with torch.no_grad():
        start = untrained(values)["embedding"].mean(0)
    far = start.abs() > networks.LEAST_CENTRE
    assert torch.allclose(untrained.get_buffer("centre")[far], start[far], atol=1e-5)


def test_whitened_columns_are_uncorrelated_and_copies_do_not_explode() -> None:
    rng = np.random.default_rng(0)
    a, b = rng.normal(5, 2, (2, 4000))
    x = np.stack([a, a + 0.3 * b, 9 / 5 * a + 32], axis=1)
    turned = (x - x.mean(axis=0)) @ whitening(x)
    covariance = np.cov(turned.T, bias=True)
    assert np.allclose(covariance[1:, 1:], np.eye(2), atol=1e-6)
    assert covariance[0, 0] < 1e-6
    weights = expectation(x)
    assert np.abs(weights).max() < 10
    assert np.diag(weights).tolist() == [0, 0, 0]


@pytest.mark.parametrize("kind", ["iforest", "autoencoder"])
def test_assumed_contamination_gives_a_dirty_training_set_its_recall_back(
    kind: str, tmp_path: Path
) -> None:
    # Of anomalies that nobody marked: the sample's marks only judge here.
    unaware = {"learn_from": "all", "threshold_from": "assumed_normal"}
    dirty = make(kind, **unaware)
    features = dirty.config.features.model_copy(update={"sample_contamination": 0.05})
    dirty = type(dirty)(dirty.config.model_copy(update={"features": features}))
    raw, out = tmp_path / "raw", tmp_path / "features"
    raw.mkdir()
    dirty.sample(raw)
    dirty.features(raw, out)
    aware = make(kind, contamination=0.05, **unaware)
    (tmp_path / "naive").mkdir()
    (tmp_path / "aware").mkdir()
    recalls = []
    for name, family in (("naive", dirty), ("aware", aware)):
        one = train(family, out, tmp_path / name)
        recalls.append(family.evaluate(one.host, one.run, out).metrics["recall"])
    assert "without the strangest" in one.report["headline"]
    assert recalls[1] > recalls[0] + (0.05 if kind == "iforest" else 0.2)


@pytest.mark.parametrize("kind", ["iforest", "autoencoder"])
def test_training_rows_that_are_labelled_anomalies_are_not_learned_from(
    kind: str, machines: Path, tmp_path: Path
) -> None:
    features = tmp_path / "features"
    shutil.copytree(machines, features)
    # As in a log of attacks: half of the rows, and much like each other.
    for name in ("train", "test"):
        part = Part.load(features, name)
        part.label[:] = np.arange(len(part.label)) % 2
        part.x[1::2, :2] = part.x[:, :2].mean(axis=0) + 4 * part.x[:, :2].std(axis=0)
        part.save(features, name)
    schema = Schema.load(features / "assets")
    schema.model_copy(update={"step": None}).save(features / "assets")
    ranked, simply = {}, {}
    for name in ("all", "unmarked"):
        (tmp_path / name).mkdir()
        one = train(make(kind, learn_from=name), features, tmp_path / name)
        judged = one.family.evaluate(one.host, one.run, features)
        ranked[name], simply[name] = judged.metrics["roc_auc"], judged.baseline["roc_auc"]
        left_out = "training rows with labelled anomalies are not learned from"
        assert (left_out in one.report["headline"]) == (name == "unmarked")
    assert ranked["unmarked"] > 0.9
    assert ranked["unmarked"] > ranked["all"] + 0.1
    # The baseline learns from the same rows.
    assert simply["unmarked"] > simply["all"] + 0.1


def test_windows_that_are_all_marked_say_how_to_learn_from_them(
    machines: Path, tmp_path: Path
) -> None:
    features = tmp_path / "features"
    shutil.copytree(machines, features)
    part = Part.load(features, "train")
    part.label[::2] = 1
    part.save(features, "train")
    with pytest.raises(BadData, match="between labelled anomalies.*model.learn_from=all"):
        train(make("lstm"), features, tmp_path)


def test_calibration_rows_that_are_labelled_anomalies_set_no_threshold(
    machines: Path, tmp_path: Path
) -> None:
    features = tmp_path / "features"
    shutil.copytree(machines, features)
    calibration = Part.load(features, "calibration")
    calibration.x[100:200] *= 3
    calibration.label[100:200] = 1
    calibration.save(features, "calibration")
    levels = {}
    for source in ("assumed_normal", "labels", "unmarked"):
        (tmp_path / source).mkdir()
        one = train(make("ocsvm", threshold_from=source), features, tmp_path / source)
        levels[source] = one.host.detector.threshold
        asked = "--set model.threshold_from=labels" in one.report["headline"]
        assert asked == (source == "assumed_normal")
    (tmp_path / "clean").mkdir()
    one = train(make("ocsvm"), machines, tmp_path / "clean")
    clean = one.host.detector.threshold
    assert "threshold_from" not in one.report["headline"]
    for source in ("labels", "unmarked"):
        assert levels[source] < levels["assumed_normal"]
        assert abs(levels[source] - clean) < 0.3 * (levels["assumed_normal"] - clean)
    # The baseline's threshold, and what scores are compared with, come from the other rows too.
    calibration.x[200::2] *= 3
    calibration.label[200::2] = 1
    calibration.save(features, "calibration")
    untouched = one.family.evaluate(one.host, one.run, machines)
    seen = one.family.evaluate(one.host, one.run, features)
    assert seen.metrics["score_shift"] == pytest.approx(untouched.metrics["score_shift"], abs=0.05)
    rate = untouched.baseline["false_alarm_rate"]
    assert seen.baseline["false_alarm_rate"] == pytest.approx(rate, abs=0.005)


def test_too_few_calibration_rows_without_a_label_say_how_to_count_the_others(
    machines: Path, tmp_path: Path
) -> None:
    features = tmp_path / "features"
    shutil.copytree(machines, features)
    calibration = Part.load(features, "calibration")
    calibration.label[20:] = 1
    calibration.save(features, "calibration")
    (tmp_path / "m").mkdir()
    said = "20 calibration answers cannot set .* --set model.threshold_from=assumed_normal"
    with pytest.raises(BadData, match=said):
        train(make("ocsvm"), features, tmp_path / "m")
    (tmp_path / "all").mkdir()
    one = train(make("ocsvm", threshold_from="assumed_normal"), features, tmp_path / "all")
    assert one.host.detector.threshold > 0


def test_a_threshold_from_labels_that_are_not_there_is_refused(
    machines: Path, tmp_path: Path
) -> None:
    features = tmp_path / "features"
    shutil.copytree(machines, features)
    Schema.load(features / "assets").model_copy(update={"labelled": False}).save(
        features / "assets"
    )
    (tmp_path / "m").mkdir()
    with pytest.raises(UsageError, match=r"'labels': the data has no column 'label'"):
        train(make("ocsvm", threshold_from="labels"), features, tmp_path / "m")


def test_a_detector_file_is_needed_and_may_hold_nothing_foreign(
    trained: TrainedKind, tmp_path: Path
) -> None:
    from collections import OrderedDict

    import skops.io
    from sklearn.preprocessing import FunctionTransformer

    one = trained("ocsvm")
    shutil.copytree(one.model, tmp_path / "m")
    skops.io.dump([OrderedDict, FunctionTransformer(print)], tmp_path / "m/detector.skops")
    with pytest.raises(BrokenArtifact, match="types that no model of ours has"):
        one.family.native(tmp_path / "m")
    (tmp_path / "m/detector.skops").unlink()
    with pytest.raises(BrokenArtifact, match=r"detector.skops is missing. Train the model again"):
        one.family.native(tmp_path / "m")


def one_column(folder: Path, times: bool) -> Path:
    """A file with one sensor, a wave that stands still for 30 rows near its end."""
    folder.mkdir()
    count = np.arange(1_500)
    values = np.sin(count / 6) + np.random.default_rng(0).normal(0, 0.05, len(count))
    values[1_300:1_330] = values[1_300]
    lines = ["time,level" if times else "level"]
    for row, value in zip(count.tolist(), values.tolist(), strict=True):
        lines.append(f"{row},{value:.4f}" if times else f"{value:.4f}")
    (folder / "level.csv").write_text("\n".join(lines) + "\n")
    return folder


def test_of_a_single_column_windows_are_judged_unless_another_kind_is_set(tmp_path: Path) -> None:
    family = make("auto")
    features = tmp_path / "features"
    features.mkdir()
    family.features(one_column(tmp_path / "raw", times=True), features)
    (tmp_path / "model").mkdir()
    one = train(family, features, tmp_path / "model")
    assert (one.host.detector.kind, one.host.detector.window) == ("lstm", WINDOW)
    assert one.report["headline"].startswith("lstm, for a single column; ")
    assert set(family.requests(features, "test", 1)[0]) == {"window"}
    result = family.evaluate(one.host, one.run, features)
    assert result.metrics["probe_roc_auc"] > result.baseline["probe_roc_auc"] + 0.1
    assert kind_of(make("iforest").config, Schema.load(features / "assets")) == "iforest"


def test_without_a_time_or_with_more_columns_rows_are_judged(
    machines: Path, tmp_path: Path
) -> None:
    auto = make("auto")
    assert kind_of(auto.config, Schema.load(machines / "assets")) == "neighbours"
    features = tmp_path / "features"
    features.mkdir()
    auto.features(one_column(tmp_path / "raw", times=False), features)
    assert kind_of(auto.config, Schema.load(features / "assets")) == "neighbours"


@pytest.mark.parametrize(
    "asked",
    [
        {"model": {"hidden": [32]}},
        {"model": {"code": 2}},
        {"model": {"corruption": 0}},
        {"compress": {"sparsity": 0.5}},
        {"continual": {"memory": 50}},
        {"features": {"window": 12}, "model": {"nearest": 3, "false_alarm_rate": 0.02}},
    ],
)
def test_who_sets_something_of_a_network_gets_one(machines: Path, asked: dict[str, Any]) -> None:
    config = AnomalyConfig.model_validate(asked)
    wanted = "neighbours" if "features" in asked else "autoencoder"
    assert kind_of(config, Schema.load(machines / "assets")) == wanted


def test_the_centre_of_deepsvdd_is_that_of_rows_that_are_learned_from(
    machines: Path, tmp_path: Path
) -> None:
    centres = {}
    for marked in (False, True):
        features = tmp_path / str(marked)
        shutil.copytree(machines, features)
        part = Part.load(features, "train")
        if marked:
            part.x[::3] += 20 * part.x.std(axis=0)
            part.label[::3] = 1
            part.save(features, "train")
        for learned in ("all", "unmarked"):
            torch.manual_seed(0)
            net = make("deepsvdd", learn_from=learned, whiten=False).model(features / "assets")
            centres[learned, marked] = net.get_buffer("centre").numpy()
    usual = centres["unmarked", False]
    apart = {name: float(np.abs(centres[name, True] - usual).max()) for name in ("all", "unmarked")}
    assert apart["unmarked"] < apart["all"] / 5
