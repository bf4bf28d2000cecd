"""From pairs of texts to arrays and assets.

train.npy …           tokens of sources, int32 (pairs, length)
train.labels.npy …    tokens of targets, int64 (pairs, most_written)
train.files …         the pairs themselves, as JSON
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np

from modelyard.errors import UsageError
from modelyard.families.text.checkpoint import TokensData
from modelyard.families.text.translating.reading import read_pairs
from modelyard.families.text.translating.samples import write_sample
from modelyard.families.text.translating.spec import (
    END,
    PAIRS,
    TranslationSpec,
    pair_of,
    stored,
    trained_tokenizer,
)
from modelyard.kit.classifier.data import Look, Parts
from modelyard.kit.classifier.examples import Example, Listing
from modelyard.kit.classifier.parts import Content
from modelyard.kit.tables import is_quickly_read
from modelyard.kit.text.fitting import LONGEST, fit_length
from modelyard.kit.text.spec import as_text

SHORTEST = 8
FREE = 1.5
"""A translation may be so much longer than nearly all of training."""


class TranslateData(TokensData[TranslationSpec]):
    """From pairs of texts to tokens."""

    Spec = TranslationSpec
    checkpoints = ("t5", "mt5", "umt5")
    _column = PAIRS.field

    def sample(self, raw: Path) -> None:
        """Writes phrases in English and German."""
        write_sample(raw, self.config.features.sample_texts, self.config.seed)

    def check(self, data: Path) -> None:
        """Reads files that are read quickly."""
        if is_quickly_read(data):
            read_pairs(data, self.config.features)

    def fitted(
        self, classes: list[str], counts: list[int], facts: Sequence[Any]
    ) -> TranslationSpec:
        """The tokenizer, trained on the training pairs or a checkpoint's.

        Args:
            facts: the training pairs.
        """
        settings, found = self.config.features, self.checkpoint()
        if found:
            tokenizer = found.tokenizer
        else:
            # One tokenizer of both languages: encoder and decoder share the embedding.
            both = chain.from_iterable(facts)
            tokenizer = trained_tokenizer(list(both), settings.vocabulary)
        sources = [settings.prompt + source for source, _ in facts]
        tokens = fit_length(sources, settings, tokenizer, share=1.0)
        shape = found.shape if found else {}
        # A checkpoint's config.json need not hold what is T5's own usual value.
        start = shape.get("decoder_start_token_id", tokens["pad"])
        end = shape.get("eos_token_id")
        if end is None:
            end = _number_of(END, tokenizer)
        spec = TranslationSpec(
            limits=self.limits(),
            classes=["source", "target"],
            counts=[],
            text_column=self._column,
            prompt=settings.prompt,
            start=int(start),
            end=int(end),
            most_written=LONGEST,
            **tokens,
        )
        written = spec.counts_of([target for _, target in facts])
        # Not the longest of all: one that is far longer would make every answer as costly.
        most = int(np.quantile(written, 0.99) * FREE)
        return spec.model_copy(update={"most_written": min(LONGEST, most) + SHORTEST})

    def listing(self, raw: Path) -> Listing:
        """The pairs, each as one content."""
        self.refuse_settings("classes", "positive", "group_pattern")
        listing, self._column = read_pairs(raw, self.config.features)
        listing.examples = [_joined(example) for example in listing.examples]
        return listing

    def check_labels(self, listing: Listing, earlier: Sequence[str]) -> None:
        """Pairs have none."""

    def look(self, data: bytes) -> Look:
        """Pairs are the same that have the same source and target."""
        text = as_text(data, self.limits())
        return Look(super().look(data).digest, pair_of(text))

    def encoded(self, examples: Sequence[Example], spec: TranslationSpec) -> np.ndarray:
        """Tokens of the targets, (n, most_written)."""
        return spec.written([pair_of(example.file.read())[1] for example in examples])

    def divided(self, examples: Sequence[Example], raw: Path) -> Parts:
        """By split; the translations of one source are in one of them."""
        sources = [pair_of(example.file.read())[0] for example in examples]
        counts = Counter(sources)
        grouped = []
        for example, source in zip(examples, sources, strict=True):
            group = example.group
            # Whoever named groups or splits knows which pairs may be in two.
            is_free = group is None and example.split is None
            if is_free and counts[source] > 1:
                group = f"source {source}"
            grouped.append(replace(example, group=group))
        return super().divided(grouped, raw)

    def body(self, data: bytes) -> dict[str, Any]:
        """A source as a request."""
        return {PAIRS.field: pair_of(data)[0]}

    def truths(self, features: Path, split: Any, limit: int | None = None) -> None:
        """None: of a text there is more than one right translation."""

    def unchangeable(
        self, spec: TranslationSpec, plan: dict[str, Any]
    ) -> list[tuple[str, Any, Any]]:
        """The prompt, too."""
        prompt = self.config.features.prompt
        return [*super().unchangeable(spec, plan), ("features.prompt", prompt, spec.prompt)]

    def _grown(self, earlier: TranslationSpec, parts: Parts) -> TranslationSpec:
        """The earlier one."""
        return earlier

    def _summary(
        self, parts: Parts, spec: TranslationSpec, dropped: dict[str, int], notes: list[str]
    ) -> dict[str, Any]:
        cut = 0
        for part in parts.values():
            pairs = [pair_of(example.file.read()) for example in part]
            sources = spec.counts_of([spec.prompt + source for source, _ in pairs])
            targets = spec.counts_of([target for _, target in pairs])
            cut += int(((sources > spec.length) | (targets > spec.most_written)).sum())
        more = f"; {cut:,} cut at their end" if cut else ""
        return self.said_of(parts, spec, more, dropped, notes)


def _joined(example: Example) -> Example:
    """The pair as one content."""
    content = Content(example.file, stored(example.file.read().decode(), example.label))
    return replace(example, file=content, label=PAIRS.one)


def _number_of(token: str, tokenizer: str) -> int:
    for added in json.loads(tokenizer)["added_tokens"]:
        if added["content"] == token:
            return int(added["id"])
    raise UsageError(
        f"model.checkpoint: neither config.json names eos_token_id nor tokenizer.json {token}"
    )
