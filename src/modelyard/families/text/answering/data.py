"""From questions on texts to windows of tokens.

train.npy …           windows, int32 (windows, length); a question has several where its text is long
train.labels.npy …    where the answer's first and last token stand in a window, int64 (windows, 2);
                      0, 0 where it is not there
train.files …         the questions, as JSON
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from modelyard.errors import BadData
from modelyard.families.text.answering.choose import Choice
from modelyard.families.text.answering.reading import Asked, read_squad
from modelyard.families.text.answering.samples import write_sample
from modelyard.families.text.answering.spec import QUESTIONS, Pair, PairSpec, stored_of
from modelyard.families.text.checkpoint import LABELLING, TokensData
from modelyard.kit.classifier import store
from modelyard.kit.classifier.data import Look, Parts
from modelyard.kit.classifier.divide import SPLITS, without_copies
from modelyard.kit.classifier.examples import Example
from modelyard.kit.classifier.kind import read_bytes
from modelyard.kit.classifier.parts import Content
from modelyard.kit.classifier.work import each
from modelyard.kit.splits import save_groups_of, split_of
from modelyard.kit.text.fitting import fit_tokens
from modelyard.kit.text.spec import as_text
from modelyard.store.base import base_of

MANY_ARTICLES = 20
"""With fewer articles, questions are divided by the texts that they are on."""


class AnswerData(TokensData[PairSpec]):
    """From questions on texts to windows of tokens."""

    Spec = PairSpec

    def sample(self, raw: Path) -> None:
        """Writes simulated questions."""
        write_sample(raw, self.config.features.sample_texts, self.config.seed)

    def check(self, data: Path) -> None:
        """Reads a file that is read quickly."""
        if data.is_file() and data.suffix.lower() != ".json":
            raise BadData("is no .json file as of SQuAD", file=data)

    def fitted(self, classes: list[str], counts: list[int], facts: Sequence[Any]) -> PairSpec:
        """The tokenizer, trained on the training questions and texts or a checkpoint's."""
        tokens = fit_tokens([text for text, _ in facts], self.config.features, self.checkpoint())
        named = {"classes": ["begins", "ends"], "counts": []}
        spec = PairSpec(limits=self.limits(), end=[0], may_lack=False, **named, **tokens)
        encoding = spec.encoded("a")
        special = np.array(encoding.special_tokens_mask)
        last = int(np.flatnonzero(special == 0).max(initial=0))
        # Of a tokenizer that puts nothing behind a text, a token that no text holds.
        end = encoding.ids[last + 1 :] or [spec.hidden]
        lacks = any(lacking for _, lacking in facts)
        return spec.model_copy(update={"end": end, "may_lack": lacks})

    def look(self, data: bytes) -> Look:
        """Questions are the same that ask the same of the same text."""
        stored = stored_of(as_text(data, self.limits()))
        identity = f"{stored['question'].strip()}\n{stored['context']}"
        return Look(hashlib.sha256(identity.encode()).hexdigest())

    def features(self, raw: Path, out: Path) -> dict[str, Any]:
        """Reads the questions in `raw`; writes splits and assets to `out`. Returns the card's
        summary.

        Raises:
            BadData: with the file and the entry in it.
            UsageError: the settings are not those of the earlier model.
        """
        self.refuse_settings(*LABELLING)
        asked = read_squad(raw)
        examples = _examples(asked)
        limits = self.limits()
        looks = each(examples, lambda example: self.look(read_bytes(example.file, limits)))
        unique = without_copies(examples, [look.digest for look in looks], QUESTIONS)
        parts = self._divided(unique.examples, raw)
        base = base_of(out)
        facts = []
        for example in parts["train"]:
            stored = stored_of(example.file.read())
            facts.append((f"{stored['question']} {stored['context']}", not stored["answers"]))
        if base is not None:
            spec = self._earlier(base)
        else:
            spec = self.fitted([], [], facts)
        if not spec.may_lack and any(lacking for _, lacking in facts):
            spec = spec.model_copy(update={"may_lack": True})
        longest = 1
        windows = {}
        for split in SPLITS:
            found = _write_split(out, split, parts[split], spec)
            windows[split] = found["windows"]
            if split == "train":
                longest = found["longest"]
        spec.save(Path(out) / "assets")
        Choice(most_tokens=2 * longest).save(Path(out) / "assets")
        many = sum(windows.values()) - sum(map(len, parts.values()))
        if many:
            more = f", {many:,} more windows of long texts"
        else:
            more = ""
        return self.said_of(parts, spec, more, unique.dropped, [*asked.notes, *unique.notes])

    def body(self, data: bytes) -> dict[str, Any]:
        """A question as a request."""
        stored = stored_of(data)
        return {"question": stored["question"], "context": stored["context"]}

    def _divided(self, examples: list[Example], raw: Path) -> Parts:
        """By split, the questions of an article or a text in one."""
        splits = {example.file.name: split_of(example.file) for example in examples}
        if len(splits) > 1 and all(splits.values()):
            # Whoever named the splits knows which texts may be in two.
            examples = [
                replace(example, split=splits[example.file.name], group=None)
                for example in examples
            ]
        plain = [replace(example, label=QUESTIONS.one) for example in examples]
        return self.divided(plain, raw)


