"""From a graph's output to scores and to the columns' shares in them. Numpy only."""

from __future__ import annotations

import numpy as np

from modelyard.families.anomaly.schema import Detector
from modelyard.runtimes.types import Arrays, Runtime

GRAPH, INPUT = "model", "values"
CHUNK, CELLS = 8192, 2**18
"""Examples and numbers a graph is given at once, at most: some compare each with many rows."""
NORMAL_MEDIAN = 0.6744897501960817
"""Median of |x| for a standard normal x."""


def run_graph(run: Runtime, windows: np.ndarray) -> Arrays:
    """The graph's outputs for `windows`, float32 (examples, window, columns), in chunks.

    A detector of rows takes (examples, columns): a window of one row is that row.
    """
    inputs = windows
    if windows.shape[1] == 1:
        inputs = windows[:, 0]
    pieces = []
    # Once at least: of no examples too the outputs have names and widths.
    chunk = min(CHUNK, max(1, CELLS // max(1, int(np.prod(inputs.shape[1:])))))
    for start in range(0, max(len(inputs), 1), chunk):
        some = np.array(inputs[start : start + chunk], np.float32, order="C")
        pieces.append(run(GRAPH, {INPUT: some}))
    if len(pieces) == 1:
        return pieces[0]
    joined = {}
    for name in pieces[0]:
        joined[name] = np.concatenate([piece[name] for piece in pieces])
    return joined


def scores(detector: Detector, outputs: Arrays) -> np.ndarray:
    """The higher the stranger, float64 (examples,).

    Reconstructions: mean squared error in units of the usual error, over columns and the recent
    rows. Deep SVDD: squared distance from the centre (Ruff et al. 2018, equation 5). Others: what
    the graph says.
    """
    if "errors" in outputs:
        return np.asarray(error_parts(detector, outputs["errors"]).sum(axis=1))
    if "embedding" in outputs:
        gap = outputs["embedding"].astype(np.float64) - np.array(detector.centre)
        return np.asarray(np.square(gap).sum(axis=1))
    return outputs["score"].astype(np.float64)


def error_parts(detector: Detector, errors: np.ndarray) -> np.ndarray:
    """Each column's part of the score, float64 (examples, columns): they add up to it."""
    scaled = _windows(errors) / np.array(detector.error_scale)
    return np.asarray(np.square(scaled)[:, -detector.recent :].mean(axis=1) / errors.shape[-1])


def usual_errors(errors: np.ndarray) -> np.ndarray:
    """Size of an error by row of the window and column, float64 (window, columns).

    From the median, which a few anomalies don't move: the standard deviation, were errors normal.
    """
    size: np.ndarray = np.median(np.abs(_windows(errors)), axis=0) / NORMAL_MEDIAN
    # A column that is restored exactly would raise an alarm by its last digit.
    return np.asarray(np.maximum(size, 1e-6))


def severity(detector: Detector, score: np.ndarray) -> np.ndarray:
    """0 at the median normal score, 1 at the threshold; linear in the score, so beyond 1 for
    anomalies."""
    return np.asarray((score - detector.typical) / (detector.threshold - detector.typical))


def _windows(errors: np.ndarray) -> np.ndarray:
    wide = errors.astype(np.float64)
    if wide.ndim == 2:
        return wide[:, None]
    return wide
