"""From raw text to documents by split, a tokenizer, and request bodies."""

from __future__ import annotations

import json
import math
import shutil
import sysconfig
from pathlib import Path
from typing import Any

import numpy as np

from modelyard.errors import BadData
from modelyard.families.language.chat import ASSISTANT
from modelyard.families.language.config import LanguageConfig
from modelyard.families.language.documents import Document, in_parts, read_documents
from modelyard.families.language.earlier import keep_tokenizer
from modelyard.families.language.parts import CheckpointParts
from modelyard.families.language.tokens import Codec, train_tokenizer
from modelyard.family import Data, Split
from modelyard.kit.splits import keys_of
from modelyard.store.base import base_of

SPLITS: tuple[Split, ...] = ("train", "validation", "test")
LEAST = 3
"""Documents, one for each split."""
PROMPTS = 96
"""Request bodies of a split, where it has text enough."""
SHORTEST, LONGEST = 40, 240
"""Characters of a prompt that is cut from a document."""
ANSWER_TOKENS = 24
"""Length of the answers that the drift reference holds."""


class LanguageData(Data[LanguageConfig]):
    """From files of text to documents and a tokenizer."""

    def sample(self, raw: Path) -> None:
        """Writes modules of Python's standard library."""
        write_sample(raw, self.config.features.sample_bytes)

    def features(self, raw: Path, out: Path) -> dict[str, Any]:
        """Reads the documents of `raw`; writes `<split>.jsonl` and `assets/tokenizer.json`.

        Raises:
            BadData: with file and row; or fewer than three different documents.
            UsageError: the settings are not those of the earlier model.
        """
        config, settings = self.config, self.config.features
        if (base := base_of(out)) is not None:
            keep_tokenizer(base, config.model, out)
        documents, dropped = read_documents(raw, settings.text_field, settings.separator)
        cut = []
        dialogues = any(document.messages is not None for document in documents)
        if len(documents) < LEAST and settings.separator is None and not dialogues:
            whole, documents = len(documents), in_parts(documents)
            cut = [_cut_note(whole, len(documents))]
        if len(documents) < LEAST:
            hint = (
                "Give more text: one or two documents are cut at the ends of lines "
                "into parts of 200 characters or more"
            )
            raise BadData(
                f"{len(documents)} different documents; at least {LEAST} are needed",
                file=raw,
                hint=hint,
            )
        splits = divide(
            documents, settings.validation_share, settings.test_share, config.data.split_seed
        )
        for split, members in splits.items():
            write_split(out, split, members)
        tokenizer, whose = out / "assets" / "tokenizer.json", "is the earlier model's"
        if base is None and config.model.checkpoint is not None:
            shutil.copyfile(CheckpointParts.find(config.model).tokenizer, tokenizer)
            whose = "is the checkpoint's"
        elif base is None:
            texts = [document.text for document in splits["train"]]
            train_tokenizer(texts, settings.vocabulary, tokenizer)
            whose = "has seen the training split only"
        return _summary(splits, dropped, cut, Codec(tokenizer), whose)

    def requests(
        self, features: Path, split: Split, limit: int | None = None
    ) -> list[dict[str, Any]]:
        """Passages of the split's documents as prompts of 40 to 240 characters, at most PROMPTS
        of them; of dialogues what stands before the assistant's last words."""
        documents = read_split(features, split)
        if documents[0].messages is not None:
            return [_asked(document) for document in documents[:PROMPTS][:limit]]
        rng = np.random.default_rng(SPLITS.index(split))
        prompts: dict[str, None] = {}
        for number in range(4 * PROMPTS):
            if len(prompts) == PROMPTS:
                break
            prompts.setdefault(_passage(documents[number % len(documents)].text, rng))
        body = {"max_new_tokens": ANSWER_TOKENS, "truncate": True}
        return [{"prompt": prompt, **body} for prompt in list(prompts)[:limit]]


def _asked(document: Document) -> dict[str, Any]:
    """A dialogue up to the assistant's last message, as body of a request."""
    messages = document.messages or []
    last = max(at for at, message in enumerate(messages) if message["role"] == ASSISTANT)
    return {"messages": messages[:last], "max_new_tokens": ANSWER_TOKENS, "truncate": True}


def _cut_note(whole: int, parts: int) -> str:
    if whole == 1:
        what = "1 document was"
    else:
        what = f"{whole} documents were"
    return (
        f"{what} cut into {parts} parts at the ends of lines: neighbouring parts may stand in different splits. "
        "features.separator cuts where documents end."
    )


