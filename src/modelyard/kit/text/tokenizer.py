"""Tokenizers of the `tokenizers` library, as training and serving open them."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from modelyard.errors import BrokenArtifact, UsageError

if TYPE_CHECKING:
    from tokenizers import Tokenizer

PAD, UNKNOWN, START, END, HIDDEN = "[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"
"""Special tokens of a tokenizer that is trained here, in the order of their numbers."""


def open_tokenizer(content: str, named: str) -> Tokenizer:
    """The tokenizer that a `tokenizer.json` holds; `named` says where it is from.

    It neither pads nor cuts, and no text turns into a special token: `[SEP]` typed by a person is
    five characters.

    Raises:
        BrokenArtifact: it is no tokenizer.
    """
    from tokenizers import Tokenizer

    try:
        tokenizer: Tokenizer = Tokenizer.from_str(content)
    except Exception as error:  # the library raises Exception itself
        problem = f"{named} is not a tokenizer of the tokenizers library: {error}"
        raise BrokenArtifact(problem) from None
    tokenizer.no_padding()
    tokenizer.no_truncation()
    tokenizer.encode_special_tokens = True
    return tokenizer


def trained_tokenizer(texts: Iterable[str], most: int, *, lower: bool) -> str:
    """Pieces of words by byte-pair encoding (Sennrich et al. 2016), at most so many tokens, as
    JSON. With `lower` capitals are read as small letters.

    The same texts give the same tokens, which the library's WordPiece does not promise.
    """
    from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors, trainers

    tokenizer = Tokenizer(models.BPE(unk_token=UNKNOWN))
    # Accents stay: they tell words of many languages apart.
    tokenizer.normalizer = normalizers.BertNormalizer(lowercase=lower, strip_accents=False)
    # A mark at the beginning of a word tells its first piece from the others.
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.BertPreTokenizer(), pre_tokenizers.Metaspace(prepend_scheme="always")]
    )
    special = [PAD, UNKNOWN, START, END, HIDDEN]
    trainer = trainers.BpeTrainer(
        vocab_size=most, special_tokens=special, min_frequency=2, show_progress=False
    )
    tokenizer.train_from_iterator(texts, trainer)
    tokenizer.post_processor = processors.TemplateProcessing(
        single=f"{START} $A {END}",
        special_tokens=[(name, special.index(name)) for name in (START, END)],
    )
    return str(tokenizer.to_str())


def byte_level(texts: Iterable[str], most: int, special: list[str], *, blank: bool) -> Tokenizer:
    """Byte-level byte-pair encoding (Sennrich et al. 2016; Radford et al. 2019) of at most so many
    tokens: it writes every text, and gives it back as it was.

    Args:
        special: tokens that stand for no text, in the order of their numbers.
        blank: whether a text is read with a blank in front.
    """
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=blank)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=most,
        special_tokens=special,
        min_frequency=2,
        show_progress=False,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
    )
    tokenizer.train_from_iterator(texts, trainer)
    return tokenizer


def special_tokens(tokenizer: str) -> dict[str, Any]:
    """The numbers of special tokens that `TokenSpec` names.

    Raises:
        UsageError: the tokenizer does not pad.
    """
    added = {token["content"]: token["id"] for token in json.loads(tokenizer)["added_tokens"]}
    # As BERT spells them, or as RoBERTa and T5 do.
    pad = added.get(PAD, added.get("<pad>"))
    unknown = added.get(UNKNOWN, added.get("<unk>"))
    hidden = added.get(HIDDEN, added.get("<mask>"))
    if pad is None:
        raise UsageError(f"the checkpoint's tokenizer.json has no {PAD} or <pad> token")
    if hidden is None:
        hidden = pad if unknown is None else unknown
    special = sorted(added.values())
    return {"pad": pad, "unknown": unknown, "hidden": hidden, "special": special}
