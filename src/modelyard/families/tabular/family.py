"""Fits a tabular model of the configured kind, and hands it over as a runtime and as graphs."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from modelyard.families.tabular.calibrate import calibrate
from modelyard.families.tabular.choosing import choose_kind
from modelyard.families.tabular.config import TabularConfig
from modelyard.families.tabular.data import TabularData
from modelyard.families.tabular.evaluate import evaluate
from modelyard.families.tabular.fitting import FITTERS
from modelyard.families.tabular.host import TabularHost
from modelyard.families.tabular.importance import importance
from modelyard.families.tabular.kinds import GRAPH, INPUT, XGBOOST, Fitted
from modelyard.families.tabular.loss import WORDS, Chosen, covering
from modelyard.families.tabular.native import (
    example,
    load_trained,
    mlp_graph,
    native_runtime,
    to_onnx,
)
from modelyard.families.tabular.refit import is_refitted, refit
from modelyard.families.tabular.scale import TargetScale
from modelyard.families.tabular.table import ModelInfo, Table, load_table
from modelyard.family import Family, Split
from modelyard.judging.evaluation import Evaluation
from modelyard.kit.classes.choosing import Aim, fit_on_probabilities
from modelyard.runtimes.types import Graph, Runtime

if TYPE_CHECKING:
    from modelyard.training.loop import Trainer

MOST_PROBABLE = (
    "The default aim is the best F1, which answers the positive class more often where it is rare: for the most "
    "probable class type --set model.aim=half, for other aims recall or cost."
)
BACKGROUND_ROWS = 64
"""Training rows that stand for average data in explanations."""


class Tabular(TabularData, Family[TabularConfig]):
    """From a person's table to a served classifier or regression."""

    def fit(self, features: Path, out: Path, trainer: Trainer) -> dict[str, Any]:
        """Trains the configured kind into `out`, which holds `assets` already.

        Adds `assets/background.npy`, and `assets/decision.json` for a classification or
        `assets/target.json` for a regression. Returns `headline`, `curves`, `importance`, `trees` and
        `notes` for the card.

        Raises:
            BadData: a class has no training rows.
            ModelyardError: the MLP's loss is not finite.
        """
        config = self.config
        table = load_table(features, config.model)
        kind_notes = []
        if config.model.kind == "auto":
            found = choose_kind(config, table)
            kind_notes.append(found.note)
            config = config.of_kind(found.kind)
        fitted = _fit_kind(config, table, features, out, trainer)
        ModelInfo.of(config, table, fitted).save(out)
        run = native_runtime(out)
        background = _background(table.x, config.seed)
        np.save(out / "assets" / "background.npy", background)
        if table.loss is not None:
            _scale(table, table.loss, run).save(out / "assets")
            chosen, notes = _of_loss(table.loss)
            if table.loss.fit != "quantile" and config.model.coverage is not None:
                note = _intervals(config, table, run, fitted, out / "assets")
                notes.append(note)
        else:
            chosen, notes = _decide(config, table, run, out / "assets")
        # The validation rows rank the inputs while no model was fitted on them.
        cost = fitted.cost or fitted.trees or 1
        host = TabularHost(out / "assets")
        ranked = importance(host, run, table.x_validation, background, cost, config.seed)
        if is_refitted(config, table):
            again = refit(config, table, fitted, out, trainer.progress)
            fitted = again.fitted
            chosen += again.headline
            ModelInfo.of(config, table, fitted).save(out)
        return {
            "headline": fitted.headline + chosen,
            "curves": fitted.curves,
            "trees": fitted.trees,
            "notes": [*kind_notes, *fitted.notes, *notes],
            "importance": ranked,
            "tables": [*fitted.tables, *_rules(config, out)],
        }

    def native(self, model: Path) -> Runtime:
        """The trained model as its own library runs it; the folder says which kind it is."""
        return native_runtime(model)

    def graphs(self, model: Path) -> list[Graph]:
        """One graph, `model`: `features` float32 (rows, columns) to `probabilities` (rows, classes)
        or `value` (rows,), in spreads of the target from its centre.

        It answers as `native` does to about 1e-5 of a spread: float32 sums over the trees differ in order.
        """
        info = ModelInfo.load(model)
        if info.kind == "mlp":
            return [mlp_graph(model, info)]
        onnx = to_onnx(load_trained(model, info), info, self.config.export.opset)
        return [Graph(GRAPH, example(model, info), onnx=onnx)]

    def native_files(self, model: Path) -> dict[str, dict[str, Path]]:
        """A booster of XGBoost serves as it is."""
        if ModelInfo.load(model).kind == "xgboost":
            return {"xgboost": {GRAPH: model / XGBOOST}}
        return {}

    def evaluate(
        self, host: TabularHost, run: Runtime, features: Path, split: Split = "test"
    ) -> Evaluation:
        """Judges a model on a split; one that is fitted to a quantile by its pinball loss."""
        model = self.config.model
        if model.loss == "quantile":
            quantile = model.quantile
        else:
            quantile = None
        return evaluate(host, run, features, split, quantile)


