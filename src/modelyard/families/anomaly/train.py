"""Fits a detector and its threshold, and hands it over as a runtime and as graphs."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from modelyard.errors import BadData, UsageError
from modelyard.families.anomaly import scoring, threshold
from modelyard.families.anomaly.config import TORCH, WINDOWED, AnomalyConfig
from modelyard.families.anomaly.parts import Part
from modelyard.families.anomaly.relations import expectation
from modelyard.families.anomaly.schema import Detector, Schema
from modelyard.family import Graph, Runtime

if TYPE_CHECKING:
    from modelyard.training.loop import Trainer

EXAMPLES = "example.npy"
"""In a model folder: real windows, which its graph is exported and compared on."""
SCORED = 20_000
"""Training examples that are scored to find the strangest."""


def fit(config: AnomalyConfig, features: Path, out: Path, trainer: Trainer) -> dict[str, Any]:
    """Trains the detector of `model.kind` into `out`, chooses its threshold, and adds `assets/detector.json`.

    With `model.contamination` it is trained twice: the second time without the strangest training examples.

    Raises:
        BadData: too little data, or no time column for windows.
        UsageError: a threshold from labels that are not there.
    """
    schema = Schema.load(Path(features) / "assets")
    window = window_of(config, schema)
    part = Part.load(features, "train")
    ends = part.ends(window)
    if len(ends) < 2:
        raise BadData(f"{len(ends)} training windows of {window} rows are left between the gaps")
    answers = len(_normal_windows(config, schema, features, window))
    threshold.check(answers, config.model.false_alarm_rate, config.model.contamination)  # before hours of training
    np.save(out / EXAMPLES, part.windows(ends[np.linspace(0, len(ends) - 1, 8).astype(int)], window))
    report = _fit_kind(config, features, out, trainer, part, frozenset())
    detector = _calibrated(config, schema, features, out)
    if config.model.contamination:
        strangest = _strangest(detector, native(config, out), part, ends, config)
        report = _fit_kind(config, features, out, trainer, part, strangest)
        detector = _calibrated(config, schema, features, out)
        report["headline"] += f", without the strangest {len(strangest):,} training rows"
    detector.save(out / "assets")
    return report | {"notes": [detector.note], "threshold": detector.threshold}


def native(config: AnomalyConfig, model: Path) -> Runtime:
    """The trained model in torch or scikit-learn."""
    if config.model.kind in TORCH:
        from modelyard.runtimes.torch import TorchRuntime

        return TorchRuntime(graphs(config, model))
    from modelyard.families.anomaly import shallow

    return shallow.native(model)


def graphs(config: AnomalyConfig, model: Path) -> list[Graph]:
    """One graph, `model`: `values` (rows, columns) or (windows, window, columns), in the columns' own units.

    It gives `errors` of the values' shape, `embedding` (rows, embedding), or `score` (rows,).
    """
    windows = np.load(model / EXAMPLES, allow_pickle=False)
    example = {scoring.INPUT: windows if config.model.kind in WINDOWED else windows[:, 0]}
    if config.model.kind in TORCH:
        from modelyard.families.anomaly.model import build
        from modelyard.training.loop import load_weights

        return [Graph(scoring.GRAPH, example, module=load_weights(build(config, model / "assets"), model))]
    from modelyard.families.anomaly import shallow

    return [Graph(scoring.GRAPH, example, onnx=shallow.to_onnx(model, config.export.opset))]


def window_of(config: AnomalyConfig, schema: Schema) -> int:
    """Rows that one answer judges.

    Raises:
        BadData: a kind of windows on data without a time column.
    """
    if config.model.kind not in WINDOWED:
        return 1
    if schema.step is None:
        raise BadData(
            f"model.kind={config.model.kind} judges windows of time, and the data has no time column",
            column=config.features.time_column,
            hint="Add one, name yours with features.time_column, or take a kind of rows: model.kind=autoencoder",
        )
    return schema.window


def _fit_kind(
    config: AnomalyConfig, features: Path, out: Path, trainer: Trainer, part: Part, left_out: frozenset[int]
) -> dict[str, Any]:
    if config.model.kind in TORCH:
        from modelyard.families.anomaly.model import TorchDetector

        return trainer.fit(TorchDetector(config, left_out), features, out)
    from modelyard.families.anomaly import shallow

    rows = np.setdiff1d(np.arange(len(part.x)), np.array(sorted(left_out), np.int64))
    return {"headline": shallow.fit(config.model, part.x[rows], out, config.seed)}


def _strangest(detector: Detector, run: Runtime, part: Part, ends: np.ndarray, config: AnomalyConfig) -> frozenset[int]:
    """Last rows of the `contamination` share of training examples with the highest scores."""
    found = np.concatenate([
        scoring.scores(detector, scoring.run_graph(run, part.windows(some, detector.window)))
        for some in np.array_split(ends, max(1, len(ends) // SCORED))
    ])  # fmt: skip
    return frozenset(ends[found > np.quantile(found, 1 - config.model.contamination)].tolist())


def _calibrated(config: AnomalyConfig, schema: Schema, features: Path, out: Path) -> Detector:
    """The detector with its threshold, from held-out rows that count as normal."""
    settings, run, window = config.model, native(config, out), window_of(config, schema)
    windows = _normal_windows(config, schema, features, window)
    outputs = scoring.run_graph(run, windows)
    recent = min(settings.recent, window)
    detector = Detector(kind=settings.kind, window=window, recent=recent, false_alarm_rate=settings.false_alarm_rate)
    if "errors" in outputs:
        scale = scoring.usual_errors(outputs["errors"])
        detector = detector.model_copy(update={"error_scale": scale.tolist()})
    else:
        weights = expectation(Part.load(features, "train").x)
        detector = detector.model_copy(update={"expectation": weights.tolist()})
    if "embedding" in outputs:
        detector = detector.model_copy(update={"centre": _centre(out)})
    chosen = threshold.choose(
        scoring.scores(detector, outputs), settings.false_alarm_rate, window, settings.contamination
    )
    source = "validation answers labelled normal" if settings.threshold_from == "labels" else "calibration answers"
    note = threshold.sentences(chosen, settings.false_alarm_rate, source)
    return detector.model_copy(update={"threshold": chosen.value, "typical": chosen.typical, "note": note})


def _normal_windows(config: AnomalyConfig, schema: Schema, features: Path, window: int) -> np.ndarray:
    """Calibration windows, or with `threshold_from = "labels"` those of calibration and validation that hold no
    anomaly and end in a row labelled normal; float32 (windows, window, columns)."""
    calibration = Part.load(features, "calibration")
    if config.model.threshold_from == "assumed_normal":
        return calibration.windows(calibration.ends(window), window)
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


def _centre(out: Path) -> list[float]:
    from safetensors.numpy import load_file

    from modelyard.training.loop import WEIGHTS

    centre: list[float] = load_file(out / WEIGHTS)["centre"].astype(np.float64).tolist()
    return centre
