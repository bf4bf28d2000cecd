"""What the shared loop needs of one network: its rows, its loss, and what a teacher says."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch.nn import functional

from modelyard.compress.teaching import LOGITS, Teacher, soft_targets
from modelyard.errors import UsageError
from modelyard.families.language.config import LanguageConfig
from modelyard.families.language.data import read_split
from modelyard.families.language.decoder import MAIN, DecoderSpec, prefill
from modelyard.families.language.documents import Document
from modelyard.families.language.formats import chat_format
from modelyard.families.language.model import Batch, CausalLanguageModel, loss
from modelyard.families.language.pack import IGNORED, PADDING, Packed, pack
from modelyard.families.language.prefix import load_prefix
from modelyard.families.language.template import ChatTemplate
from modelyard.families.language.tokens import Codec
from modelyard.family import Split, Trainable
from modelyard.packages.package import read_info
from modelyard.packages.variant import BASE
from modelyard.runtimes.opening import open_variant
from modelyard.settings.compress import CompressSettings
from modelyard.training.batches import Batches


@dataclass
class Setup(Trainable):
    """One network on its way through the shared loop."""

    config: LanguageConfig
    build: Callable[[], CausalLanguageModel]
    tokenizer: Path
    start: int = 0
    end: int = 0
    context: int = 0
    continues: bool = True
    global_tokens: int = 0
    """First tokens of a document, which all its pieces begin with."""

    def __post_init__(self) -> None:
        self._packed: dict[Split, Packed] = {}
        self.context = self.context or self.config.model.context

    def model(self, assets: Path) -> torch.nn.Module:
        """The network to train."""
        return self.build()

    def loss(self, model: torch.nn.Module, batch: Batch) -> torch.Tensor:
        """Mean cross-entropy of a batch."""
        return loss(model, batch)

    def weight(self, model: torch.nn.Module, batch: Batch) -> torch.Tensor:
        """Tokens that have a target."""
        return (batch["targets"] != IGNORED).sum()

    def batches(self, features: Path, split: Split, epoch: int) -> Batches:
        """Packed rows; those of the training split in an order of their own each epoch."""
        packed = self.rows(features, split)
        order = np.arange(len(packed.input_ids))
        if split == "train":
            order = np.random.default_rng([self.config.seed, epoch]).permutation(order)
        return Batches.of(vars(packed), self.config.training.batch_size, order)

    def teacher(self, folder: Path, features: Path, settings: CompressSettings) -> Teacher:
        """Logits of another model with the same tokenizer, which writes dialogues alike."""
        if read_split(features, "train")[0].messages is not None:
            check_written_alike(folder / "assets", features / "assets")
        return decoder_teacher(folder, self.tokenizer, self.context)

    def taught_loss(
        self, model: torch.nn.Module, batch: Batch, settings: CompressSettings
    ) -> torch.Tensor:
        """The tokens' cross-entropy and the teacher's, by their shares.

        Raises:
            UsageError: features are to be compared.
        """
        if settings.feature_weight:
            raise UsageError(
                "compress.feature_weight: decoders give no maps. Type: --set compress.feature_weight=0"
            )
        logits = model(batch["input_ids"], batch["positions"], batch["segments"])["logits"]
        said = batch["targets"] != IGNORED
        labels = functional.cross_entropy(logits[said], batch["targets"][said])
        # Checkpoints of one tokenizer pad its vocabulary to other widths.
        width = min(logits.shape[-1], batch[LOGITS].shape[-1])
        ours, theirs = logits[said][:, :width], batch[LOGITS][said][:, :width]
        teacher = soft_targets(ours, theirs, settings.temperature)
        return (1 - settings.teacher_share) * labels + settings.teacher_share * teacher

    def rows(self, features: Path, split: Split) -> Packed:
        """All rows of a split, packed once."""
        if split not in self._packed:
            ids, learned = self._tokens(features, read_split(features, split))
            self._packed[split] = pack(
                ids, self.context, self.start, self.end, learned, self.global_tokens
            )
        return self._packed[split]

    def _tokens(
        self, features: Path, documents: list[Document]
    ) -> tuple[list[list[int]], list[list[bool]] | None]:
        """Tokens of each document, and of dialogues which of them are learnt."""
        codec = Codec(self.tokenizer)
        if documents[0].messages is None:
            return codec.encode_all([document.text for document in documents]), None
        chat = chat_format(features / "assets", codec, self.start, self.end)
        ids: list[list[int]] = []
        learned: list[list[bool]] = []
        for document in documents:
            tokens, said = chat.tokens_of(document.dialogue or [])
            # The last message's end is the document's, which packing adds.
            ids.append(tokens[:-1])
            learned.append(said)
        return ids, learned


def check_written_alike(teacher: Path, ours: Path) -> None:
    """Raises UsageError: a teacher of dialogues, by its assets, has learned to read other marks."""
    if not DecoderSpec.load(teacher).chats:
        return
    written = []
    for assets in (teacher, ours):
        there = (assets / ChatTemplate.FILE).is_file()
        written.append(ChatTemplate.load(assets) if there else None)
    if written[0] != written[1]:
        raise UsageError(
            "compress.teacher writes dialogues by another chat template than this run: build both with the "
            "same model.checkpoint and features.chat_template"
        )


def decoder_teacher(folder: Path, tokenizer: Path, context: int) -> Teacher:
    """What the teacher in `folder` answers to packed rows: each piece of a document by itself, as
    the network that learns sees it.

    Raises:
        UsageError: it reads other tokens, or not as many.
    """
    spec = DecoderSpec.load(folder / "assets")
    if (folder / "assets" / "tokenizer.json").read_bytes() != tokenizer.read_bytes():
        raise UsageError(
            "compress.teacher has another tokenizer than this run: build both from the same data, with the same "
            "section features"
        )
    if spec.context < context:
        raise UsageError(
            f"compress.teacher reads {spec.context} tokens at most. Type: --set model.context={spec.context}"
        )
    (precise,) = (variant for variant in read_info(folder).variants if variant.name == BASE)
    prefix = load_prefix(folder / "assets", spec.main)
    runtime = open_variant(folder / "graphs", BASE, precise.graphs)

    def answers(batch: Batch) -> Batch:
        tokens, segments = batch["input_ids"].numpy(), batch["segments"].numpy()
        positions = batch["positions"].numpy()
        logits = np.zeros((*tokens.shape, spec.vocabulary), np.float32)
        for row in range(len(tokens)):
            numbers = np.setdiff1d(segments[row], [PADDING])
            places = [np.flatnonzero(segments[row] == number) for number in numbers]
            pieces = [tokens[row, place].tolist() for place in places]
            own = [positions[row, place] for place in places]
            _, said = prefill(runtime, spec.main, MAIN, pieces, prefix, own)
            for place, of_piece in zip(places, said, strict=True):
                logits[row, place] = of_piece[-len(place) :]
        return {"logits": torch.from_numpy(logits)}

    return answers