def _examples(asked: Asked) -> list[Example]:
    articles = {(question.file.name, question.article) for question in asked.questions}
    by_article = len(articles) >= MANY_ARTICLES
    what = "article" if by_article else "text"
    asked.notes.append(f"The questions on one {what} are in one split, where none is named.")
    found = []
    for question in asked.questions:
        stored = {
            "question": question.question,
            "context": question.context,
            "answers": question.answers,
        }
        if by_article:
            group = question.article
        else:
            group = hashlib.sha256(question.context.encode()).hexdigest()
        found.append(
            Example(
                name=f"{question.file.name} {question.place}",
                file=Content(question.file, json.dumps(stored, ensure_ascii=False).encode()),
                label=json.dumps(sorted({text for text, _ in question.answers})),
                group=group,
                table=question.file.path,
                columns=(question.place, "answers"),
            )
        )
    return found


def _write_split(out: Path, split: str, part: list[Example], spec: PairSpec) -> dict[str, int]:
    """Returns how many windows, and the tokens of the longest answer."""
    rows: list[np.ndarray] = []
    labels: list[np.ndarray] = []
    texts: list[str] = []
    longest = 1
    for example in part:
        stored = stored_of(example.file.read())
        # Questions on one text are alike, whoever named the splits.
        texts.append(example.group or stored["context"])
        pair = spec.pair(stored["question"], stored["context"])
        span = _tokens_of(pair, stored["answers"])
        if span is not None:
            longest = max(longest, span[1] - span[0] + 1)
        rows.append(pair.rows)
        labels.append(_places(pair, span, spec))
    tokens = np.concatenate(rows)
    store.save_arrays(out, split, tokens.astype(np.int32, copy=False))
    store.save_labels(out, split, np.concatenate(labels))
    save_groups_of(out, split, texts)
    names = [example.name for example in part]
    store.save_files(out, split, names, [example.file for example in part])
    return {"windows": len(tokens), "longest": longest}


def _tokens_of(pair: Pair, answers: list[tuple[str, int]]) -> tuple[int, int] | None:
    """The first and last token of the first accepted answer."""
    if not answers:
        return None
    text, start = answers[0]
    touching = (pair.offsets[:, 1] > start) & (pair.offsets[:, 0] < start + len(text))
    places = np.flatnonzero(touching)
    if len(places):
        return (int(places[0]), int(places[-1]))
    return None


def _places(pair: Pair, span: tuple[int, int] | None, spec: PairSpec) -> np.ndarray:
    """Where the span stands in each window that holds all of it, (windows, 2); else 0, 0."""
    found = np.zeros((len(pair.rows), 2), np.int64)
    if span is None:
        return found
    # How many tokens of the text a window holds.
    size = spec.length - pair.first - len(spec.end)
    first, last = span[0] - pair.begins, span[1] - pair.begins
    whole = (first >= 0) & (last < size)
    found[whole] = np.stack([first, last], axis=1)[whole] + pair.first
    return found
