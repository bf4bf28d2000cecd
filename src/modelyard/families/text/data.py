"""From labelled texts to tokens and assets."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from modelyard.errors import BadData
from modelyard.families.text.checkpoint import TokensData
from modelyard.families.text.config import TextConfig
from modelyard.families.text.samples import write_sample
from modelyard.families.text.spec import TEXTS, TextSpec
from modelyard.families.text.tagging.columns import ONLY_TAGS
from modelyard.kit.classifier import store
from modelyard.kit.classifier.data import Look, digest_of
from modelyard.kit.classifier.divide import SPLITS
from modelyard.kit.classifier.examples import Listing
from modelyard.kit.classifier.rows import read_rows
from modelyard.kit.labels.data import ManyLabelsData
from modelyard.kit.tables import is_quickly_read
from modelyard.kit.text.fitting import fit_tokens
from modelyard.kit.text.simple import save_simple
from modelyard.kit.text.spec import as_text
from modelyard.store.files import files_of


class TextData(TokensData[TextSpec]):
    """From labelled texts to tokens."""

    Spec = TextSpec
    _column = TEXTS.field

    def sample(self, raw: Path) -> None:
        """Writes docstrings of Python's standard library."""
        settings = self.config.features
        write_sample(raw, settings.sample_texts, self.config.seed, settings.labels)

    def check(self, data: Path) -> None:
        """Reads files that are read quickly."""
        if is_quickly_read(data):
            self.check_labels(self.listing(data), ())

    def listing(self, raw: Path) -> Listing:
        """Rows of tables and JSON, or text files in class folders.

        Raises:
            BadData: what the files hold, or that they are for another task.
        """
        if any(file.suffix in ONLY_TAGS for file in files_of(raw)):
            problem = "holds words and their tags, no labels of texts"
            raise BadData(problem, file=Path(raw), hint="Type: --set features.task=tag")
        listing, self._column = read_rows(raw, TEXTS, self.config.features)
        return listing

    def look(self, data: bytes) -> Look:
        """Texts are the same but for blanks around and between words."""
        text = as_text(data, self.limits())
        return Look(digest_of(" ".join(text.split()).encode()), text)

    def fitted(self, classes: list[str], counts: list[int], facts: Sequence[str]) -> TextSpec:
        """The tokenizer, trained on the training texts or a checkpoint's, and the length."""
        tokens = fit_tokens(facts, self.config.features, self.checkpoint())
        named = {"classes": classes, "counts": counts, "text_column": self._column}
        named["task"] = self.config.task
        return TextSpec(limits=self.limits(), **named, **tokens)

    def features(self, raw: Path, out: Path) -> dict[str, Any]:
        """Tokens and labels by split, and what the simple answer makes of the same texts."""
        summary = super().features(raw, out)
        spec = TextSpec.load(Path(out) / "assets")
        texts = {}
        for split in SPLITS:
            texts[split] = [data.decode() for _, data in store.load_files(out, split)]
        save_simple(out, texts, store.load_labels(out, "train"), len(spec.classes))
        cut = 0
        for some in texts.values():
            cut += int((spec.counts_of(some) > spec.length).sum())
        if cut:
            said = f"{cut:,} texts cut at {spec.length} tokens"
            summary["headline"] += f"; {said}"
            summary["notes"].append(f"{said} (features.length, features.long).")
        return summary

    def body(self, data: bytes) -> dict[str, Any]:
        """A text as a request."""
        return {TEXTS.field: data.decode()}

    def unchangeable(self, spec: TextSpec, plan: dict[str, Any]) -> list[tuple[str, Any, Any]]:
        """How many labels a text has, too."""
        labels = "many" if spec.task == "classify_many" else "one"
        fixed = super().unchangeable(spec, plan)
        return [*fixed, ("features.labels", self.config.features.labels, labels)]


class LabelsTextData(ManyLabelsData[TextConfig, TextSpec], TextData):
    """Texts with any number of labels each."""
