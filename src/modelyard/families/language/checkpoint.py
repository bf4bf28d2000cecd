"""A trained model to start from: a folder in transformers' layout, one that this family trained,
or a hub name."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, get_args

from modelyard.errors import Unavailable, UsageError, choices
from modelyard.families.language.config import Kind, LanguageModel

if TYPE_CHECKING:
    from modelyard.families.language.model import CausalLanguageModel

FILES = ["config.json", "*.safetensors", "model.safetensors.index.json", "tokenizer.json"]
"""All that is fetched from the hub: no pickled weights, and no code."""


@dataclass(frozen=True)
class Checkpoint:
    """Where a checkpoint's parts lie."""

    folder: Path
    config: Path
    tokenizer: Path
    own: bool
    """Whether this family trained it."""

    @classmethod
    def find(cls, settings: LanguageModel) -> Checkpoint:
        """The checkpoint that `model.checkpoint` names.

        Raises:
            UsageError: nothing there, another kind of model, or a file is missing.
            Unavailable: it is not on this machine and may not, or cannot, be fetched.
        """
        assert settings.checkpoint is not None
        folder = Path(settings.checkpoint).expanduser()
        if not folder.is_dir():
            folder = _fetched(settings.checkpoint, settings.hub)
        own = (folder / "assets" / "decoder.json").is_file()
        inside = folder / "assets" if own else folder
        found = cls(folder, inside / "config.json", inside / "tokenizer.json", own)
        for file in (found.config, found.tokenizer):
            if not file.is_file():
                raise UsageError(
                    f"checkpoint {folder} has no {file.name}: it must hold {', '.join(FILES)}"
                )
        if not any(folder.glob("*.safetensors")):
            raise UsageError(
                f"checkpoint {folder} has no *.safetensors: pickled weights are not read"
            )
        kind = str(json.loads(found.config.read_text()).get("model_type"))
        if kind not in get_args(Kind):
            raise UsageError(f"checkpoint {folder}: {choices('model_type', kind, get_args(Kind))}")
        return found

    @classmethod
    def earlier(cls, base: Path) -> Checkpoint:
        """The model that a run starts from."""
        return cls(
            base, base / "assets" / "config.json", base / "assets" / "tokenizer.json", own=True
        )

    def load(self) -> CausalLanguageModel:
        """The model with its weights, in float32."""
        import torch
        from transformers import AutoModelForCausalLM

        from modelyard.families.language.model import CausalLanguageModel, read_config
        from modelyard.training.loop import load_weights

        if self.own:
            model = CausalLanguageModel(read_config(self.config))
            load_weights(model, self.folder)
            return model
        try:
            network = AutoModelForCausalLM.from_pretrained(
                str(self.folder),
                local_files_only=True,
                trust_remote_code=False,
                use_safetensors=True,
                dtype=torch.float32,
                attn_implementation="sdpa",
            )
        except (OSError, ValueError, RuntimeError) as error:
            raise UsageError(
                f"checkpoint {self.folder} cannot be read: {str(error).splitlines()[0]}"
            ) from None
        return CausalLanguageModel(network.config, network)


def _fetched(name: str, hub: bool) -> Path:
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HFValidationError, LocalEntryNotFoundError

    try:
        return Path(snapshot_download(name, allow_patterns=FILES, local_files_only=not hub))
    except HFValidationError:
        raise UsageError(
            f"model.checkpoint = {name!r} is neither a folder nor a name on the hub"
        ) from None
    except LocalEntryNotFoundError:
        hint = "the hub does not answer" if hub else "Type: --set model.hub=true to download it"
        raise Unavailable(
            f"model.checkpoint = {name!r} is not a folder, and not downloaded yet. {hint}"
        ) from None
    except OSError as error:
        raise Unavailable(
            f"model.checkpoint = {name!r} cannot be fetched: {str(error).splitlines()[0]}"
        ) from None
