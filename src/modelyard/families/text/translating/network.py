"""The network, T5 (Raffel et al. 2020), and the two graphs that serving calls.

encoder   tokens (batch, length) to keys and values of the source, `source_key_i`, `source_value_i`
          (batch, heads, length, head width) for each layer of the decoder
decoder   `input_ids` (batch, new), the source's tokens, its keys and values, and those of what is
          written so far, `past_key_i`, `past_value_i`, to `logits` (batch, new, vocabulary) and
          `present_key_i`, `present_value_i`. A past of length 0 begins.
"""

from __future__ import annotations

from inspect import Parameter, Signature
from pathlib import Path
from typing import Any

import torch
import transformers
from torch import nn
from transformers.cache_utils import DynamicCache, EncoderDecoderCache
from transformers.modeling_outputs import BaseModelOutput

from modelyard.errors import UsageError
from modelyard.families.text.config import TextModel
from modelyard.families.text.translating.decoding import DECODER, ENCODER, past_names, source_names
from modelyard.families.text.translating.spec import IGNORED, Decoding, TranslationSpec
from modelyard.kit.text.encoder import shortened
from modelyard.kit.transformers import network
from modelyard.runtimes.types import Graph

Plan = dict[str, Any]
Batch = dict[str, torch.Tensor]
HEAD_WIDTH = 32
EXAMPLE_PAST = 3
EMBEDDING = 0.1
"""Standard deviation of the tokens' first vectors."""
DROPOUT = 0.1
"""Unless set."""


def plan(settings: TextModel, spec: TranslationSpec, shape: Plan | None) -> Plan:
    """The network that the settings ask for; `shape` is a checkpoint's config.json.

    Raises:
        UsageError: the checkpoint has fewer tokens than its tokenizer.
    """
    known = spec.opened.get_vocab_size()
    dropout = DROPOUT if settings.dropout is None else settings.dropout
    if shape is None:
        shape = {
            "model_type": "t5",
            "vocab_size": known,
            "d_model": settings.width,
            "d_kv": HEAD_WIDTH,
            "d_ff": 2 * settings.width,
            "num_layers": settings.layers,
            "num_decoder_layers": settings.layers,
            "num_heads": settings.width // HEAD_WIDTH,
            "feed_forward_proj": "gated-gelu",
            "dropout_rate": dropout,
            "pad_token_id": spec.pad,
            "eos_token_id": spec.end,
            "decoder_start_token_id": spec.start,
            "tie_word_embeddings": False,  # they are tied all the same, and not scaled then
        }
    if shape["vocab_size"] < known:
        raise UsageError(
            f"model.checkpoint has {shape['vocab_size']:,} tokens, its tokenizer.json {known:,}"
        )
    return {"kind": settings.kind, "config": shape}


class Translator(nn.Module):
    """Reads sources and says how likely each token of the targets is."""

    def __init__(self, made: Plan, spec: TranslationSpec, checkpoint: Path | None = None) -> None:
        super().__init__()
        self.pad, self.start = spec.pad, spec.start
        # The other kinds of attention are traced with strides that the exporter does not keep.
        net: Any = network(
            transformers.AutoModelForSeq2SeqLM,
            made["config"],
            checkpoint,
            attn_implementation="eager",
        )
        if checkpoint is None:
            # T5 draws them ten times as large, for Adafactor, whose steps are relative to a weight's
            # size; those of AdamW are not, and would hardly move them.
            nn.init.normal_(net.shared.weight, std=EMBEDDING)
        self.net = net

    def forward(self, tokens: torch.Tensor, targets: torch.Tensor) -> Batch:
        """Tokens (batch, length) and targets (batch, written) to `logits` (batch, written,
        vocabulary): of each target's token, by the source and those before it."""
        tokens = shortened(tokens, self.pad)
        begun = torch.full_like(targets[:, :1], self.start)
        before = torch.where(targets == IGNORED, self.pad, targets)[:, :-1]
        found = self.net(
            input_ids=tokens,
            attention_mask=(tokens != self.pad).long(),
            decoder_input_ids=torch.cat([begun, before], 1),
            use_cache=False,
        )
        return {"logits": found.logits}