def _fit_kind(
    config: TabularConfig, table: Table, features: Path, out: Path, trainer: Trainer
) -> Fitted:
    kind = config.model.kind
    if kind != "mlp":
        return FITTERS[kind](config, table, out, trainer.progress)
    from modelyard.families.tabular.mlp import MlpFamily

    report = trainer.fit(MlpFamily(config, table.loss), features, out)
    return Fitted(f"mlp, {report['headline']}", curves=report["curves"])


def _rules(config: TabularConfig, out: Path) -> list[dict[str, Any]]:
    """For the card, of a small decision tree."""
    if config.model.kind != "tree":
        return []
    from modelyard.families.tabular.tree import rules

    host = TabularHost(out / "assets")
    tree = load_trained(out, ModelInfo.load(out))
    found = rules(tree, host.encoder, host.schema, host.scale)
    if found is None:
        return []
    return [found]


def _scale(table: Table, loss: Chosen, run: Runtime) -> TargetScale:
    """The way back from the model's output to the target; of a quantile moved to where it covers
    that share of the validation rows."""
    scale = loss.scale
    if loss.fit != "quantile":
        return scale
    output = run(GRAPH, {INPUT: table.x_validation})["value"]
    offset = covering(table.y_validation, output.astype(np.float64), loss.quantile)
    return scale.model_copy(update={"center": scale.center + offset * scale.spread})


def _intervals(
    config: TabularConfig, table: Table, run: Runtime, fitted: Fitted, assets: Path
) -> str:
    """Writes the intervals, where there are rows enough for them; a note."""
    again = is_refitted(config, table)
    interval, note = calibrate(config, table, run, fitted, again)
    if interval is not None:
        interval.save(assets)
    return note


def _of_loss(loss: Chosen) -> tuple[str, list[str]]:
    """A clause for the stage's line, and a note."""
    return "" if loss.name == "squared" else f", {WORDS[loss.name]}", [loss.note]


def _decide(
    config: TabularConfig, table: Table, run: Runtime, assets: Path
) -> tuple[str, list[str]]:
    """Writes calibration and threshold, chosen on the validation rows; a clause for the stage's
    line, and notes."""
    assert table.classes is not None
    settings = config.model
    aim = Aim(
        settings.aim,
        settings.least_recall,
        settings.false_positive_cost,
        settings.false_negative_cost,
    )
    raw = run(GRAPH, {INPUT: table.x_validation})["probabilities"]
    decision = fit_on_probabilities(
        raw, table.y_validation, table.classes, aim, method=settings.calibration
    )
    decision.save(assets)
    notes = [decision.note]
    if decision.headline and settings.aim == "f1":
        notes.append(MOST_PROBABLE)
    return decision.headline, notes


def _background(x: np.ndarray, seed: int) -> np.ndarray:
    """Training rows drawn without replacement, float32 (at most BACKGROUND_ROWS, columns)."""
    rows = np.random.default_rng(seed).permutation(len(x))[:BACKGROUND_ROWS]
    return x[rows].astype(np.float32)
