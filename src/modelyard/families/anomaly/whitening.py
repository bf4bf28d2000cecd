"""A turn of the columns after which none tells of another. Numpy alone."""

from __future__ import annotations

import numpy as np

FLOOR = 1e-4
"""Least variance of a direction, of standardized columns: columns that copy each other would blow up rounding."""


def whitening(x: np.ndarray) -> np.ndarray:
    """`matrix` float64 (columns, columns), so that (x - mean) @ matrix has uncorrelated columns of variance 1.

    Principal components of the standardized columns, each divided by its standard deviation.
    """
    spread = x.std(axis=0, dtype=np.float64)
    scaled = (x - x.mean(axis=0, dtype=np.float64)) / spread
    variances, directions = np.linalg.eigh(scaled.T @ scaled / len(x))
    matrix: np.ndarray = directions / np.sqrt(np.maximum(variances, FLOOR)) / spread[:, None]
    return matrix
