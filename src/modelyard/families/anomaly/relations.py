"""How the columns move together, as linear algebra of the training rows. Numpy only."""

from __future__ import annotations

import numpy as np

FLOOR = 1e-4
"""Least variance of a direction, of standardized columns: columns that copy each other would
blow up rounding."""


def whitening(x: np.ndarray) -> np.ndarray:
    """`matrix` float64 (columns, columns), so that (x - mean) @ matrix has uncorrelated columns of
    variance 1.

    Principal components of the standardized columns, each divided by its standard deviation.
    """
    spread, variances, directions = _principal(x)
    return np.asarray(directions / np.sqrt(variances) / spread[:, None])


def expectation(x: np.ndarray) -> np.ndarray:
    """`weights` float64 (columns, columns) with a diagonal of 0: mean + (row - mean) @ weights is,
    column by column, what the other columns of a row let expect.

    Least squares by the inverse covariance (Lauritzen 1996, section 5.1): -P[i, j] / P[j, j].
    """
    spread, variances, directions = _principal(x)
    inverse = (directions / variances) @ directions.T
    weights = -inverse / np.diag(inverse)
    np.fill_diagonal(weights, 0)
    return np.asarray(weights * spread / spread[:, None])


def _principal(x: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Standard deviations of the columns, and variances and directions of the standardized ones."""
    spread = x.std(axis=0, dtype=np.float64)
    # A column of an earlier model can be constant in these rows.
    spread = np.where(spread > 0, spread, 1.0)
    scaled = (x - x.mean(axis=0, dtype=np.float64)) / spread
    variances, directions = np.linalg.eigh(scaled.T @ scaled / len(x))
    return spread, np.maximum(variances, FLOOR), directions
