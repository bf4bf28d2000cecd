"""How much each input counts in a distance."""

from __future__ import annotations

import numpy as np

from modelyard.kit.columns.encode import Encoder
from modelyard.kit.columns.schema import ColumnSchema


def fit_scale(
    encoder: Encoder, schema: ColumnSchema, x: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Means and weights, float64 (inputs,), with which the columns of the training rows `x`,
    float32 (rows, inputs), count about alike.

    Two rows drawn at random differ by 2 in the square of a standardized number, and by 2 where they
    have different categories: both stay as they are. A flag counts as a category. A logarithm is
    standardized; so are the inputs of a time, which share the weight of one column.
    """
    weight = np.ones(x.shape[1])
    for column in schema.inputs:
        places = encoder.groups[column.name]
        if encoder.parts[column.name].indicator:
            places = places[:-1]
        is_logarithm = column.transform == "log" and not column.words
        if column.boolean:
            # Two rows that differ then do so by 2, as those of two categories.
            weight[places] = np.sqrt(2)
        elif column.role == "time" or is_logarithm:
            spread = x[:, places].astype(np.float64).std(axis=0)
            spread[spread == 0] = 1.0
            weight[places] = 1 / spread / np.sqrt(len(places))
    return x.astype(np.float64).mean(axis=0), weight
