"""Building: the network, and its judging."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch.nn.functional import cross_entropy

from modelyard.families.text.family import OtherNetworks
from modelyard.families.text.translating import network
from modelyard.families.text.translating.data import TranslateData
from modelyard.families.text.translating.host import TranslateHost
from modelyard.families.text.translating.judged import (
    JudgedTranslations,
    judge_translations,
    remember,
)
from modelyard.families.text.translating.spec import IGNORED, TranslationSpec, pair_of
from modelyard.family import Split
from modelyard.judging.evaluation import Evaluation
from modelyard.kit.classifier import store
from modelyard.kit.classifier.family import Batch, Change
from modelyard.kit.classifier.store import Plan
from modelyard.kit.splits import load_groups
from modelyard.runtimes.types import Graph, Runtime
from modelyard.training.loop import load_weights


class TranslateText(TranslateData, OtherNetworks[TranslationSpec]):
    """From pairs of texts to a service that translates."""

    def plan(self, spec: TranslationSpec) -> Plan:
        return network.plan(self.config.model, spec, self._shape())

    def build(
        self, plan: Plan, spec: TranslationSpec, checkpoint: Path | None = None
    ) -> torch.nn.Module:
        """An encoder and a decoder."""
        return network.Translator(plan, spec, checkpoint)

    def changes(
        self, count: int, generator: torch.Generator, spec: TranslationSpec
    ) -> Change | None:
        """None: a number that is hidden cannot be translated."""
        return None

    def loss(self, model: torch.nn.Module, batch: Batch) -> torch.Tensor:
        """Mean cross-entropy of the targets' tokens, nats, a scalar; labels are smoothed in
        training only."""
        logits, targets = self._compared(model, batch)
        smoothing = self.config.training.label_smoothing if model.training else 0.0
        return cross_entropy(
            logits.flatten(0, 1),
            targets.flatten(),
            ignore_index=IGNORED,
            label_smoothing=smoothing,
        )

    def weight(self, model: torch.nn.Module, batch: Batch) -> torch.Tensor:
        """Tokens of the targets."""
        return (batch["label"] != IGNORED).sum()

    def scores(self, model: torch.nn.Module, batch: Batch) -> Batch:
        """`accuracy`: the share of tokens that are the likeliest, by what stands before them."""
        logits, targets = self._compared(model, batch)
        right = logits.argmax(2) == targets
        return {"accuracy": right.sum() / (targets != IGNORED).sum()}

    def graphs(self, model: Path) -> list[Graph]:
        """`encoder` and `decoder`."""
        assets = Path(model) / "assets"
        tokens = store.load_examples(model).astype(np.int64)
        net = load_weights(self.model(assets), model)
        assert isinstance(net, network.Translator)
        shape = TranslateHost(assets).decoding
        return network.graphs(net, shape, torch.from_numpy(tokens))

    def evaluate(
        self, host: Any, run: Runtime, features: Path, split: Split = "test"
    ) -> Evaluation:
        """BLEU, chrF and exact match of greedy translations."""
        assert isinstance(host, TranslateHost)
        pairs = _pairs(features, split)
        sources = [source for source, _ in pairs]
        found = host.written(run, sources)
        judged = JudgedTranslations(
            sources=sources,
            references=[target for _, target in pairs],
            translations=[host.spec.text_of(one.tokens) for one in found],
            scores=[math.exp(one.log_p) for one in found],
            remembered=remember(sources, _pairs(features, "train")),
        )
        groups = load_groups(features, split)
        return judge_translations(judged, split=split, groups=groups)

    def _compared(self, model: torch.nn.Module, batch: Batch) -> tuple[torch.Tensor, torch.Tensor]:
        """Logits (batch, written, vocabulary) and targets (batch, written), as long as the batch's
        longest target."""
        longest = int((batch["label"] != IGNORED).sum(1).max())
        targets = batch["label"][:, :longest]
        return model(batch[self.Spec.KIND.input], targets)["logits"], targets


def _pairs(features: Path, split: str) -> list[tuple[str, str]]:
    return [pair_of(data) for _, data in store.load_files(features, split)]
