"""What a run keeps of the model it goes on from: which columns there are, and how they are
scaled."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from modelyard.errors import BadData
from modelyard.families.anomaly.config import AnomalyConfig
from modelyard.families.anomaly.schema import Detector, Schema
from modelyard.kit.warm_start import check_same


def earlier_schema(base: Path, config: AnomalyConfig) -> Schema:
    """The earlier model's columns.

    Raises:
        UsageError: a setting asks for something else.
    """
    schema = Schema.load(base / "assets")
    check_same("model.kind", config.model.kind, Detector.load(base / "assets").kind)
    check_same("features.window", config.features.window, schema.window)
    return schema


def kept_columns(earlier: Schema, names: list[str], file: Path) -> np.ndarray:
    """Places in `names` of the earlier model's columns, in its order, int64 (columns,).

    Raises:
        BadData: one is not there.
    """
    for name in earlier.names:
        if name not in names:
            raise BadData("the model to go on from needs this column", file=file, column=name)
    return np.array([names.index(name) for name in earlier.names], np.int64)
