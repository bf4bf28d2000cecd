"""Building: the network, its chain, and its judging."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

from modelyard.families.text.family import OtherNetworks
from modelyard.families.text.tagging import network
from modelyard.families.text.tagging.data import TagData
from modelyard.families.text.tagging.host import TagHost
from modelyard.families.text.tagging.judged import FrequentTags, JudgedTags, judge_tags
from modelyard.families.text.tagging.schemes import parts
from modelyard.families.text.tagging.spec import TagSpec, tags_of, words_of
from modelyard.family import Split
from modelyard.judging.evaluation import Evaluation
from modelyard.kit.classifier import store
from modelyard.kit.classifier.family import Batch
from modelyard.kit.splits import load_groups
from modelyard.runtimes.types import Runtime


class TagText(TagData, OtherNetworks[TagSpec]):
    """From tagged sentences to a served tagger."""

    Recurrent = network.TagRecurrent
    Transformer = network.TagEncoder

    def plan(self, spec: TagSpec) -> network.Plan:
        """With how words begin and end and, where they are not too many, what neighbouring pieces say."""
        plan = super().plan(spec)
        if plan["kind"] == "bert" or not self.config.model.wide:
            return plan
        plan["affixes"] = True
        weights = network.NEAR * plan["tokens"] * len(spec.classes)
        if weights <= network.MOST_WEIGHTS:
            plan["near"] = True
        return plan

    def loss(self, model: torch.nn.Module, batch: Batch) -> torch.Tensor:
        """Minus the log-likelihood of a sentence's tags a word, a scalar."""
        total: torch.Tensor = model(batch[self.Spec.KIND.input], batch["label"])["loss"].sum()
        return total / self.weight(model, batch).clamp(min=1)

    def weight(self, model: torch.nn.Module, batch: Batch) -> torch.Tensor:
        """Words."""
        return (batch["label"] >= 0).sum()

    def scores(self, model: torch.nn.Module, batch: Batch) -> Batch:
        """`accuracy`: the share of words whose own scores have their tag first, without the
        chain."""
        logits = model(batch[self.Spec.KIND.input], batch["label"])["logits"]
        tags = batch["label"][:, : logits.shape[1]]
        right = (logits.argmax(2) == tags) & (tags >= 0)
        return {"accuracy": right.sum() / self.weight(model, batch).clamp(min=1)}

    def more_assets(self, net: torch.nn.Module, assets: Path) -> None:
        """The trained chain."""
        assert isinstance(net, network.Tagged)
        net.chain.asset().save(assets)

    def evaluate(
        self, host: Any, run: Runtime, features: Path, split: Split = "test"
    ) -> Evaluation:
        """F1 of spans next to each word's most frequent tag.

        The host may be another package's: labels are matched by name.
        """
        assert isinstance(host, TagHost)
        words, truth = _stored(features, split)
        found = list(host.found(run, [host.spec.laid_out(some) for some in words]))
        judged = JudgedTags(
            words, truth, [one.tags for one in found], [one.scores for one in found]
        )
        baseline = FrequentTags(*_stored(features, "train"))
        labels = [parts(tag)[1] for tag in host.spec.classes]
        groups = load_groups(features, split)
        return judge_tags(judged, baseline(words), split=split, labels=labels, groups=groups)


def _stored(features: Path, split: str) -> tuple[list[list[str]], list[list[str]]]:
    """Words and tags of a split's sentences."""
    stored = [data.decode() for _, data in store.load_files(features, split)]
    return [words_of(row) for row in stored], [tags_of(row) for row in stored]
