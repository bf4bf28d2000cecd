"""Answering with any number of labels."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Generic

import numpy as np
from pydantic import BaseModel

from modelyard.host import WithWarnings
from modelyard.kit.classifier.host import ClassifierHost, S
from modelyard.kit.labels.decision import Thresholds
from modelyard.runtimes.types import Runtime


class LabelsAnswer(WithWarnings):
    """The answer of a classifier with any number of labels."""

    labels: list[str]
    """The labels that hold, the most probable first; there may be none."""
    probabilities: dict[str, float]
    """Probability of each label by itself, calibrated; they do not add up to 1."""


class ManyLabelsHost(ClassifierHost[S], Generic[S]):
    """Answers each label whose probability reaches its threshold."""

    error_name = ""  # `/feedback` brings one label a request

    def __init__(self, assets: Path) -> None:
        super().__init__(assets)
        halves = Thresholds(values=[0.5] * len(self.spec.classes))
        self.thresholds = Thresholds.load_or(self.assets, halves)
        self.Response = LabelsAnswer

    def probabilities(self, run: Runtime, arrays: np.ndarray) -> np.ndarray:
        """Arrays (n, …) to probabilities of each label, float64 (n, classes)."""
        return self.thresholds.of_logits(self.logits(run, arrays))

    def answered(self, p: np.ndarray) -> Sequence[WithWarnings]:
        """One answer an example."""
        classes = self.spec.classes
        found = []
        for row, holds in zip(p.tolist(), self.thresholds.answers(p).tolist(), strict=True):
            by_class = dict(zip(classes, row, strict=True))
            labels = [name for name, held in zip(classes, holds, strict=True) if held]
            # Ties by name, for an order that is the same everywhere.
            labels.sort(key=lambda name: (-by_class[name], name))
            found.append(LabelsAnswer(labels=labels, probabilities=by_class))
        return found

    def reasoned(self, logits: np.ndarray) -> tuple[np.ndarray, str]:
        """The log-odds of the most probable label."""
        best = int(logits.argmax())
        weights = np.zeros(len(logits))
        weights[best] = 1
        return weights, f"log-odds of {self.spec.classes[best]}"

    def calibrated(self, logits: np.ndarray) -> np.ndarray:
        """Logits divided by the temperature."""
        return self.thresholds.calibrated(logits)

    def figures_of_answer(self, response: BaseModel) -> dict[str, float | str | None]:
        """The most probable label and its probability, how many hold, and the mean entropy of a
        label, 0 to 1."""
        assert isinstance(response, LabelsAnswer)
        p = np.clip(list(response.probabilities.values()), 1e-12, 1 - 1e-12)
        entropy = float(-(p * np.log2(p) + (1 - p) * np.log2(1 - p)).mean())
        names = list(response.probabilities)
        return {
            "score": float(p.max()),
            "entropy": entropy,
            "labels": float(len(response.labels)),
            "label": names[int(p.argmax())],
        }