def divide(
    documents: list[Document], validation_share: float, test_share: float, seed: int
) -> dict[Split, list[Document]]:
    """Whole documents, as if drawn, by their text: test and validation get their shares of the
    characters, at least a document each.

    No split is left empty; a document that would overfill a share goes to training.
    """
    order = np.argsort(keys_of((one.text for one in documents), seed), kind="stable")
    shuffled = [documents[index] for index in order]
    total = sum(len(document.text) for document in documents)
    splits: dict[Split, list[Document]] = {"train": [], "validation": [], "test": []}
    wanted = {"test": test_share * total, "validation": validation_share * total}
    filled = dict.fromkeys(wanted, 0)
    for held in wanted:
        smallest = min(shuffled, key=lambda document: abs(len(document.text) - wanted[held]))
        first = next((one for one in shuffled if len(one.text) <= wanted[held]), smallest)
        shuffled.remove(first)
        splits[held].append(first)  # type: ignore[index]
        filled[held] += len(first.text)
    for number, document in enumerate(shuffled):
        last = not splits["train"] and number == len(shuffled) - 1
        fits = [held for held in wanted if filled[held] + len(document.text) <= wanted[held]]
        split = "train" if last or not fits else fits[0]
        splits[split].append(document)  # type: ignore[index]
        filled[split] = filled.get(split, 0) + len(document.text)
    return splits


def write_split(folder: Path, split: str, documents: list[Document]) -> None:
    """One JSON object a line: `text`, `source`."""
    lines = (json.dumps(vars(document), ensure_ascii=False) for document in documents)
    (Path(folder) / f"{split}.jsonl").write_text(
        "".join(f"{line}\n" for line in lines), encoding="utf-8"
    )


def read_split(folder: Path, split: str) -> list[Document]:
    """The documents of a split."""
    with (Path(folder) / f"{split}.jsonl").open(encoding="utf-8") as lines:
        return [Document(**json.loads(line)) for line in lines]


def _passage(text: str, rng: np.random.Generator) -> str:
    """From the start of a line, lengths spread evenly over their logarithms; half of a text that
    is shorter."""
    length = int(math.exp(rng.uniform(math.log(SHORTEST), math.log(LONGEST))))
    if len(text) <= length:
        return text[: max(1, len(text) // 2)]
    start = int(rng.integers(0, len(text) - length))
    line = text.rfind("\n", 0, start) + 1
    return text[line : line + length]


def _summary(
    splits: dict[Split, list[Document]],
    dropped: dict[str, int],
    cut: list[str],
    codec: Codec,
    whose: str,
) -> dict[str, Any]:
    rows: dict[str, int] = {}
    table: list[list[Any]] = []
    for split, documents in splits.items():
        characters = sum(len(document.text) for document in documents)
        tokens = sum(
            len(ids) for ids in codec.encode_all([document.text for document in documents])
        )
        rows[split] = len(documents)
        table.append(
            [split, len(documents), characters, tokens, round(characters / max(1, tokens), 2)]
        )
    columns = ["split", "documents", "characters", "tokens", "characters a token"]
    notes = [
        *(cut or ["Whole documents are divided, so no document has parts in two splits."]),
        f"{dropped.get('identical', 0)} identical documents were left out. Near-duplicates are not found.",
        f"The tokenizer ({codec.size} tokens) {whose}.",
    ]
    characters = sum(row[2] for row in table)
    return {
        "headline": f"{sum(rows.values()):,} documents, {characters:,} characters, {codec.size:,} tokens"
        + ("; parts of one text" if cut else ""),
        "rows": rows,
        "dropped": dropped,
        "unit": "documents",
        "tables": [{"title": "Splits", "columns": columns, "rows": table}],
        "notes": notes,
    }


def write_sample(raw: Path, most: int) -> None:
    """Source text of Python's standard library: modules of 1 to 16 kB in a fixed, mixed order,
    `most` bytes in all.

    Tables of numbers are left out: one would be a tenth of a small test split.
    """
    library = Path(sysconfig.get_path("stdlib"))
    total = 0
    for file in sorted(library.glob("*.py"), key=lambda one: (len(one.stem) % 5, one.stem)):
        content = file.read_bytes()
        digits = sum(48 <= byte < 58 for byte in content)
        if (
            not 1_000 <= len(content) <= 16_000
            or not content.isascii()
            or digits > len(content) // 10
        ):
            continue
        if total + len(content) > most:
            continue
        (Path(raw) / file.name).write_bytes(content)
        total += len(content)
