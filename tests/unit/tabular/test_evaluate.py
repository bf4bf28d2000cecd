"""Judging through the host that serves: real tables, real models, and champions with classes of
their own."""

from __future__ import annotations

import math
import shutil
from pathlib import Path

import numpy as np
import pytest
import threadpoolctl
from sklearn import metrics as reference

from modelyard.families.tabular.config import TabularConfig
from modelyard.families.tabular.evaluate import evaluate
from modelyard.families.tabular.family import Tabular
from modelyard.families.tabular.host import TabularHost
from modelyard.families.tabular.scale import TargetScale
from modelyard.families.tabular.schema import TableSchema
from modelyard.families.tabular.table import load_split
from modelyard.judging.evaluation import Evaluation, Plot, judge
from modelyard.runtimes.types import Runtime
from modelyard.settings.family import GateSettings
from modelyard.training.loop import Trainer


def write_iris(raw: Path) -> None:
    from sklearn.datasets import load_iris

    data = load_iris()
    names = [name.replace(" ", "_").replace("_(cm)", "") for name in data.feature_names]
    lines = [",".join([*names, "species"])]
    rows = zip(data.data.tolist(), data.target, strict=True)
    lines += [",".join([*map(str, row), data.target_names[code]]) for row, code in rows]
    raw.mkdir(parents=True)
    (raw / "data.csv").write_text("\n".join(lines) + "\n")


def build(folder: Path, sample: str | None) -> tuple[Tabular, Path, Path]:
    """A small model of a built-in table, or of iris: the family, its features and its model
    folder."""
    values = {"sample": sample, "sample_rows": 3_000} if sample else {"target": "species"}
    config = TabularConfig.model_validate(
        {"features": values, "model": {"kind": "lightgbm", "trees": 30}}
    )
    family = Tabular(config)
    if sample:
        family.sample(folder / "raw")
    else:
        write_iris(folder / "raw")
    (folder / "features").mkdir()
    family.features(folder / "raw", folder / "features")
    shutil.copytree(folder / "features/assets", folder / "model/assets")
    family.fit(folder / "features", folder / "model", Trainer(0, config.training))
    return family, folder / "features", folder / "model"


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> dict[str, tuple[Tabular, Path, Path]]:
    samples = {
        "breast_cancer": "breast_cancer",
        "fraud": "fraud",
        "diabetes": "diabetes",
        "iris": None,
    }
    with pytest.MonkeyPatch.context() as patch, threadpoolctl.threadpool_limits(1):
        patch.setenv("OMP_NUM_THREADS", "1")
        return {
            name: build(tmp_path_factory.mktemp(name), sample) for name, sample in samples.items()
        }


def judged(built: tuple[Tabular, Path, Path]) -> tuple[Evaluation, np.ndarray, np.ndarray]:
    family, features, model = built
    host, run = TabularHost(model / "assets"), family.native(model)
    x, y = load_split(features, "test")
    (raw,) = run("model", {"features": x}).values()
    return family.evaluate(host, run, features), raw, y


def plot(evaluation: Evaluation, title: str) -> Plot:
    (found,) = (figure for figure in evaluation.plots if figure.title == title)
    return found


def test_a_binary_model_has_the_figures_scikit_learn_gives(built: dict) -> None:
    evaluation, raw, y = judged(built["breast_cancer"])
    _, _, model = built["breast_cancer"]
    host = TabularHost(model / "assets")
    p = host.decision.of_probabilities(raw)
    labels = host.decision.labels(p)
    expected = {
        "roc_auc": reference.roc_auc_score(y, p[:, 1]),
        "average_precision": reference.average_precision_score(y, p[:, 1]),
        "log_loss": reference.log_loss(y, p[:, 1]),
        "brier": reference.brier_score_loss(y, p[:, 1]),
        "accuracy": reference.accuracy_score(y, labels),
        "balanced_accuracy": reference.balanced_accuracy_score(y, labels),
        "precision": reference.precision_score(y, labels),
        "recall": reference.recall_score(y, labels),
        "f1": reference.f1_score(y, labels),
    }
    found = {name: evaluation.metrics[name] for name in expected}
    assert found == pytest.approx(expected, rel=1e-9)
    assert evaluation.main == "roc_auc"
    assert evaluation.rows == len(y)
    assert evaluation.confusion is not None
    assert evaluation.confusion.matrix == reference.confusion_matrix(y, labels).tolist()
    assert evaluation.confusion.labels == host.schema.classes


