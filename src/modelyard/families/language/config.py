"""Parameters of the language family."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

from pydantic import Field, ValidationInfo, field_validator, model_validator

from modelyard.families.language.search import SEARCH
from modelyard.settings.family import FamilyConfig, Settings, TrainingSettings

Kind = Literal["gpt2", "llama", "mistral"]


class LanguageFeatures(Settings):
    """From files to documents and a tokenizer."""

    vocabulary: int = Field(default=2048, ge=300, le=200_000)
    """Tokens of the byte-level BPE tokenizer that is trained on the training split; small data
    gives fewer."""
    text_field: str = Field(default="text", min_length=1)
    """Field of a JSONL row that holds the document."""
    separator: str | None = None
    """Text that separates the documents of one text file. None: a file is a document."""
    chat_template: bool = True
    """Whether dialogues are written as a checkpoint's own chat template says, where it brings one;
    else with the marks of this family."""
    validation_share: float = Field(default=0.1, gt=0, lt=0.5)
    """Share of the characters, in whole documents, that decides when training stops."""
    test_share: float = Field(default=0.1, gt=0, lt=0.5)
    """Share of the characters, in whole documents, for the final figures."""
    evaluation_bytes: int = Field(default=1_000_000, ge=1_000)
    """Most bytes of a split that are judged, its first documents; the card says when there were
    more."""
    sample_bytes: int = Field(default=600_000, ge=20_000, le=5_000_000)
    """Size of the built-in data: source text of Python's standard library."""


