"""Trained networks of other people: a folder in transformers' layout, or a name on the Hugging Face
hub."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from modelyard.errors import Unavailable, UsageError, choices
from modelyard.store.base import base_of

if TYPE_CHECKING:
    from modelyard.training.loop import Trainer

FILES = ["config.json", "*.safetensors", "model.safetensors.index.json", "tokenizer.json"]
"""What a checkpoint must hold."""
CHAT = ["tokenizer_config.json", "chat_template.jinja"]
"""What it may say of dialogues. With FILES all that is fetched from the hub: no pickled weights, and
no code but the template, which runs in Jinja's sandbox."""


@dataclass(frozen=True)
class FoundCheckpoint:
    """A checkpoint on this machine."""

    folder: Path
    shape: dict[str, Any]
    """Its architecture: what config.json holds."""

    @property
    def tokenizer(self) -> str:
        """Its tokenizer, as JSON."""
        return (self.folder / "tokenizer.json").read_text(encoding="utf-8")

    @property
    def longest(self) -> int:
        """Tokens that it reads at most."""
        longest = int(self.shape["max_position_embeddings"])
        if self.shape["model_type"] == "roberta":
            # It counts places from the number behind its pad token on, which is 1.
            return longest - 2
        return longest


def find_checkpoint(name: str, kinds: Sequence[str], *, hub: bool) -> FoundCheckpoint:
    """The checkpoint that `model.checkpoint` names, with a tokenizer.

    Raises:
        UsageError: it is none, a file is missing, or its `model_type` is none of `kinds`.
        Unavailable: it is not on this machine and may not, or cannot, be fetched.
    """
    folder = checkpoint_folder(name, hub=hub)
    files = (folder / "config.json", folder / "tokenizer.json")
    return FoundCheckpoint(folder, checkpoint_shape(folder, files, kinds))


def paced(
    trainer: Trainer, checkpoint: str | None, share: float, features: Path
) -> tuple[Trainer, list[str]]:
    """The trainer with `share` of its learning rate, where training starts from `checkpoint` and not
    from an earlier model; and sentences for the card."""
    if checkpoint is None or base_of(features) is not None:
        return trainer, []
    rate = trainer.settings.learning_rate * share
    slower = trainer.settings.model_copy(update={"learning_rate": rate})
    said = f"The checkpoint learns with a rate of {rate:.2g} (model.checkpoint_rate)."
    return replace(trainer, settings=slower), [said]


def checkpoint_folder(name: str, *, hub: bool) -> Path:
    """The folder of `model.checkpoint`: itself, or what the local cache of the hub holds of it;
    with `hub` it is downloaded where it is not there.

    Raises:
        UsageError: it is neither a folder nor a name on the hub.
        Unavailable: it is not on this machine and may not, or cannot, be fetched.
    """
    folder = Path(name).expanduser()
    if folder.is_dir():
        return folder
    return _fetched(name, hub)


def checkpoint_shape(folder: Path, files: Sequence[Path], kinds: Sequence[str]) -> dict[str, Any]:
    """What the first of a checkpoint's `files`, its config, holds: its architecture.

    Raises:
        UsageError: a file is missing, or its `model_type` is none of `kinds`.
    """
    for file in files:
        if not file.is_file():
            raise UsageError(
                f"checkpoint {folder} has no {file.name}: it must hold {', '.join(FILES)}"
            )
    if not any(folder.glob("*.safetensors")):
        raise UsageError(f"checkpoint {folder} has no *.safetensors: pickled weights are not read")
    shape = _json_object(folder, files[0])
    kind = str(shape.get("model_type"))
    if kind not in kinds:
        raise UsageError(f"checkpoint {folder}: {choices('model_type', kind, kinds)}")
    return shape


def body_shape(folder: Path, kind: str) -> dict[str, Any]:
    """What a checkpoint's config.json holds without what belongs to its classes: the data's take
    their place.

    Raises:
        UsageError: a file is missing, or its `model_type` is another one.
    """
    shape = checkpoint_shape(folder, [folder / "config.json"], [kind])
    others = ("id2label", "label2id", "num_labels", "architectures", "dtype")
    return {name: value for name, value in shape.items() if name not in others}


def _json_object(folder: Path, file: Path) -> dict[str, Any]:
    try:
        content = json.loads(file.read_text(encoding="utf-8"))
    except ValueError as error:
        raise UsageError(f"checkpoint {folder}: {file.name} is not JSON: {error}") from None
    if not isinstance(content, dict):
        raise UsageError(f"checkpoint {folder}: {file.name} holds no JSON object")
    return content


def _fetched(name: str, hub: bool) -> Path:
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HFValidationError, LocalEntryNotFoundError

    try:
        return Path(snapshot_download(name, allow_patterns=FILES + CHAT, local_files_only=not hub))
    except HFValidationError:
        raise UsageError(
            f"model.checkpoint = {name!r} is neither a folder nor a name on the hub"
        ) from None
    except LocalEntryNotFoundError:
        if hub:
            hint = "the hub does not answer"
        else:
            hint = "Type: --set model.hub=true to download it"
        raise Unavailable(
            f"model.checkpoint = {name!r} is not a folder, and not downloaded yet. {hint}"
        ) from None
    except OSError as error:
        raise Unavailable(
            f"model.checkpoint = {name!r} cannot be fetched: {str(error).splitlines()[0]}"
        ) from None
