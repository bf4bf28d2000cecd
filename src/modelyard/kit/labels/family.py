"""Building a classifier with any number of labels."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Generic

import numpy as np
import torch
from torch.nn.functional import binary_cross_entropy_with_logits

from modelyard.compress.teaching import LOGITS, MAPS, attention_gap
from modelyard.errors import UsageError
from modelyard.family import Split
from modelyard.judging.evaluation import Evaluation, Plot, Table
from modelyard.kit.classifier import store
from modelyard.kit.classifier.data import C, S
from modelyard.kit.classifier.family import WEIGHTS, Batch, Classifier
from modelyard.kit.labels.choosing import best_thresholds, fit_thresholds
from modelyard.kit.labels.data import ManyLabelsData
from modelyard.kit.labels.evaluate import JudgedLabels, align_labels, judge_labels
from modelyard.kit.labels.host import ManyLabelsHost
from modelyard.kit.splits import load_groups
from modelyard.runtimes.torch import TorchRuntime
from modelyard.runtimes.types import Runtime
from modelyard.settings.compress import CompressSettings


class ManyLabels(ManyLabelsData[C, S], Classifier[C, S], Generic[C, S]):
    """Each label is a question of its own: a sigmoid, and a threshold."""

    def loss(self, model: torch.nn.Module, batch: Batch) -> torch.Tensor:
        """Binary cross-entropy over examples and labels, a scalar; targets are smoothed in training
        only."""
        return self._binary(model, self._logits(model, batch), batch["label"])

    def weight(self, model: torch.nn.Module, batch: Batch) -> torch.Tensor:
        """Examples."""
        return torch.tensor(len(batch["label"]))

    def scores(self, model: torch.nn.Module, batch: Batch) -> Batch:
        """`accuracy`: the share of labels whose absence or presence is right, at one half."""
        right = (self._logits(model, batch) > 0) == (batch["label"] > 0)
        return {"accuracy": right.float().mean()}

    def groups(self, batch: Batch) -> torch.Tensor:
        """The first label of each example; one more group of those without any."""
        label = batch["label"]
        return torch.where(label.any(1), label.argmax(1), label.shape[1])

    def taught_loss(
        self, model: torch.nn.Module, batch: Batch, settings: CompressSettings
    ) -> torch.Tensor:
        """The labels' cross-entropy and that with the teacher's probabilities, by their shares, and
        the difference of the last maps."""
        outputs = model(batch[self.Spec.KIND.input])
        logits, heat = outputs["logits"], settings.temperature
        labels = self._binary(model, logits, batch["label"])
        soft = torch.sigmoid(batch[LOGITS] / heat)
        # The square keeps the gradient's size (Hinton et al. 2015, section 2).
        teacher = binary_cross_entropy_with_logits(logits / heat, soft) * heat**2
        loss = (1 - settings.teacher_share) * labels + settings.teacher_share * teacher
        if settings.feature_weight:
            gap = attention_gap(outputs.get("features"), batch[MAPS])
            loss = loss + settings.feature_weight * gap
        return loss

    def decide(self, features: Path, out: Path) -> tuple[str, str]:
        """Fits the temperature and the thresholds on the validation split."""
        if self.config.model.least_sensitivity is not None:
            raise UsageError("setting 'model.least_sensitivity' is for one label of two classes")
        host = self.Answering(Path(out) / "assets")
        found = fit_thresholds(
            host.logits(TorchRuntime(self.graphs(out)), store.load_arrays(features, "validation")),
            store.load_labels(features, "validation").astype(bool),
            calibrate=self.config.model.calibration == "temperature",
        )
        found.save(host.assets)
        low, high = min(found.values), max(found.values)
        return f", labels answered from {low:.2f} to {high:.2f} on", found.note

    def evaluate(
        self, host: Any, run: Runtime, features: Path, split: Split = "test"
    ) -> Evaluation:
        """Metrics of a split next to those of the most frequent labels.

        The host may be another package's: its classes are matched by name.
        """
        assert isinstance(host, ManyLabelsHost)
        classes, known = self._spec_of(features).classes, host.spec.classes
        y = store.load_labels(features, split)
        arrays = host.seen(features, split)
        p = host.probabilities(run, arrays)
        judged = align_labels(p, host.thresholds.answers(p), known, y, classes)
        return judge_labels(
            judged,
            store.load_labels(features, "train"),
            split=split,
            unit=self.Spec.KIND.many,
            note=host.thresholds.note,
            rivals=self._rivals(features, split, y, classes),
            tables=self.hardest(features, judged, split),
            thresholds=dict(zip(known, host.thresholds.values, strict=True)),
            more=self.label_plots(host, run, arrays, judged),
            groups=load_groups(features, split),
        )

    def hardest(self, features: Path, judged: JudgedLabels, split: Split) -> list[Table]:
        """Tables of a judged split for the card."""
        return []

    def label_plots(
        self, host: Any, run: Runtime, arrays: np.ndarray, judged: JudgedLabels
    ) -> list[Plot]:
        """Further plots of a judged split; `arrays` (n, …) are what the host sees of its files."""
        return []

    def _rivals(
        self, features: Path, split: Split, y: np.ndarray, classes: list[str]
    ) -> dict[str, JudgedLabels]:
        """Further simple answers; their thresholds are chosen on the validation split too."""
        truth = store.load_labels(features, "validation")
        tuned = self.rivals(features, "validation")
        found = {}
        for name, p in self.rivals(features, split).items():
            thresholds, _ = best_thresholds(tuned[name], truth)
            answers = p >= np.array(thresholds)
            found[name] = JudgedLabels(y.astype(bool), p, answers, classes)
        return found

    def _binary(
        self, model: torch.nn.Module, logits: torch.Tensor, label: torch.Tensor
    ) -> torch.Tensor:
        target = label.to(logits.dtype)
        if model.training:
            # Towards one half, the even guess of a question with two answers.
            smoothing = self.config.training.label_smoothing
            target = target * (1 - smoothing) + smoothing / 2
        weights = model.get_buffer(WEIGHTS)
        return binary_cross_entropy_with_logits(logits, target, pos_weight=weights)
