"""Judges a detector on a split, through the host that serves it: with labels or without."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy.stats import ks_2samp
from sklearn import metrics as sk

from modelyard.errors import BadData
from modelyard.families.anomaly import events, plots, probe
from modelyard.families.anomaly.judged import Judge, Moments, Scored, Usual
from modelyard.families.anomaly.parts import Part
from modelyard.families.anomaly.schema import Schema
from modelyard.judging.curves import roc_auc
from modelyard.judging.evaluation import Confusion, Direction, Evaluation, Table
from modelyard.kit.intervals import resample

if TYPE_CHECKING:
    from modelyard.families.anomaly.host import AnomalyHost
    from modelyard.family import Split
    from modelyard.runtimes.types import Runtime

BASELINE = "largest absolute z-score"
_JUDGED = "A row is judged by its own label."
_JUDGED_IN_CONTEXT = (
    "A row is judged by its own label, with the rows before it as context; the rows within a window after an "
    "anomaly are left out, for the baseline too."
)
DOWN = frozenset({"false_alarm_rate", "score_shift", "detection_delay"})
"""Metrics of which less is better."""


def evaluate(
    host: AnomalyHost, run: Runtime, features: Path, split: Split = "test", *, marked: bool = False
) -> Evaluation:
    """Metrics beside those of the largest absolute z-score, whose threshold is chosen in the same
    way.

    With anomalies and normal rows among the labels the main metric is `roc_auc` over the judged
    moments. Without, it is `probe_roc_auc`: windows disturbed on purpose against themselves, see
    `probe`.

    Args:
        marked: the baseline learns from training rows that are labelled anomalies too.

    Raises:
        BadData: the split lacks a column that the host needs, or has no whole window for it.
    """
    judge = Judge.of(host, run, features)
    part, calibration = Part.load(features, split), Part.load(features, "calibration")
    moments = Moments.of(part, judge.window)
    # Variants are then compared by the probe, on rows of whatever label.
    if split != "test" and not (moments.label != 1).any() and len(moments):
        moments = moments.unlabelled()
    if not (moments.label != 1).any():
        behind = f"{judge.window} rows without a gap or an anomaly behind it"
        hint = "Lower features.window (1: each row stands alone)"
        raise BadData(f"the {split} split has no normal row with {behind}", hint=hint)
    usual = Usual.of(features, marked=marked)
    model = judge.detector(moments, calibration)
    simple = judge.baseline(moments, calibration, usual)
    made = probe.make(moments, judge.schema)
    windows, truth, kinds = made.windows(), made.truth(), judge.schema.kinds
    probed, simply = judge.windows(windows), usual.z_score(windows[:, -1])
    # Normal rows and anomalies: with one of them only there is nothing to rank.
    labels = {0, 1} <= set(moments.label.tolist())
    metrics = _metrics(model, moments, labels, truth, probed, kinds)
    baseline = _metrics(simple, moments, labels, truth, simply, kinds)
    directions: dict[str, Direction] = {}
    for name in metrics:
        directions[name] = "min" if name in DOWN else "max"
    drawn = plots.draw(judge, moments, model, labels)
    if labels:
        main = "roc_auc"
        known = moments.label >= 0
        ranked = resample(roc_auc, moments.label[known], model.score[known], simple.score[known])
        drawn["confusion"] = _confusion(model, moments)
    else:
        main = "probe_roc_auc"
        ranked = resample(roc_auc, truth, probed, simply)
    tables = []
    if len(judge.schema.series) > 1:
        tables.append(_by_series(judge.schema, moments, model))
    return Evaluation(
        split=split,
        rows=len(moments),
        metrics=metrics,
        baseline=baseline,
        baseline_name=BASELINE,
        directions=directions,
        **ranked.compared(main, "max", BASELINE),
        notes=_notes(host, moments, model, labels),
        tables=tables,
        **drawn,
    )


def _metrics(
    scored: Scored,
    moments: Moments,
    labels: bool,
    truth: np.ndarray,
    probed: np.ndarray,
    kinds: list[str],
) -> dict[str, float]:
    result = {}
    if labels:
        result = _ranked(scored, moments, kinds)
    normal = _normal(moments, labels)
    # Only the statistic is used: the exact p-value of large samples takes minutes.
    shift = ks_2samp(scored.calibration, scored.score[normal], method="asymp").statistic
    return result | {
        "probe_roc_auc": float(sk.roc_auc_score(truth, probed)),
        "false_alarm_rate": float(scored.alarm[normal].mean()),
        "score_shift": float(shift),
    }


def _ranked(scored: Scored, moments: Moments, kinds: list[str]) -> dict[str, float]:
    """What labels tell: ranking, alarms by row, alarms by event."""
    known = moments.label >= 0
    y, score, alarm = moments.label[known], scored.score[known], scored.alarm[known]
    precision, recall, f1, _ = sk.precision_recall_fscore_support(
        y, alarm, average="binary", zero_division=0
    )
    return {
        "roc_auc": float(sk.roc_auc_score(y, score)),
        "average_precision": float(sk.average_precision_score(y, score)),
        "precision": float(precision),
        "recall": float(recall),
        "f1": float(f1),
        **events.found(events.events(moments), moments, scored.alarm, kinds),
    }


def _normal(moments: Moments, labels: bool) -> np.ndarray:
    """Moments that count as normal: labelled 0, or all that are not labelled 1 where nobody
    labelled; bool."""
    normal = np.asarray(moments.label == 0)
    if labels or normal.any():
        return normal
    return np.asarray(moments.label < 0)


def _by_series(schema: Schema, moments: Moments, scored: Scored) -> Table:
    """Scores and alarms of each machine: one that runs at another level than the others, or for which
    the threshold is none, stands out."""
    number = moments.part.series[moments.ends]
    rows: list[list[str | float]] = []
    for place, name in enumerate(schema.series):
        own = number == place
        median: str | float = "–"
        if own.any():
            median = round(float(np.median(scored.score[own])), 4)
        alarms = _share(scored.alarm, own & (moments.label != 1))
        recall = _share(scored.alarm, own & (moments.label == 1))
        rows.append([name, int(own.sum()), median, alarms, recall])
    columns = ["series", "rows judged", "median score", "false alarm rate", "recall"]
    return Table(title="By machine", columns=columns, rows=rows)


def _share(hits: np.ndarray, among: np.ndarray) -> str | float:
    if among.any():
        return round(float(hits[among].mean()), 4)
    return "–"


def _confusion(scored: Scored, moments: Moments) -> Confusion:
    known = moments.label >= 0
    matrix = sk.confusion_matrix(moments.label[known], scored.alarm[known], labels=[0, 1])
    return Confusion(labels=["normal", "anomaly"], matrix=matrix.tolist())


def _notes(host: AnomalyHost, moments: Moments, scored: Scored, labels: bool) -> list[str]:
    rate = float(scored.alarm[_normal(moments, labels)].mean())
    stated = host.detector.false_alarm_rate
    if labels:
        known = "labelled normal"
    else:
        known = "taken as normal"
    notes: list[Any] = [
        host.detector.note,
        f"On this split {rate:.2%} of the rows {known} raise an alarm; {stated:.2%} was asked for.",
        _JUDGED if moments.window == 1 else _JUDGED_IN_CONTEXT,
        "score_shift is the Kolmogorov-Smirnov distance between the scores of calibration and of this split's normal "
        "rows: near 0 while the machine runs as it did.",
    ]
    if labels:
        number = len(events.events(moments))
        notes.append(
            f"Anomalies: {number}, of {int((moments.label == 1).sum()):,} rows; a delay counts rows."
        )
    probed = (
        "probe_roc_auc compares held-out windows with copies in which one column is shifted by 1.5 standard "
        "deviations or taken from another time: it says that a detector notices broken relations, not that it finds "
        "this machine's faults."
    )
    if not labels:
        probed += " Without labels there is nothing better to rank by."
    return [*notes, probed]
