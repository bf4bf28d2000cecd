"""Cards to look at: real models on scikit-learn's data, and the page as a browser reads it."""

from __future__ import annotations

from functools import cache
from html.parser import HTMLParser
from typing import Any

import numpy as np
from sklearn import datasets, linear_model, metrics, model_selection, naive_bayes

from modelyard import card
from modelyard.judging.evaluation import Confusion, Evaluation, Plot, Roc, Series, judge
from modelyard.packages.package import PackageInfo, Variant
from modelyard.settings.family import FamilyConfig, GateSettings, MonitorSettings
from modelyard.store.artifact import Origin


def _split(data: Any) -> list[np.ndarray]:
    return model_selection.train_test_split(data.data, data.target, test_size=0.3, random_state=0)


def info_of(evaluation: Evaluation, title: str, **fields: Any) -> PackageInfo:
    gate = judge(GateSettings(), evaluation)
    native = Variant(
        name="native", graphs={}, bytes=182_400, p50_ms=0.412, metric=gate.value, max_difference=0.0
    )
    onnx = Variant(
        name="onnx-fp32",
        graphs={"model": "onnx-fp32/model.onnx"},
        bytes=8_230,
        p50_ms=0.0413,
        metric=gate.value - 0.0012,
        max_difference=3.1e-7,
        chosen=True,
    )
    values = {
        "family": "tests.toy.family:Line",
        "title": title,
        "run": "2031-04-05-calm-otter",
        "version": "9f8e7d6c5b4a",
        "created": "2031-04-05T06:07:08+00:00",
        "code_version": "0123456789ab",
        "data_revision": "v3",
        "config": FamilyConfig(seed=7).model_dump(mode="json") | {"features": {"points": 300}},
        "variants": [native, onnx],
        "gate": gate,
        "metrics": evaluation.metrics,
        "baseline": evaluation.baseline,
        "monitor": MonitorSettings(),
    }
    return PackageInfo(**(values | fields))


def lineage() -> dict[str, Origin]:
    made = {}
    for i, (kind, stage, seconds) in enumerate(
        [("dataset", "ingest", 0.21), ("features", "features", 1.44), ("model", "train", 78.4)]
    ):
        made[str(i) * 64] = Origin(
            kind=kind,
            stage=stage,
            run="2031-04-05-calm-otter",
            family="tabular",
            key="k",
            config_hash="c" * 64,
            code_version="0123456789ab",
            data_revision="v3",
            created=f"2031-04-05T06:07:0{i}+00:00",
            seconds=seconds,
        )
    return made


