"""Fits a detector and its threshold, and hands it over as a runtime and as graphs."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from modelyard.errors import BadData, UsageError
from modelyard.families.anomaly import neighbours, scoring, shallow, threshold
from modelyard.families.anomaly.config import TORCH, WINDOWED, AnomalyConfig
from modelyard.families.anomaly.data import AnomalyData
from modelyard.families.anomaly.evaluate import evaluate
from modelyard.families.anomaly.host import AnomalyHost
from modelyard.families.anomaly.net import Net
from modelyard.families.anomaly.networks import build
from modelyard.families.anomaly.parts import Part
from modelyard.families.anomaly.relations import expectation
from modelyard.families.anomaly.schema import Detector, Schema, kind_of
from modelyard.family import Family, Split
from modelyard.judging.evaluation import Evaluation
from modelyard.kit.splits import evenly
from modelyard.runtimes.torch import TorchRuntime
from modelyard.runtimes.types import Graph, Runtime
from modelyard.store.base import base_of
from modelyard.training.batches import Batches
from modelyard.training.loop import load_weights

if TYPE_CHECKING:
    from modelyard.training.loop import Trainer

EXAMPLES = "example.npy"
"""In a model folder: real windows, which its graph is exported and compared on."""
ALONE = "model.kind = auto is lstm: there is one column, and a value by itself shows only whether it is extreme."
"""Why a detector of windows was chosen."""
SCORED = 20_000
"""Training examples that are scored to find the strangest."""


class Anomaly(AnomalyData, Family[AnomalyConfig]):
    """From a machine's measurements to a served alarm with reasons."""

    def __init__(self, config: AnomalyConfig) -> None:
        super().__init__(config)
        self.left_out: frozenset[int] = frozenset()
        """Training rows (last rows of windows) that are not trained on."""

    def model(self, assets: Path) -> torch.nn.Module:
        """The untrained network of a torch kind."""
        return build(self.config, assets)

    def batches(self, features: Path, split: Split, epoch: int) -> Batches:
        """`values`: (rows, columns), or (windows, window, columns); training examples shuffled by
        seed and epoch.

        Validation is the calibration part: the one behind it may hold anomalies, which must not
        stop training.
        """
        part = Part.load(features, "train" if split == "train" else "calibration")
        schema = Schema.load(Path(features) / "assets")
        window, stride = 1, 1
        if kind_of(self.config, schema) in WINDOWED:
            window, stride = schema.window, self.config.model.stride
        every = part.ends(window)[::stride]
        ends = self._learned(part, every, window)
        if split != "train" and not len(ends):
            # Something must say when to stop.
            ends = every
        if split == "train":
            ends = ends[~np.isin(ends, list(self.left_out))]
            ends = np.random.default_rng([self.config.seed, epoch]).permutation(ends)

        def take(some: np.ndarray) -> dict[str, torch.Tensor]:
            values = part.windows(some, window)
            if window == 1:
                values = values[:, 0]
            return {"values": torch.from_numpy(values)}

        return Batches(ends, self.config.training.batch_size, take)

    def loss(self, model: torch.nn.Module, batch: dict[str, torch.Tensor]) -> torch.Tensor:
        """The network's own objective, a scalar: reconstruction error, or distance from the
        centre."""
        assert isinstance(model, Net)
        return model.objective(batch["values"])

    def fit(self, features: Path, out: Path, trainer: Trainer) -> dict[str, Any]:
        """Trains the detector of `model.kind` into `out`, chooses its threshold, and adds
        `assets/detector.json`.

        With `model.contamination` it is trained twice: the second time without the strangest
        training examples.

        Raises:
            BadData: too little data, or no time column for windows.
            UsageError: a threshold from labels that are not there.
        """
        config = self.config
        schema = Schema.load(Path(features) / "assets")
        window = window_of(config, schema)
        part = Part.load(features, "train")
        ends = self._learned(part, part.ends(window), window)
        if len(ends) < 2:
            between, hint = "the gaps", ""
            if len(part.ends(window)) >= 2:
                between = "labelled anomalies"
                hint = "Learn from them too: --set model.learn_from=all"
            problem = f"{len(ends)} training windows of {window} rows are left between {between}"
            raise BadData(problem, hint=hint)
        # Before hours of training.
        answers = len(_normal_windows(config, schema, features, window))
        rate = self._rate(answers, features, window)
        some = ends[np.linspace(0, len(ends) - 1, 8).astype(int)]
        np.save(out / EXAMPLES, part.windows(some, window))
        report = self._fit_kind(features, out, trainer, part, frozenset())
        detector = self._calibrated(schema, features, out)
        if config.model.contamination:
            strangest = _strangest(detector, self.native(out), part, ends, config)
            report = self._fit_kind(features, out, trainer, part, strangest)
            detector = self._calibrated(schema, features, out)
            report["headline"] += f", without the strangest {len(strangest):,} training rows"
        detector.save(out / "assets")
        apart = len(part.ends(window)) - len(ends)
        if apart:
            windows = "rows" if window == 1 else "windows"
            report["headline"] += (
                f"; {apart:,} training {windows} with labelled anomalies are not learned from"
            )
        report["headline"] += _marked(config, features, rate)
        if config.model.false_alarm_rate is None and rate > threshold.USUAL_RATE:
            report["headline"] += (
                f"; false alarms of {rate:.2g}, the fewest that {answers:,} calibration answers can set"
            )
        notes = [detector.note]
        if config.model.kind == "auto" and detector.kind == "lstm":
            report["headline"] = f"lstm, for a single column; {report['headline']}"
            notes.append(ALONE)
        return report | {"notes": notes, "threshold": detector.threshold}

    def native(self, model: Path) -> Runtime:
        """The trained model in torch or scikit-learn."""
        if self.config.model.kind in TORCH:
            return TorchRuntime(self.graphs(model))
        return shallow.native(model)

    def graphs(self, model: Path) -> list[Graph]:
        """One graph, `model`: `values` (rows, columns) or (windows, window, columns), in the
        columns' own units, less their offsets.

        It gives `errors` of the values' shape, `embedding` (rows, embedding), or `score` (rows,).
        """
        examples = np.load(model / EXAMPLES, allow_pickle=False)
        if kind_of(self.config, Schema.load(model / "assets")) not in WINDOWED:
            examples = examples[:, 0]
        example = {scoring.INPUT: examples}
        if self.config.model.kind in TORCH:
            network = load_weights(self.model(model / "assets"), model)
            return [Graph(scoring.GRAPH, example, module=network)]
        onnx = shallow.to_onnx(model, self.config.export.opset)
        return [Graph(scoring.GRAPH, example, onnx=onnx)]

    def evaluate(
        self, host: AnomalyHost, run: Runtime, features: Path, split: Split = "test"
    ) -> Evaluation:
        """Judges a detector on a split, with labels or without."""
        marked = self.config.model.learn_from == "all"
        return evaluate(host, run, features, split, marked=marked)

    def _fit_kind(
        self, features: Path, out: Path, trainer: Trainer, part: Part, left_out: frozenset[int]
    ) -> dict[str, Any]:
        schema = Schema.load(Path(features) / "assets")
        is_kept = kind_of(self.config, schema) == "neighbours"
        if self.config.model.kind in TORCH and not is_kept:
            self.left_out = left_out
            return trainer.fit(self, features, out)
        learned = self._learned(part, part.ends(1), 1)
        rows = np.setdiff1d(learned, np.array(sorted(left_out), np.int64))
        if is_kept:
            return self._remember(features, schema, part.x[rows], out)
        return {"headline": shallow.fit(self.config.model, part.x[rows], out, self.config.seed)}

    def _remember(self, features: Path, schema: Schema, x: np.ndarray, out: Path) -> dict[str, Any]:
        """Fits the kind that keeps training rows: with an earlier model, also as many of that one's."""
        config, base = self.config, base_of(features)
        if base is not None:
            earlier = neighbours.remembered(base)
            kept = min(len(x), config.model.most_rows)
            x = np.concatenate([x[evenly(len(x), kept)], earlier[evenly(len(earlier), kept)]])
        net = self.model(Path(features) / "assets")
        assert isinstance(net, neighbours.Neighbours)
        clean = schema.labelled and config.model.learn_from == "unmarked"
        return neighbours.fit(net, x, config.model, clean, config.seed, out)

    def _rate(self, answers: int, features: Path, window: int) -> float:
        """The share of normal answers that may raise an alarm.

        Raises:
            BadData: too few calibration answers for it.
        """
        settings = self.config.model
        try:
            return threshold.rate_of(settings.false_alarm_rate, answers, settings.contamination)
        except BadData as error:
            calibration = Part.load(features, "calibration")
            if settings.threshold_from != "unmarked" or answers == len(calibration.ends(window)):
                raise
            hint = f"{error.hint}; to count those that are labelled anomalies as normal too: "
            hint += "--set model.threshold_from=assumed_normal"
            raise BadData(error.problem, hint=hint) from None

    def _learned(self, part: Part, ends: np.ndarray, window: int) -> np.ndarray:
        """Those of the windows with these last rows that are learned from."""
        if self.config.model.learn_from == "all":
            return ends
        return np.asarray(ends[~part.disturbed(ends, window)])

    def _calibrated(self, schema: Schema, features: Path, out: Path) -> Detector:
        """The detector with its threshold, from held-out rows that count as normal."""
        config, run = self.config, self.native(out)
        settings, window = config.model, window_of(config, schema)
        windows = _normal_windows(config, schema, features, window)
        outputs = scoring.run_graph(run, windows)
        recent = min(settings.recent, window)
        rate = threshold.rate_of(settings.false_alarm_rate, len(windows), settings.contamination)
        detector = Detector(
            kind=kind_of(config, schema), window=window, recent=recent, false_alarm_rate=rate
        )
        if "errors" in outputs:
            scale = scoring.usual_errors(outputs["errors"])
            if detector.kind == "neighbours":
                # A distance is in the columns' units already.
                scale = np.ones_like(scale)
            detector = detector.model_copy(update={"error_scale": scale.tolist()})
        else:
            # Only reconstructions say of themselves which column is strange.
            part = Part.load(features, "train")
            weights = expectation(part.x[self._learned(part, part.ends(1), 1)])
            detector = detector.model_copy(update={"expectation": weights.tolist()})
        if "embedding" in outputs:
            detector = detector.model_copy(update={"centre": _centre(out)})
        scores = scoring.scores(detector, outputs)
        chosen = threshold.choose(scores, rate, window, settings.contamination)
        source = "calibration answers"
        if settings.threshold_from == "labels":
            source = "validation answers labelled normal"
        note = threshold.sentences(chosen, rate, source)
        return detector.model_copy(
            update={"threshold": chosen.value, "typical": chosen.typical, "note": note}
        )


