"""Where the parts of a trained model to start from lie: a folder in transformers' layout, one that
this family trained, or a hub name. Without code that trains or loads it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Self, get_args

from modelyard.families.language.config import Kind, LanguageModel
from modelyard.families.language.template import ChatTemplate
from modelyard.kit.checkpoints import checkpoint_folder, checkpoint_shape


@dataclass(frozen=True)
class CheckpointParts:
    """Where a checkpoint's parts lie."""

    folder: Path
    config: Path
    tokenizer: Path
    own: bool
    """Whether this family trained it."""

    @classmethod
    def find(cls, settings: LanguageModel) -> Self:
        """The checkpoint that `model.checkpoint` names.

        Raises:
            UsageError: nothing there, another kind of model, or a file is missing.
            Unavailable: it is not on this machine and may not, or cannot, be fetched.
        """
        assert settings.checkpoint is not None
        folder = checkpoint_folder(settings.checkpoint, hub=settings.hub)
        own = (folder / "assets" / "decoder.json").is_file()
        inside = folder / "assets" if own else folder
        found = cls(folder, inside / "config.json", inside / "tokenizer.json", own)
        checkpoint_shape(folder, (found.config, found.tokenizer), get_args(Kind))
        return found

    def chat_template(self) -> ChatTemplate | None:
        """How its dialogues are written; None where it says nothing of them.

        Raises:
            UsageError: tokenizer_config.json cannot be read.
        """
        if not self.own:
            return ChatTemplate.of_checkpoint(self.folder)
        if (self.tokenizer.parent / ChatTemplate.FILE).is_file():
            return ChatTemplate.load(self.tokenizer.parent)
        return None

    @classmethod
    def earlier(cls, base: Path) -> Self:
        """The model that a run starts from."""
        return cls(
            base, base / "assets" / "config.json", base / "assets" / "tokenizer.json", own=True
        )