class Reading(nn.Module):
    """The graph `encoder`."""

    def __init__(self, translator: Translator) -> None:
        super().__init__()
        self.pad, self.net = translator.pad, translator.net

    def forward(self, tokens: torch.Tensor) -> Batch:
        seen = (tokens != self.pad).long()
        states = self.net.encoder(input_ids=tokens, attention_mask=seen).last_hidden_state
        found = {}
        for layer, block in enumerate(self.net.decoder.block):
            attention = block.layer[1].EncDecAttention
            shape = (*states.shape[:2], attention.n_heads, attention.key_value_proj_dim)
            for part, projection in (("key", attention.k), ("value", attention.v)):
                found[f"source_{part}_{layer}"] = projection(states).view(shape).transpose(1, 2)
        return found


class Writing(nn.Module):
    """The graph `decoder`."""

    def __init__(self, translator: Translator, inputs: list[str], layers: int) -> None:
        super().__init__()
        self.pad, self.net, self.layers = translator.pad, translator.net, layers
        # The exporter names a graph's inputs by the signature.
        named = [Parameter(name, Parameter.KEYWORD_ONLY) for name in inputs]
        forward = self._write
        self.forward = lambda **arrays: forward(**arrays)
        self.forward.__signature__ = Signature(named)  # type: ignore[attr-defined]

    def _write(
        self, input_ids: torch.Tensor, tokens: torch.Tensor, **memory: torch.Tensor
    ) -> Batch:
        config = self.net.config
        cache = EncoderDecoderCache(
            self._cache(memory, past_names(self.layers)),
            self._cache(memory, source_names(self.layers)),
        )
        for layer in range(self.layers):
            cache.is_updated[layer] = True  # the source's keys are there: they are not made again
        # The source's states: nothing reads them, for their keys and values are there.
        unread = tokens[..., None].expand(-1, -1, config.d_model).float()
        found = self.net(
            encoder_outputs=BaseModelOutput(last_hidden_state=unread),
            attention_mask=(tokens != self.pad).long(),
            decoder_input_ids=input_ids,
            past_key_values=cache,
            use_cache=True,
        )
        outputs = {"logits": found.logits}
        for layer, kept in enumerate(found.past_key_values.self_attention_cache.layers):
            outputs |= {f"present_key_{layer}": kept.keys, f"present_value_{layer}": kept.values}
        return outputs

    def _cache(self, memory: Batch, names: list[str]) -> DynamicCache:
        cache = DynamicCache()
        for layer in range(self.layers):
            key, value = names[2 * layer : 2 * layer + 2]
            cache.update(memory[key], memory[value], layer)
        return cache


def graphs(translator: Translator, shape: Decoding, tokens: torch.Tensor) -> list[Graph]:
    """Both graphs, with what they make of some sources (batch, length) as their examples."""
    reading = Reading(translator.eval())
    past, source = past_names(shape.layers), source_names(shape.layers)
    inputs = ["input_ids", "tokens", *past, *source]
    writing = Writing(translator, inputs, shape.layers)
    written = tokens[:, : EXAMPLE_PAST + 2]
    empty = torch.zeros(len(tokens), shape.heads, 0, shape.head_width)
    with torch.inference_mode():
        memory = reading(tokens)
        begun = writing(
            input_ids=written[:, :EXAMPLE_PAST],
            tokens=tokens,
            **dict.fromkeys(past, empty),
            **memory,
        )
    example = {"input_ids": written[:, EXAMPLE_PAST:], "tokens": tokens}
    example |= {name: begun[name.replace("past", "present", 1)] for name in past}
    example |= {name: memory[name] for name in source}
    varying = {"input_ids": (1,), "tokens": (1,), **dict.fromkeys([*past, *source], (2,))}
    arrays = {name: value.numpy() for name, value in example.items()}
    return [
        Graph(ENCODER, {"tokens": tokens.numpy()}, module=reading, dynamic={"tokens": (1,)}),
        Graph(DECODER, arrays, module=writing, dynamic=varying),
    ]
