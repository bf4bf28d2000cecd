"""Few weights next to a checkpoint's: LoRA adapters, or a prefix."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from safetensors.numpy import save_file as save_arrays
from safetensors.torch import save_file
from transformers import PretrainedConfig

from modelyard.errors import UsageError
from modelyard.families.language.architecture import attention_of, graph_spec
from modelyard.families.language.attention import turned_back
from modelyard.families.language.config import LanguageModel
from modelyard.families.language.decoder import first_past
from modelyard.families.language.model import CausalLanguageModel, prefix_arrays
from modelyard.families.language.prefix import PREFIX_FILE
from modelyard.training.loop import WEIGHTS

ADAPTERS = "adapters.safetensors"
ROTARY = ["q_proj", "k_proj", "v_proj", "o_proj"]
ADAPTED = {"gpt2": ["c_attn", "c_proj"], "llama": ROTARY, "mistral": ROTARY}
"""Linear layers that get LoRA adapters."""


def with_adapters(model: CausalLanguageModel, settings: LanguageModel) -> CausalLanguageModel:
    """The model with LoRA adapters on its attention; all other weights are frozen."""
    from peft import LoraConfig, get_peft_model

    kind = model.config.model_type
    lora = LoraConfig(
        r=settings.lora_rank,
        lora_alpha=settings.lora_alpha,
        lora_dropout=settings.dropout,
        task_type="CAUSAL_LM",
        target_modules=ADAPTED[kind],
        # GPT-2's layers hold their weights the other way round.
        fan_in_fan_out=kind == "gpt2",
    )
    return CausalLanguageModel(model.config, get_peft_model(model.network, lora))


def merge(model: CausalLanguageModel, settings: LanguageModel, out: Path) -> CausalLanguageModel:
    """Saves the adapters, then the model with them added in place of the adapted one."""
    from peft import get_peft_model_state_dict

    network: Any = model.network
    weights = get_peft_model_state_dict(network)
    save_file({name: value.contiguous() for name, value in weights.items()}, out / ADAPTERS)
    found = network.peft_config["default"]
    shown = {
        "r": found.r,
        "lora_alpha": found.lora_alpha,
        "target_modules": sorted(found.target_modules),
        "peft_type": "LORA",
        "base_model_name_or_path": settings.checkpoint,
    }
    (out / "adapters.json").write_text(json.dumps(shown, indent=1))
    plain = CausalLanguageModel(model.config, network.merge_and_unload())
    merged = {}
    for name, value in plain.state_dict().items():
        # Tied weights are one memory with two names, which safetensors refuses.
        merged[name] = value.clone().contiguous()
    save_file(merged, out / WEIGHTS)
    return plain


def check_prefix(wanted: int, architecture: PretrainedConfig, folder: Path) -> None:
    """Raises UsageError where a checkpoint has a prefix and the settings want another, or none, for
    its weights were never meant to answer without it; or where a prefix is longer than it reads."""
    there, longest = graph_spec(architecture).prefix, architecture.max_position_embeddings
    if wanted > longest:
        raise UsageError(
            f"model.prefix_tokens = {wanted}: checkpoint {folder} reads {longest} tokens at most"
        )
    if there and wanted != there:
        raise UsageError(
            f"checkpoint {folder} has a prefix of {there} tokens. Type: --set model.prefix_tokens={there} "
            "to train it further, or start from the checkpoint that it was trained for"
        )


def with_prefix(model: CausalLanguageModel, ids: Sequence[int]) -> CausalLanguageModel:
    """The model with a prefix, and all other weights frozen. A new one begins as the keys and values
    that the model has for the tokens `ids`: activations of real words start better than random
    numbers (Li & Liang 2021, section 7.4).

    Rotary keys are turned to the places before the text, -1, -2, …, so that it begins at 0 as it
    did before. Learnt positions have no such places, so GPT-2's begin at 0 too.
    """
    if model.prefix is None:
        start = _activations(model, ids)
        model.config.prefix_tokens = len(ids)
        network: Any = model.network
        network.set_attn_implementation(attention_of(model.config))
        model = CausalLanguageModel(model.config, network)
        assert model.prefix is not None
        model.prefix.data.copy_(start)
    model.network.requires_grad_(False)
    return model


@torch.no_grad()
def _activations(model: CausalLanguageModel, ids: Sequence[int]) -> torch.Tensor:
    """Keys and values of tokens that stand before the text: (layers, 2, heads, tokens, width)."""
    spec = graph_spec(model.config)
    begin = {name: torch.from_numpy(array) for name, array in first_past(spec, 1).items()}
    read = model.eval()(torch.tensor([[*ids]]), torch.arange(len(ids))[None], **begin)
    keys = torch.cat([read[f"present_key_{layer}"] for layer in range(spec.layers)])
    values = torch.cat([read[f"present_value_{layer}"] for layer in range(spec.layers)])
    if model.config.model_type != "gpt2":
        rotary: Any = model.network.get_submodule("model.rotary_emb")
        cos, sin = rotary(keys, torch.full((1, len(ids)), len(ids)))
        scaling = rotary.attention_scaling
        keys = turned_back(keys, (cos / scaling, sin / scaling))
    return torch.stack([keys, values], dim=1)


def save_prefix(model: CausalLanguageModel, assets: Path) -> None:
    """Writes the prefix for the host."""
    arrays = prefix_arrays(model)
    assert arrays is not None, "no prefix"
    save_arrays(arrays, assets / PREFIX_FILE)