class LanguageModel(Settings):
    """Which model."""

    kind: Kind = "llama"
    """gpt2 (learnt positions), llama (rotary positions, grouped queries), mistral (llama with a
    sliding window). A checkpoint brings its own."""
    layers: int = Field(default=4, ge=1)
    """Transformer blocks."""
    width: int = Field(default=128, ge=8)
    """Size of a token's state."""
    heads: int = Field(default=4, ge=1)
    """Attention heads; they divide `width`."""
    kv_heads: int = Field(default=2, ge=1)
    """Heads of keys and values in llama and mistral; they divide `heads`."""
    context: int = Field(default=128, ge=16)
    """Tokens of a row in training; a checkpoint may allow fewer. Without a window, the most that
    prompt and answer have together."""
    window: int = Field(default=32, ge=2)
    """Tokens that a token attends to, itself included: of mistral, and of llama with
    `global_tokens`."""
    dropout: float = Field(default=0.0, ge=0, lt=1)
    """Share of states (gpt2) and attention weights dropped while training."""
    checkpoint: str | None = None
    """Folder of a checkpoint to start from: config.json, *.safetensors and tokenizer.json, or a
    model folder that this family trained; with `hub`, a name on the Hugging Face hub."""
    hub: bool = False
    """Whether `checkpoint` may be downloaded."""
    lora_rank: int = Field(default=0, ge=0)
    """Rank of LoRA adapters (Hu et al. 2021) on a checkpoint's attention. 0: all weights are
    trained."""
    lora_alpha: int = Field(default=16, ge=1)
    """Adapters are scaled by `lora_alpha / lora_rank`."""
    prefix_tokens: int = Field(default=0, ge=0, le=1024)
    """Entries of a learnt prefix of keys and values before every text (Li & Liang 2021); the
    checkpoint's weights stay as they are. 0: none."""
    draft_layers: int = Field(default=0, ge=0)
    """Blocks of a small second model that guesses ahead (`speculative` in a request). 0: none."""

    global_tokens: int = Field(default=0, ge=0, le=1024)
    """First tokens of a text that every later one attends to, besides its window (attention sinks:
    Xiao et al. 2024); of llama and mistral."""

    @field_validator("heads")
    @classmethod
    def _heads_divide_width(cls, heads: int, info: ValidationInfo) -> int:
        width = info.data.get("width", heads)
        if width % heads or (width // heads) % 2:
            raise ValueError(
                f"width {width} must be an even number of times heads, for example --set model.heads=4"
            )
        return heads

    @field_validator("kv_heads")
    @classmethod
    def _kv_heads_divide_heads(cls, kv_heads: int, info: ValidationInfo) -> int:
        heads = info.data.get("heads", kv_heads)
        if heads % kv_heads:
            raise ValueError(f"it must divide heads ({heads}): --set model.kv_heads={heads}")
        return kv_heads

    @field_validator("lora_rank")
    @classmethod
    def _lora_needs_a_checkpoint(cls, lora_rank: int, info: ValidationInfo) -> int:
        if lora_rank and info.data.get("checkpoint") is None:
            raise ValueError(
                "adapters need a trained model to adapt: --set model.checkpoint=FOLDER"
            )
        return lora_rank

    @field_validator("prefix_tokens")
    @classmethod
    def _prefix_needs_a_frozen_checkpoint(cls, prefix_tokens: int, info: ValidationInfo) -> int:
        if prefix_tokens and info.data.get("checkpoint") is None:
            raise ValueError(
                "a prefix needs a trained model to stand before: --set model.checkpoint=FOLDER"
            )
        if prefix_tokens and info.data.get("lora_rank"):
            raise ValueError(
                "a prefix leaves all weights as they are, and adapters change them: "
                "--set model.lora_rank=0, or --set model.prefix_tokens=0"
            )
        return prefix_tokens

    @field_validator("global_tokens")
    @classmethod
    def _global_tokens_fit(cls, global_tokens: int, info: ValidationInfo) -> int:
        if not global_tokens or info.data.get("checkpoint") is not None:
            return global_tokens
        if info.data.get("kind") == "gpt2":
            raise ValueError(
                "gpt2 has learnt positions, none beyond its context: --set model.kind=llama"
            )
        window, context = info.data.get("window", 0), info.data.get("context", 0)
        needed = window + global_tokens
        if window and context and needed > context:
            raise ValueError(
                f"a window of {window} and {global_tokens} global tokens need a context of as many: "
                f"--set model.context={needed}"
            )
        return global_tokens


class LanguageConfig(FamilyConfig):
    """A run on text."""

    search_space = SEARCH

    features: LanguageFeatures = LanguageFeatures()
    """From files to documents and a tokenizer."""
    model: LanguageModel = LanguageModel()
    """Which model, and its hyper-parameters."""
    training: TrainingSettings = TrainingSettings(
        epochs=2, batch_size=4, learning_rate=2e-3, patience=2
    )
    """How it is trained; an example is a row of `model.context` tokens."""

    @classmethod
    def debug(cls) -> LanguageConfig:
        """A tiny Llama with a draft model, on a few modules of the standard library."""
        return LanguageConfig(
            features=LanguageFeatures(vocabulary=400, sample_bytes=24_000, evaluation_bytes=5_000),
            model=LanguageModel(
                layers=2, width=32, heads=2, kv_heads=1, context=64, draft_layers=1
            ),
            training=TrainingSettings(epochs=3, batch_size=8, learning_rate=1e-2, patience=2),
        )

    @model_validator(mode="after")
    def _a_prefix_learns_no_rounding(self) -> LanguageConfig:
        if self.model.prefix_tokens and self.compress.aware_epochs:
            raise ValueError(
                "with model.prefix_tokens the weights stay as they are, so nothing learns to be rounded: "
                "--set compress.aware_epochs=0"
            )
        return self

    def for_features(self) -> Mapping[str, Mapping[str, Any]]:
        """The checkpoint: its tokenizer counts the tokens."""
        model = self.model
        if model.checkpoint is None:
            return {}
        return {"model": {"checkpoint": model.checkpoint, "hub": model.hub}}

    def requires(self) -> Mapping[str, str]:
        """transformers and tokenizers; the table reader; peft for adapters; jinja2 for the template of
        a checkpoint."""
        needs = {
            "torch": "torch",
            "safetensors": "torch",
            "transformers": "language",
            "tokenizers": "language",
            "pyarrow": "language",
        }
        if self.model.lora_rank:
            needs["peft"] = "language"
        if self.model.checkpoint is not None and self.features.chat_template:
            needs["jinja2"] = "language"
        return needs
