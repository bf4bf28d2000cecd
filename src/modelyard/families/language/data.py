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
from modelyard.families.language.chat import ASSISTANT, whole_text
from modelyard.families.language.config import LanguageConfig
from modelyard.families.language.documents import Document, in_parts, read_documents
from modelyard.families.language.earlier import keep_tokenizer
from modelyard.families.language.formats import TemplateFormat
from modelyard.families.language.parts import CheckpointParts
from modelyard.families.language.prompt import LONGEST as LONGEST_PROMPT
from modelyard.families.language.prompt import MOST_MESSAGES
from modelyard.families.language.template import OFF
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
        base = base_of(out)
        # First: what does not fit the earlier model is said before the data is read.
        if base is not None:
            keep_tokenizer(base, config.model, out)
        documents, dropped = read_documents(raw, settings.text_field, settings.separator)
        cut = []
        dialogues = any(document.messages is not None for document in documents)
        # A book in one file: without cuts there would be nothing to judge on.
        is_cut = len(documents) < LEAST and settings.separator is None and not dialogues
        if is_cut:
            whole, documents = len(documents), in_parts(documents)
            cut = [_cut_note(whole, len(documents))]
        if len(documents) < LEAST:
            problem = f"{len(documents)} different documents; at least {LEAST} are needed"
            hint = (
                "Give more text: one or two documents are cut at the ends of lines "
                "into parts of 200 characters or more"
            )
            raise BadData(problem, file=raw, hint=hint)
        splits = divide(
            documents, settings.validation_share, settings.test_share, config.data.split_seed
        )
        for split, members in splits.items():
            write_split(out, split, members)
        tokenizer, whose = out / "assets" / "tokenizer.json", "is the earlier model's"
        start = None
        if base is not None:
            start = CheckpointParts.earlier(base)
        elif config.model.checkpoint is not None:
            start, whose = CheckpointParts.find(config.model), "is the checkpoint's"
            shutil.copyfile(start.tokenizer, tokenizer)
        else:
            texts = [document.text for document in splits["train"]]
            train_tokenizer(texts, settings.vocabulary, tokenizer)
            whose = "has seen the training split only"
        if dialogues and start is not None and settings.chat_template:
            cut += _keep_template(start, documents, raw, out / "assets")
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
        # A short text gives the same passage again and again: not for ever.
        for number in range(4 * PROMPTS):
            if len(prompts) == PROMPTS:
                break
            prompts.setdefault(_passage(documents[number % len(documents)].text, rng))
        body = {"max_new_tokens": ANSWER_TOKENS, "truncate": True}
        return [{"prompt": prompt, **body} for prompt in list(prompts)[:limit]]


def _asked(document: Document) -> dict[str, Any]:
    """A dialogue up to the assistant's last message, as body of a request: its newest messages, as
    many as a request may have; an empty prompt where the assistant speaks first."""
    messages = document.dialogue or []
    body = {"max_new_tokens": ANSWER_TOKENS, "truncate": True}
    last = len(messages) - 1
    while messages[last].role != ASSISTANT:
        last -= 1
    asked = messages[max(0, last - MOST_MESSAGES) : last]
    size = len(whole_text(asked))
    while size > LONGEST_PROMPT:
        size -= len(whole_text(asked[:1])) + len("\n")
        asked = asked[1:]
    # What is left out ends before a question: templates of strict turns refuse what begins otherwise.
    while len(asked) < last and asked and asked[0].role == ASSISTANT:
        asked = asked[1:]
    if not asked:
        return {"prompt": "", **body}
    return {"messages": [message.model_dump() for message in asked], **body}


def _keep_template(
    start: CheckpointParts, documents: list[Document], raw: Path, assets: Path
) -> list[str]:
    """Writes the chat template of the model that training starts from, where it has one; a sentence
    for the card.

    Raises:
        BadData: the template refuses a dialogue.
    """
    template = start.chat_template()
    if template is None:
        return []
    template.save(assets)
    # Where the start token stands in a dialogue does not matter here.
    chat = TemplateFormat(template, assets / "tokenizer.json", start=0)
    for document in documents:
        try:
            chat.tokens_of(document.dialogue or [])
        except BadData as error:
            problem = f"{document.source}: {error.problem}"
            hint = f"Fix the dialogue, or type: {OFF}"
            raise BadData(problem, file=raw, hint=hint) from None
    return ["Dialogues are written as the checkpoint's chat template says."]


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
    wanted: dict[Split, float] = {
        "test": test_share * total,
        "validation": validation_share * total,
    }
    filled = dict.fromkeys(wanted, 0)
    # One document each, before any of them is full.
    for held, share in wanted.items():
        first = _first_within(shuffled, share)
        shuffled.remove(first)
        splits[held].append(first)
        filled[held] += len(first.text)
    for number, document in enumerate(shuffled):
        size = len(document.text)
        split: Split = "train"
        # Training gets the last document where it has none yet.
        if splits["train"] or number < len(shuffled) - 1:
            for held, share in wanted.items():
                if filled[held] + size <= share:
                    split = held
                    filled[held] += size
                    break
        splits[split].append(document)
    return splits


def _first_within(documents: list[Document], share: float) -> Document:
    """The first of at most `share` characters; where there is none, the one nearest to it."""
    for document in documents:
        if len(document.text) <= share:
            return document
    return min(documents, key=lambda document: abs(len(document.text) - share))


def write_split(folder: Path, split: str, documents: list[Document]) -> None:
    """One JSON object a line: `text`, `source`, `messages`."""
    with (Path(folder) / f"{split}.jsonl").open("w", encoding="utf-8") as stream:
        for document in documents:
            stream.write(json.dumps(vars(document), ensure_ascii=False) + "\n")


def read_split(folder: Path, split: str) -> list[Document]:
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
        texts = [document.text for document in documents]
        characters = sum(map(len, texts))
        tokens = sum(map(len, codec.encode_all(texts)))
        rows[split] = len(documents)
        a_token = round(characters / max(1, tokens), 2)
        table.append([split, len(documents), characters, tokens, a_token])
    columns = ["split", "documents", "characters", "tokens", "characters a token"]
    notes = [
        *(cut or ["Whole documents are divided, so no document has parts in two splits."]),
        f"{dropped.get('identical', 0)} identical documents were left out. Near-duplicates are not found.",
        f"The tokenizer ({codec.size} tokens) {whose}.",
    ]
    characters = sum(row[2] for row in table)
    # The data set holds dialogues only, or none.
    unit = "documents" if splits["train"][0].messages is None else "dialogues"
    headline = f"{sum(rows.values()):,} {unit}, {characters:,} characters, {codec.size:,} tokens"
    if cut:
        headline += "; parts of one text"
    return {
        "headline": headline,
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
    # The length of a name mixes the alphabet, the same everywhere.
    for file in sorted(library.glob("*.py"), key=lambda one: (len(one.stem) % 5, one.stem)):
        content = file.read_bytes()
        if total + len(content) > most or not _is_prose_enough(content):
            continue
        (Path(raw) / file.name).write_bytes(content)
        total += len(content)


def _is_prose_enough(content: bytes) -> bool:
    # Tables of codes are no text to learn from.
    digits = sum(48 <= byte < 58 for byte in content)
    few = digits <= len(content) // 10
    fits = 1_000 <= len(content) <= 16_000
    return fits and few and content.isascii()
