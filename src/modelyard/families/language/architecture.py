"""Architectures: transformers' configs, with what they lack, global tokens and a prefix, as fields of
their own."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import transformers
from transformers import PretrainedConfig

from modelyard.families.language.attention import ANCHORED
from modelyard.families.language.config import LanguageModel
from modelyard.families.language.decoder import GraphSpec

CONFIG, DRAFT_CONFIG = "config.json", "draft.json"
"""Architectures, in the assets, as transformers writes them."""
FIXED = frozenset({"default", "linear", "llama3", "yarn"})
"""Kinds of rotary positions that are the same for texts of any length."""


def new_config(settings: LanguageModel, vocabulary: int, layers: int) -> PretrainedConfig:
    """An architecture of `settings.kind` from transformers' own classes."""
    ends: dict[str, Any] = {
        "bos_token_id": 0,
        "eos_token_id": 0,
        "pad_token_id": None,
        "tie_word_embeddings": True,
        # The usual 0.02 is for wide models and learns slowly here; 1 / sqrt(width) is unstable
        # without a warm-up.
        "initializer_range": 0.5 * settings.width**-0.5,
    }
    if settings.kind == "gpt2":
        drop: dict[str, Any] = dict.fromkeys(
            ("resid_pdrop", "embd_pdrop", "attn_pdrop"), settings.dropout
        )
        return transformers.GPT2Config(
            vocab_size=vocabulary,
            n_positions=settings.context,
            n_embd=settings.width,
            n_layer=layers,
            n_head=settings.heads,
            **drop,
            **ends,
        )
    if settings.kind == "mistral" or settings.global_tokens:
        ends |= {"sliding_window": settings.window, "global_tokens": settings.global_tokens}
    # A gated block has three matrices: with 8 / 3 widths as many weights as a plain one with four
    # (Shazeer 2020, section 3). A multiple of 32.
    inner = -(-settings.width * 8 // 3 // 32) * 32
    shape: dict[str, Any] = {
        "vocab_size": vocabulary,
        "hidden_size": settings.width,
        "num_hidden_layers": layers,
        "intermediate_size": inner,
        "num_attention_heads": settings.heads,
        "num_key_value_heads": settings.kv_heads,
        "max_position_embeddings": settings.context,
        "attention_dropout": settings.dropout,
        **ends,
    }
    if settings.kind == "llama":
        return transformers.LlamaConfig(**shape)
    return transformers.MistralConfig(**shape)


def read_config(file: Path) -> PretrainedConfig:
    """An architecture as `write_config` left it."""
    values = json.loads(Path(file).read_text())
    return transformers.AutoConfig.for_model(values.pop("model_type"), **values)


def write_config(config: PretrainedConfig, file: Path) -> None:
    """The architecture as JSON, every setting of it."""
    config.to_json_file(str(file), use_diff=False)


def graph_spec(config: PretrainedConfig) -> GraphSpec:
    """Shape of the keys and values of an architecture."""
    heads = int(config.num_attention_heads)
    return GraphSpec(
        layers=config.num_hidden_layers,
        heads=getattr(config, "num_key_value_heads", None) or heads,
        head_width=getattr(config, "head_dim", None) or config.hidden_size // heads,
        window=getattr(config, "sliding_window", None),
        global_tokens=getattr(config, "global_tokens", 0),
        prefix=getattr(config, "prefix_tokens", 0),
    )


def attention_of(config: PretrainedConfig) -> str:
    """The attention that an architecture needs, by its name within transformers."""
    if is_anchored(config):
        return ANCHORED
    return "sdpa"


def is_anchored(config: PretrainedConfig) -> bool:
    """Whether there is a window, and something before it that every token sees."""
    spec = graph_spec(config)
    return spec.window is not None and spec.global_tokens + spec.prefix > 0


def is_endless(config: PretrainedConfig) -> bool:
    """Whether prompts may be longer than what the network was trained on: all distances that a
    window makes are among those of training."""
    spec = graph_spec(config)
    if spec.window is None or not has_fixed_rotation(config):
        return False
    return spec.window + spec.global_tokens <= int(config.max_position_embeddings)


def has_fixed_rotation(config: PretrainedConfig) -> bool:
    """Whether positions are rotations that do not depend on the length of the text."""
    rope = getattr(config, "rope_parameters", None) or {}
    return rope.get("rope_type", "default") in FIXED