def _strangest(
    detector: Detector, run: Runtime, part: Part, ends: np.ndarray, config: AnomalyConfig
) -> frozenset[int]:
    """Last rows of the `contamination` share of training examples with the highest scores."""
    pieces = []
    # Windows overlap: all of them at once would be the data once for each row of a window.
    for some in np.array_split(ends, max(1, len(ends) // SCORED)):
        outputs = scoring.run_graph(run, part.windows(some, detector.window))
        pieces.append(scoring.scores(detector, outputs))
    found = np.concatenate(pieces)
    return frozenset(ends[found > np.quantile(found, 1 - config.model.contamination)].tolist())


def window_of(config: AnomalyConfig, schema: Schema) -> int:
    """Rows that one answer judges.

    Raises:
        BadData: a kind of windows on data without a time column.
    """
    kind = kind_of(config, schema)
    if kind not in WINDOWED:
        return 1
    if schema.step is None:
        column = config.features.time_column
        problem = f"model.kind={kind} judges windows of time, and the data has no time column"
        hint = "Add one, name yours with features.time_column, or take a kind of rows: model.kind=neighbours"
        raise BadData(problem, column=column, hint=hint)
    return schema.window


def _normal_windows(
    config: AnomalyConfig, schema: Schema, features: Path, window: int
) -> np.ndarray:
    """Calibration windows that count as normal, or with `threshold_from = "labels"` those of calibration
    and validation that hold no anomaly and end in a row labelled normal; float32 (windows, window,
    columns)."""
    calibration = Part.load(features, "calibration")
    if config.model.threshold_from != "labels":
        ends = calibration.ends(window)
        if config.model.threshold_from == "unmarked":
            ends = calibration.unmarked(ends, window)
        return calibration.windows(ends, window)
    if not schema.labelled:
        raise UsageError(
            f"setting 'model.threshold_from' = 'labels': the data has no column {config.features.label_column!r}"
        )
    found = []
    for part in (calibration, Part.load(features, "validation")):
        ends = part.ends(window)
        clean = (part.label[ends] == 0) & ~part.disturbed(ends, window)
        found.append(part.windows(ends[clean], window))
    return np.concatenate(found)


def _marked(config: AnomalyConfig, features: Path, rate: float) -> str:
    """A clause where more calibration rows are labelled anomalies than may raise an alarm: the
    threshold lies among their scores then, and most anomalies below it."""
    settings = config.model
    if settings.threshold_from == "labels" or settings.contamination:
        return ""
    marked = Part.load(features, "calibration").label == 1
    share = float(marked.mean())
    if share <= rate or (settings.threshold_from == "unmarked" and not marked.all()):
        return ""
    return (
        f"; {share:.1%} of the calibration rows are labelled anomalies, and count as normal: the threshold lies "
        "among their scores (by normal rows only: --set model.threshold_from=labels)"
    )


def _centre(out: Path) -> list[float]:
    from safetensors.numpy import load_file

    from modelyard.training.loop import WEIGHTS

    centre: list[float] = load_file(out / WEIGHTS)["centre"].astype(np.float64).tolist()
    return centre
