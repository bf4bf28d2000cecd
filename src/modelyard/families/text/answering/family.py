"""Building: the network, when it answers, and its judging."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch.nn.functional import cross_entropy

from modelyard.families.text.answering import network
from modelyard.families.text.answering.choose import Best, choose_threshold
from modelyard.families.text.answering.data import AnswerData
from modelyard.families.text.answering.host import AnswerHost
from modelyard.families.text.answering.judged import (
    Accepted,
    JudgedAnswers,
    f1_of_each,
    judge_answers,
)
from modelyard.families.text.answering.spec import PairSpec, stored_of
from modelyard.families.text.family import OtherNetworks
from modelyard.family import Split
from modelyard.judging.evaluation import Evaluation
from modelyard.kit.classifier import store
from modelyard.kit.classifier.family import Batch
from modelyard.kit.splits import load_groups
from modelyard.runtimes.torch import TorchRuntime
from modelyard.runtimes.types import Runtime


class AnswerText(AnswerData, OtherNetworks[PairSpec]):
    """From questions on texts to a service that answers them."""

    Recurrent = network.AnswerRecurrent
    Transformer = network.AnswerEncoder

    def loss(self, model: torch.nn.Module, batch: Batch) -> torch.Tensor:
        """Mean cross-entropy of the first and the last token, a scalar."""
        logits = self._logits(model, batch)
        return cross_entropy(logits, batch["label"])

    def weight(self, model: torch.nn.Module, batch: Batch) -> torch.Tensor:
        """Windows."""
        return torch.tensor(len(batch["label"]))

    def scores(self, model: torch.nn.Module, batch: Batch) -> Batch:
        """`accuracy`: the share of windows whose first and last token are both right."""
        right = self._logits(model, batch).argmax(1) == batch["label"]
        return {"accuracy": right.all(1).float().mean()}

    def groups(self, batch: Batch) -> torch.Tensor:
        """Windows with an answer, and without."""
        return (batch["label"][:, 0] > 0).long()

    def decide(self, features: Path, out: Path) -> tuple[str, str]:
        """From how far ahead of none an answer is given: the best F1 on the validation split.
        Where every training question has an answer, always."""
        host = AnswerHost(Path(out) / "assets")
        if not host.spec.may_lack:
            return "", ""
        stored = _stored(features, "validation")
        found = self._found(host, TorchRuntime(self.graphs(out)), stored)
        ahead = np.array([best.ahead for best in found])
        f1 = f1_of_each(*_given(stored, found))
        none = np.array([float(not row["answers"]) for row in stored])
        threshold = choose_threshold(ahead, f1, none)
        note = (
            f"An answer is given where its log probability is more than {threshold:.3g} above that of "
            "none, which has the best F1 on the validation split."
        )
        changed = {"threshold": threshold, "note": note}
        host.choice.model_copy(update=changed).save(host.assets)
        return f", answers from {threshold:.2f} ahead of none on", note

    def evaluate(
        self, host: Any, run: Runtime, features: Path, split: Split = "test"
    ) -> Evaluation:
        """Exact match and F1 next to those of the sentence most like the question."""
        assert isinstance(host, AnswerHost)
        stored = _stored(features, split)
        found = self._found(host, run, stored)
        spans, accepted = _given(stored, found)
        given: list[str | None] = []
        for span, best in zip(spans, found, strict=True):
            if host.answers(best):
                given.append(span)
            else:
                given.append(None)
        judged = JudgedAnswers(
            questions=[row["question"] for row in stored],
            contexts=[row["context"] for row in stored],
            accepted=accepted,
            answers=given,
            scores=[float(np.exp(best.log_p)) for best in found],
        )
        groups = load_groups(features, split)
        return judge_answers(judged, split=split, note=host.choice.note, groups=groups)

    def _logits(self, model: torch.nn.Module, batch: Batch) -> torch.Tensor:
        """(windows, length, 2), as long as the places of labels."""
        logits: torch.Tensor = model(batch[self.Spec.KIND.input])["logits"]
        return logits

    def _found(self, host: AnswerHost, run: Runtime, stored: list[dict[str, Any]]) -> list[Best]:
        pairs = [host.spec.pair(row["question"], row["context"]) for row in stored]
        return list(host.found(run, pairs))


def _stored(features: Path, split: str) -> list[dict[str, Any]]:
    return [stored_of(data) for _, data in store.load_files(features, split)]


def _given(stored: list[dict[str, Any]], found: list[Best]) -> tuple[list[str], Accepted]:
    """The best span of each question, and the answers that are accepted for it."""
    spans: list[str] = []
    accepted: Accepted = []
    for row, best in zip(stored, found, strict=True):
        spans.append(row["context"][best.start : best.end])
        accepted.append([text for text, _ in row["answers"]])
    return spans, accepted