@cache
def binary() -> dict[str, Any]:
    """A logistic regression on breast cancer, with every part of the card that it can fill."""
    data = datasets.load_breast_cancer()
    x, held, y, truth = _split(data)
    scale = x.std(axis=0)
    model = linear_model.LogisticRegression(max_iter=2000).fit(x / scale, y)
    scores = model.predict_proba(held / scale)[:, 1]
    answers = (scores > 0.5).astype(int)
    false, true, thresholds = metrics.roc_curve(truth, scores)
    precision, recall, _ = metrics.precision_recall_curve(truth, scores)
    mean = np.histogram(scores, bins=10, range=(0, 1))
    evaluation = Evaluation(
        split="test",
        rows=len(truth),
        main="roc_auc",
        baseline_name="most frequent class",
        metrics={
            "accuracy": metrics.accuracy_score(truth, answers),
            "roc_auc": metrics.roc_auc_score(truth, scores),
            "log_loss": metrics.log_loss(truth, scores),
            "f1": metrics.f1_score(truth, answers),
        },
        baseline={"accuracy": float(truth.mean()), "roc_auc": 0.5, "log_loss": 0.66},
        directions={"accuracy": "max", "roc_auc": "max", "log_loss": "min", "f1": "max"},
        notes=[
            "The threshold 0.50 has the best F1 on the validation split.",
            "171 rows: 0.01 is within chance.",
        ],
        confusion=Confusion(
            labels=["malignant", "benign"], matrix=metrics.confusion_matrix(truth, answers).tolist()
        ),
        roc=Roc(
            false_positive_rate=false[1:], true_positive_rate=true[1:], thresholds=thresholds[1:]
        ),
        plots=[
            Plot(
                kind="line",
                title="Precision and recall",
                x_label="recall",
                y_label="precision",
                series=[
                    Series(name="model", x=recall.tolist(), y=precision.tolist()),
                    Series(name="baseline", x=[0.0, 1.0], y=[float(truth.mean())] * 2),
                ],
            ),
            Plot(
                kind="histogram",
                title="Scores by actual class",
                x_label="score",
                y_label="rows",
                series=[
                    Series(name=n, x=scores[truth == k].tolist(), y=[])
                    for k, n in enumerate(data.target_names)
                ],
            ),
            Plot(
                kind="bar",
                title="Rows by score",
                x_label="score",
                y_label="rows",
                series=[
                    Series(
                        name="rows",
                        x=((mean[1][1:] + mean[1][:-1]) / 2).tolist(),
                        y=mean[0].tolist(),
                    )
                ],
            ),
        ],
    )
    weights = sorted(
        zip(data.feature_names, model.coef_[0], strict=True), key=lambda pair: -abs(pair[1])
    )
    losses = [0.69 * 0.93**k + 0.06 for k in range(40)]
    return {
        "info": info_of(evaluation, "classification and regression on tables"),
        "evaluation": evaluation,
        "data": {
            "headline": "breast cancer: 569 rows, 30 numeric columns, predict diagnosis",
            "rows": {"train": 370, "validation": 85, "test": len(truth)},
            "dropped": {"target is empty": 3, "duplicate row": 2},
            "classes": {"malignant": 212, "benign": 357},
            "notes": ["Split at random, stratified by class."],
            "tables": [
                {
                    "title": "Columns",
                    "columns": ["column", "kind", "least", "mean", "most"],
                    "rows": [
                        [str(n), "numeric", float(c.min()), float(c.mean()), float(c.max())]
                        for n, c in zip(data.feature_names, data.data.T, strict=True)
                    ],
                }
            ],
        },
        "training": {
            "headline": "logistic regression, 31 weights",
            "best_epoch": 34,
            "weights": 31,
            "epochs": 40,
            "curves": {
                "loss": {
                    "train": losses,
                    "validation": [v + (k - 18) ** 2 / 15_000 for k, v in enumerate(losses)],
                }
            },
            "importance": {
                "title": "Coefficients on standardized columns",
                "columns": ["column", "coefficient"],
                "rows": [[str(name), float(value)] for name, value in weights[:15]],
            },
            "notes": [
                "Calibrated by a sigmoid: it lowered the validation log loss from 0.121 to 0.109."
            ],
        },
        "lineage": lineage(),
        "reference": {
            str(n): c.tolist() for n, c in zip(data.feature_names[:10], held.T, strict=False)
        }
        | {
            "predicted": [str(data.target_names[a]) for a in answers],
            "score": scores.tolist(),
            "ward": [
                None if i % 9 == 0 else "north" if i % 3 else "south" for i in range(len(truth))
            ],
        },
    }


@cache
def many_classes() -> dict[str, Any]:
    """Ten digits."""
    data = datasets.load_digits()
    x, held, y, truth = _split(data)
    model = naive_bayes.GaussianNB(var_smoothing=0.01).fit(x, y)
    answers, scores = model.predict(held), model.predict_proba(held)
    names = [str(k) for k in range(10)]
    curves = [metrics.roc_curve(truth == k, scores[:, k]) for k in range(10)]
    recall = metrics.recall_score(truth, answers, average=None)
    evaluation = Evaluation(
        split="test",
        rows=len(truth),
        main="accuracy",
        baseline_name="most frequent class",
        metrics={
            "accuracy": metrics.accuracy_score(truth, answers),
            "macro_f1": metrics.f1_score(truth, answers, average="macro"),
        },
        baseline={"accuracy": 0.1037, "macro_f1": 0.0188},
        directions={"accuracy": "max", "macro_f1": "max"},
        confusion=Confusion(labels=names, matrix=metrics.confusion_matrix(truth, answers).tolist()),
        plots=[
            Plot(
                kind="line",
                title="ROC, one class against the rest",
                diagonal=True,
                x_label="false positive rate",
                y_label="true positive rate",
                series=[
                    Series(name=str(k), x=c[0].tolist(), y=c[1].tolist())
                    for k, c in enumerate(curves)
                ],
            ),
            Plot(
                kind="bar",
                title="Recall by class",
                x_label="class",
                y_label="recall",
                series=[Series(name="recall", x=names, y=recall.tolist())],
                caption="Share of each that is found.",
            ),
            Plot(
                kind="heatmap",
                title="Mean three",
                matrix=data.images[data.target == 3].mean(axis=0).tolist(),
            ),
            Plot(
                kind="heatmap",
                title="Correlation of four pixels",
                rows=list("abcd"),
                columns=list("abcd"),
                matrix=np.corrcoef(data.data[:, [10, 20, 30, 42]].T).tolist(),
            ),
        ],
    )
    return {
        "info": info_of(evaluation, "images: classification"),
        "evaluation": evaluation,
        "data": {
            "rows": {"train": 1257, "test": 540},
            "dropped": {},
            "classes": dict(zip(names, np.bincount(data.target).tolist(), strict=True)),
        },
        "training": {},
        "lineage": lineage(),
    }


