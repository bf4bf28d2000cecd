"""The forest's graph is scikit-learn's answer in a handful of nodes."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest

from modelyard.families.anomaly import shallow
from modelyard.families.anomaly.config import AnomalyModel
from modelyard.families.anomaly.scoring import GRAPH, INPUT


@pytest.mark.parametrize("whiten", [True, False])
@pytest.mark.parametrize("decimals", [0, 6])
def test_a_forest_is_one_node_and_scores_as_scikit_learn_does(
    tmp_path: Path, whiten: bool, decimals: int
) -> None:
    # Values of few digits leave several equal rows in a leaf.
    rng = np.random.default_rng(0)
    rows = rng.normal(0, 2, (900, 3)).round(decimals).astype(np.float32)
    shallow.fit(AnomalyModel(kind="iforest", whiten=whiten, trees=40), rows[:600], tmp_path, 0)
    graph = shallow.to_onnx(tmp_path, 20)
    assert len(onnx.load_from_string(graph).graph.node) < 12
    (score,) = onnxruntime.InferenceSession(graph).run(None, {INPUT: rows})
    expected = shallow.native(tmp_path)(GRAPH, {INPUT: rows})["score"]
    assert score == pytest.approx(expected, abs=1e-5)
    assert np.ptp(expected) > 0.2