def test_the_baseline_is_the_training_splits_class_shares(built: dict) -> None:
    evaluation, _, y = judged(built["breast_cancer"])
    _, y_train = load_split(built["breast_cancer"][1], "train")
    share = y_train.mean()
    assert evaluation.baseline["roc_auc"] == 0.5
    assert evaluation.baseline["average_precision"] == pytest.approx(y.mean())
    assert evaluation.baseline["log_loss"] == pytest.approx(
        reference.log_loss(y, np.full(len(y), share))
    )
    assert set(evaluation.baseline) == set(evaluation.metrics)
    assert evaluation.metrics["roc_auc"] > 0.9


def test_rare_positives_are_judged_by_average_precision(built: dict) -> None:
    evaluation, _, y = judged(built["fraud"])
    assert y.mean() < 0.2
    assert evaluation.main == "average_precision"
    assert evaluation.metrics["average_precision"] > 3 * evaluation.baseline["average_precision"]


def test_the_interval_holds_the_value_and_is_said(built: dict) -> None:
    evaluation, _, _ = judged(built["breast_cancer"])
    (note,) = (note for note in evaluation.notes if "bootstrap" in note)
    value, low, high = (
        float(note.split(mark)[1].split()[0].strip(","))
        for mark in ("roc_auc ", "interval ", " to ")
    )
    assert low <= value <= high <= 1
    assert 0.001 < high - low < 0.15
    assert any(note.startswith("Answers") for note in evaluation.notes)


def test_curves_are_finite_and_small_enough_to_draw(built: dict) -> None:
    evaluation, _, y = judged(built["fraud"])
    roc = evaluation.roc
    assert roc is not None
    assert len(roc.thresholds) <= 200
    assert all(map(math.isfinite, roc.thresholds))
    assert (np.diff(roc.thresholds) < 0).all()
    assert (roc.false_positive_rate[0], roc.true_positive_rate[-1]) == (0, 1)
    assert {figure.title for figure in evaluation.plots} == {
        "ROC",
        "Precision and recall",
        "Recall and specificity by threshold",
        "Calibration",
        "Scores by class",
    }
    counts = plot(evaluation, "Scores by class").series
    assert [sum(series.y) for series in counts] == [len(y) - y.sum(), y.sum()]


def test_several_classes_are_judged_by_macro_f1(built: dict) -> None:
    evaluation, raw, y = judged(built["iris"])
    labels = raw.argmax(axis=1)
    assert evaluation.main == "macro_f1"
    assert evaluation.metrics["macro_f1"] == pytest.approx(
        reference.f1_score(y, labels, average="macro")
    )
    assert evaluation.metrics["top_2_accuracy"] == pytest.approx(
        reference.top_k_accuracy_score(y, raw, k=2)
    )
    assert evaluation.metrics["log_loss"] == pytest.approx(
        reference.log_loss(y, raw.astype(float)), rel=1e-5
    )
    assert evaluation.metrics["macro_f1"] > evaluation.baseline["macro_f1"] + 0.4
    assert evaluation.baseline["balanced_accuracy"] == pytest.approx(1 / 3)


def test_a_trend_that_trees_cannot_follow_does_not_pass_over_a_stale_median(
    tmp_path: Path,
) -> None:
    days = np.arange(400)
    y = 100 - days + np.random.default_rng(0).normal(size=400)
    (tmp_path / "raw").mkdir()
    rows = "".join(
        f"{np.datetime64('2024-01-01') + n},{n % 7},{value}\n" for n, value in enumerate(y)
    )
    (tmp_path / "raw/sales.csv").write_text("day,weekday,y\n" + rows)
    config = TabularConfig.model_validate(
        {
            "features": {"target": "y", "time_column": "day"},
            "data": {"uri": "mine"},
            "model": {"trees": 60},
        }
    )
    family = Tabular(config)
    (tmp_path / "features").mkdir()
    family.features(tmp_path / "raw", tmp_path / "features")
    shutil.copytree(tmp_path / "features/assets", tmp_path / "model/assets")
    family.fit(tmp_path / "features", tmp_path / "model", Trainer(0, config.training))
    host = TabularHost(tmp_path / "model/assets")
    found = family.evaluate(host, family.native(tmp_path / "model"), tmp_path / "features")
    assert found.metrics["mae"] < found.baseline["mae"]
    assert found.metrics["r2"] < -1
    result = judge(GateSettings(), found)
    assert not result.passed
    assert "worse than the test split's own median, -2" in result.reason