@cache
def regression() -> dict[str, Any]:
    """Diabetes progression."""
    x, held, y, truth = _split(datasets.load_diabetes())
    answers = linear_model.Ridge(alpha=0.1).fit(x, y).predict(held)
    evaluation = Evaluation(
        split="test",
        rows=len(truth),
        main="mae",
        baseline_name="mean of the training split",
        metrics={
            "mae": metrics.mean_absolute_error(truth, answers),
            "r2": metrics.r2_score(truth, answers),
            "mse": metrics.mean_squared_error(truth, answers),
        },
        baseline={"mae": float(np.abs(truth - y.mean()).mean()), "r2": 0.0},
        directions={"mae": "min", "r2": "max", "mse": "min"},
        plots=[
            Plot(
                kind="scatter",
                title="Predicted against actual",
                x_label="actual",
                y_label="predicted",
                diagonal=True,
                series=[Series(name="test", x=truth.tolist(), y=answers.tolist())],
            ),
            Plot(
                kind="histogram",
                title="Residuals",
                x_label="predicted less actual",
                y_label="rows",
                series=[Series(name="residual", x=(answers - truth).tolist(), y=[])],
            ),
        ],
    )
    return {
        "info": info_of(evaluation, "regression on tables"),
        "evaluation": evaluation,
        "data": {"rows": {"train": 309, "test": 133}},
        "training": {"headline": "ridge"},
        "lineage": lineage(),
    }


CARDS = {"binary": binary, "many_classes": many_classes, "regression": regression}


class Page(HTMLParser):
    """What a browser would see: elements with their attributes, texts, headings; nesting is
    checked."""

    def __init__(self, html: str) -> None:
        super().__init__(convert_charrefs=True)
        self.open: list[str] = []
        self.elements: list[tuple[str, dict[str, str]]] = []
        self.texts: list[str] = []
        self.headings: list[str] = []
        self.feed(html)
        self.close()
        assert not self.open, f"never closed: {self.open}"

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        assert len({name for name, _ in attrs}) == len(attrs), f"{tag}: an attribute twice: {attrs}"
        self.elements.append((tag, {name: value or "" for name, value in attrs}))
        if tag != "meta":
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        assert "svg" in self.open, f"<{tag}/> closes itself outside SVG"
        self.elements.append((tag, {name: value or "" for name, value in attrs}))

    def handle_endtag(self, tag: str) -> None:
        assert self.open[-1:] == [tag], f"</{tag}> closes {self.open}"
        self.open.pop()

    def handle_data(self, data: str) -> None:
        if "style" not in self.open:
            self.texts.append(data)
        if self.open and self.open[-1] == "h2":
            self.headings.append(data)

    @property
    def text(self) -> str:
        return " ".join(" ".join(self.texts).split())

    def all(self, tag: str) -> list[dict[str, str]]:
        return [attributes for name, attributes in self.elements if name == tag]


def render(parts: dict[str, Any], **changes: Any) -> str:
    given = parts | changes
    return card.render(given.pop("info"), given.pop("evaluation"), **given)


@cache
def page(name: str) -> tuple[str, Page]:
    html = render(CARDS[name]())
    return html, Page(html)


def small(**fields: Any) -> Evaluation:
    values = {
        "split": "test",
        "rows": 9,
        "metrics": {"mae": 1.5},
        "baseline": {"mae": 2.0},
        "baseline_name": "mean",
        "main": "mae",
        "directions": {"mae": "min"},
    }
    return Evaluation(**(values | fields))


def bare(**fields: Any) -> dict[str, Any]:
    """The least a card can be made of."""
    evaluation = small(**fields)
    return {
        "info": info_of(evaluation, "line"),
        "evaluation": evaluation,
        "data": {},
        "training": {},
        "lineage": {},
    }
