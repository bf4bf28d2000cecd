"""What a run keeps of the model it starts from: its tokenizer, its architecture, its boundary
tokens."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

from modelyard.errors import UsageError
from modelyard.families.language.config import LanguageModel
from modelyard.families.language.decoder import DecoderSpec
from modelyard.kit.warm_start import check_same

TOKENIZER, CONFIG = "tokenizer.json", "config.json"
_NAMES = {"layers": "num_hidden_layers", "width": "hidden_size", "heads": "num_attention_heads"}
_GPT2 = {"layers": "n_layer", "width": "n_embd", "heads": "n_head"}
"""What config.json calls the settings of `model`."""


def keep_tokenizer(base: Path, settings: LanguageModel, out: Path) -> None:
    """Copies the earlier model's tokenizer to `out/assets`.

    Raises:
        UsageError: a setting asks for another model. One that began with a checkpoint has the
        checkpoint's.
    """
    if settings.lora_rank:
        raise UsageError(
            "model.lora_rank: adapters begin with model.checkpoint only, not with continual.start"
        )
    spec = DecoderSpec.load(base / "assets")
    check_same("model.prefix_tokens", settings.prefix_tokens, spec.main.prefix)
    if settings.checkpoint is None:
        was = {"kind": spec.kind, "context": spec.context}
        was["global_tokens"] = spec.main.global_tokens
        known = json.loads((base / "assets" / CONFIG).read_text())
        names = _GPT2 if spec.kind == "gpt2" else _NAMES
        for setting, name in names.items():
            was[setting] = known[name]
        for setting, there in was.items():
            check_same(f"model.{setting}", getattr(settings, setting), there)
    shutil.copyfile(base / "assets" / TOKENIZER, out / "assets" / TOKENIZER)