def test_a_regression_is_judged_by_its_mean_absolute_error(built: dict) -> None:
    evaluation, output, y = judged(built["diabetes"])
    value = TargetScale.load(built["diabetes"][2] / "assets").restored(output)
    assert evaluation.main == "mae"
    expected = {
        "mae": reference.mean_absolute_error(y, value),
        "rmse": reference.root_mean_squared_error(y, value),
        "median_absolute_error": reference.median_absolute_error(y, value),
        "r2": reference.r2_score(y, value),
    }
    found = {name: evaluation.metrics[name] for name in expected}
    assert found == pytest.approx(expected, rel=1e-5)
    assert set(evaluation.metrics) - set(expected) == {
        "coverage_error",
        "mean_width",
        "interval_score",
    }
    _, y_train = load_split(built["diabetes"][1], "train")
    assert evaluation.baseline["mae"] == pytest.approx(np.abs(y - np.median(y_train)).mean())
    assert evaluation.metrics["mae"] < evaluation.baseline["mae"]
    assert set(evaluation.directions.values()) == {"min", "max"}
    assert sum(plot(evaluation, "Errors").series[0].y) == len(y)


def renamed(model: Path, to: Path, classes: list[str]) -> Path:
    """The model with other class names: what a package of another day may hold."""
    shutil.copytree(model, to)
    schema = TableSchema.load(model / "assets")
    schema.model_copy(update={"classes": classes}).save(to / "assets")
    return to


def permuted(run: Runtime, order: list[int]) -> Runtime:
    return lambda name, arrays: {"probabilities": run(name, arrays)["probabilities"][:, order]}


def test_a_host_with_another_order_of_classes_gets_the_same_figures(
    built: dict, tmp_path: Path
) -> None:
    family, features, model = built["iris"]
    classes = TableSchema.load(model / "assets").classes
    assert classes is not None
    order = [2, 0, 1]
    other = renamed(model, tmp_path / "other", [classes[index] for index in order])
    seen = evaluate(TabularHost(other / "assets"), permuted(family.native(model), order), features)
    expected = family.evaluate(TabularHost(model / "assets"), family.native(model), features)
    assert seen.metrics == pytest.approx(expected.metrics)
    assert seen.confusion == expected.confusion


def test_a_class_the_host_does_not_know_counts_as_missed(built: dict, tmp_path: Path) -> None:
    family, features, model = built["iris"]
    classes = TableSchema.load(model / "assets").classes
    assert classes is not None
    other = renamed(model, tmp_path / "other", ["tulip", *classes[1:]])
    evaluation = evaluate(TabularHost(other / "assets"), family.native(model), features)
    expected = family.evaluate(TabularHost(model / "assets"), family.native(model), features)
    _, y = load_split(features, "test")
    assert evaluation.confusion is not None
    assert evaluation.confusion.labels[-1] == "(another)"
    assert evaluation.confusion.matrix[0][0] == 0
    assert sum(map(sum, evaluation.confusion.matrix)) == len(y)
    assert evaluation.metrics["accuracy"] == pytest.approx(
        expected.metrics["accuracy"] - expected.confusion.matrix[0][0] / len(y)
    )
    assert any(f"does not know {classes[0]}" in note for note in evaluation.notes)
    assert evaluation.metrics["log_loss"] > 5


def test_one_class_alone_leaves_out_what_cannot_be_ranked(built: dict, tmp_path: Path) -> None:
    import pandas as pd

    family, features, model = built["breast_cancer"]
    copy = tmp_path / "features"
    shutil.copytree(features, copy)
    x, y = load_split(features, "test")
    np.savez(copy / "test.npz", x=x[y == 0], y=y[y == 0])
    pd.read_parquet(features / "test.parquet")[y == 0].to_parquet(
        copy / "test.parquet", index=False
    )
    evaluation = family.evaluate(TabularHost(model / "assets"), family.native(model), copy)
    assert evaluation.main == "log_loss"
    assert "roc_auc" not in evaluation.metrics
    assert any("ranking metrics are undefined" in note for note in evaluation.notes)


def test_the_card_tells_which_columns_matter(built: dict, tmp_path: Path) -> None:
    family, features, _ = built["breast_cancer"]
    shutil.copytree(features / "assets", tmp_path / "assets")
    card = family.fit(features, tmp_path, Trainer(0, family.config.training))
    table = card["importance"]
    assert [len(row) for row in table["rows"]] == [len(table["columns"])] * 30
    sizes = [size for _, size in table["rows"]]
    assert sizes == sorted(sizes, reverse=True)
    assert {name for name, _ in table["rows"][:8]} & {
        "worst_perimeter",
        "worst_radius",
        "worst_concave_points",
    }
