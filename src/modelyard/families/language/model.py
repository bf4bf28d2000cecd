"""Causal language models of transformers behind one `forward`: for training, prefill and
decoding alike."""

from __future__ import annotations

import inspect
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
import transformers
from torch import nn
from torch.nn import functional
from transformers import DynamicCache, PretrainedConfig

from modelyard.families.language.architecture import (
    attention_of,
    graph_spec,
    has_fixed_rotation,
    is_anchored,
)
from modelyard.families.language.attention import Rotary
from modelyard.families.language.decoder import (
    DRAFT,
    HIDDEN,
    MAIN,
    PREFIX,
    DecoderSpec,
    GraphSpec,
    first_past,
)
from modelyard.families.language.pack import IGNORED, PADDING
from modelyard.runtimes.types import Arrays, Graph

TOLERANCE = 1e-3

Batch = dict[str, torch.Tensor]


class CausalLanguageModel(nn.Module):
    """A transformer that reads tokens with positions, and continues from keys and values if it is
    given some."""

    def __init__(self, config: PretrainedConfig, network: nn.Module | None = None) -> None:
        super().__init__()
        self.config = config
        self.network = network if network is not None else new_network(config)
        spec = graph_spec(config)
        self.window, self.global_tokens = spec.window, spec.global_tokens
        # In a list: a part of the network already, it is not to be saved twice.
        self._rotary: list[Rotary] = []
        if is_anchored(config):
            self._rotary = [
                module for module in self.network.modules() if isinstance(module, Rotary)
            ]
        self.prefix: nn.Parameter | None = None
        if spec.prefix:
            shape = (spec.layers, 2, spec.heads, spec.prefix, spec.head_width)
            self.prefix = nn.Parameter(torch.zeros(shape))

    def forward(
        self,
        input_ids: torch.Tensor,
        positions: torch.Tensor,
        segments: torch.Tensor | None = None,
        **past: torch.Tensor,
    ) -> dict[str, torch.Tensor]:
        """Logits (rows, new, vocabulary) of `input_ids` (rows, new).

        `positions` (rows, past + new): -1 hides an entry. `segments` (rows, new): attention stays
        within equal ones. `past` holds `past_key_i`, `past_value_i` (rows, heads, past, head
        width); then `present_…` come back. A prefix is before all texts where no past is given; a
        past begins with it, at positions PREFIX.
        """
        own = positions[:, -input_ids.shape[1] :]
        cache: DynamicCache | None = None
        before: DynamicCache | PrefixCache | None = None
        if past:
            before = cache = DynamicCache(ddp_cache_data=_layers(past))
        elif self.prefix is not None:
            before = PrefixCache(self.prefix)
            positions = functional.pad(positions, (self.prefix.shape[3], 0), value=PREFIX)
        out = self.network(
            input_ids=input_ids,
            attention_mask=self._mask(own, positions, segments),
            position_ids=own.clamp(min=0),
            past_key_values=before,
            use_cache=cache is not None,
            **self._anchors(own, positions),
        )
        found = {"logits": out.logits}
        if cache is not None:
            for number, layer in enumerate(cache.layers):
                keys, values = layer.keys, layer.values  # type: ignore[union-attr]
                found[f"present_key_{number}"], found[f"present_value_{number}"] = keys, values
        return found

    def _anchors(self, own: torch.Tensor, positions: torch.Tensor) -> dict[str, Any]:
        """What `attention.anchored` takes besides: which entries every token sees, and by how much
        each query is turned back to meet them."""
        if not self._rotary:
            return {}
        assert self.window is not None
        far = (own - (self.global_tokens + self.window - 1)).clamp(min=0)
        marked = (positions < self.global_tokens) & (positions != HIDDEN)
        return {"anchors": marked, "back": self._rotary[0].angles(far)}

    def _mask(
        self, own: torch.Tensor, positions: torch.Tensor, segments: torch.Tensor | None
    ) -> torch.Tensor:
        """What is added to attention scores, (rows, 1, new, past + new): the lowest float where
        nothing is seen."""
        query, key = own[:, :, None], positions[:, None, :]
        seen = (key >= 0) & (key <= query)
        if self.window is not None:
            near = query - key < self.window
            seen = seen & (near | (key < self.global_tokens))
        if segments is not None:
            of_keys = functional.pad(segments, (positions.shape[1] - segments.shape[1], 0))
            seen = seen & (segments[:, :, None] == of_keys[:, None, :])
        if self.prefix is not None:
            seen = seen | (key == PREFIX)
        # Not minus infinity: a hidden entry sees nothing, and would give NaN.
        return torch.where(seen, 0.0, torch.finfo(torch.float32).min)[:, None]


class PrefixCache:
    """Keys and values before a text, for networks that take a cache. It holds no state, so that a
    block may be computed twice (`training.recompute`)."""

    def __init__(self, prefix: torch.Tensor) -> None:
        """`prefix`: (layers, 2, heads, entries, head width)."""
        self._prefix = prefix

    def update(
        self, keys: torch.Tensor, values: torch.Tensor, layer: int, *_: Any, **__: Any
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Keys and values (rows, heads, entries + new, head width) of one layer."""
        before = self._prefix[layer].to(keys.dtype)[:, None].expand(-1, len(keys), -1, -1, -1)
        return torch.cat([before[0], keys], dim=2), torch.cat([before[1], values], dim=2)


class Step(nn.Module):
    """The model with its inputs by name: the exporter reads a signature, and `**past` has none."""

    def __init__(self, model: CausalLanguageModel, names: Sequence[str]) -> None:
        super().__init__()
        self.model = model
        kind = inspect.Parameter.POSITIONAL_OR_KEYWORD
        signature = inspect.Signature([inspect.Parameter(name, kind) for name in names])

        def forward(*args: torch.Tensor, **kwargs: torch.Tensor) -> dict[str, torch.Tensor]:
            result: dict[str, torch.Tensor] = model(**signature.bind(*args, **kwargs).arguments)
            return result

        forward.__signature__ = signature  # type: ignore[attr-defined]
        self.forward = forward


def new_network(config: PretrainedConfig) -> nn.Module:
    """An untrained network, float32."""
    network: nn.Module = transformers.AutoModelForCausalLM.from_config(  # type: ignore[no-untyped-call]
        config, attn_implementation=attention_of(config), dtype=torch.float32
    )
    return with_far_positions(network, config)


def with_far_positions(network: nn.Module, config: PretrainedConfig) -> nn.Module:
    """The network, which with a window tells REACH positions apart."""
    if graph_spec(config).window is not None and has_fixed_rotation(config):
        inner: Any = network.get_submodule("model")
        inner.rotary_emb = Rotary(inner.rotary_emb)
    return network


def graphs(
    models: dict[str, CausalLanguageModel], spec: DecoderSpec, texts: Sequence[Sequence[int]]
) -> list[Graph]:
    """One graph a model; its example continues 3 tokens by 5, for as many rows as there are
    texts."""
    tokens = np.array([[*text][:8] for text in texts], np.int64)
    shapes = {MAIN: spec.main, DRAFT: spec.draft}
    return [_graph(name, model, shapes[name], tokens) for name, model in models.items()]


def _graph(
    name: str, model: CausalLanguageModel, shape: GraphSpec | None, tokens: np.ndarray
) -> Graph:
    assert shape is not None
    rows, past = len(tokens), 3
    first = np.full((rows, shape.prefix), PREFIX)
    positions = np.concatenate([first, np.tile(np.arange(tokens.shape[1]), (rows, 1))], axis=1)
    begin = first_past(shape, rows, prefix_arrays(model))
    names = [name.removeprefix("past_") for name in begin]
    with torch.inference_mode():
        read = model.eval()(
            torch.from_numpy(tokens[:, :past]),
            torch.from_numpy(positions[:, : shape.prefix + past]),
            **{name: torch.from_numpy(array) for name, array in begin.items()},
        )
    example = {"input_ids": tokens[:, past:], "positions": positions}
    example |= {f"past_{one}": read[f"present_{one}"].numpy() for one in names}
    dynamic = {"input_ids": (1,), "positions": (1,), **{f"past_{one}": (2,) for one in names}}
    return Graph(
        name, example, module=Step(model, list(example)), dynamic=dynamic, tolerance=TOLERANCE
    )


def prefix_arrays(model: CausalLanguageModel) -> Arrays | None:
    """The prefix as the graph takes it, (heads, entries, head width) by input; None without one."""
    if model.prefix is None:
        return None
    found = {}
    for layer, (keys, values) in enumerate(model.prefix.detach().cpu().float().numpy()):
        # safetensors writes a view as if it were the whole memory behind it.
        found[f"past_key_{layer}"] = np.ascontiguousarray(keys)
        found[f"past_value_{layer}"] = np.ascontiguousarray(values)
    return found


def loss(model: nn.Module, batch: Batch) -> torch.Tensor:
    """Mean cross-entropy over all tokens that have a target, nats."""
    logits = model(batch["input_ids"], batch["positions"], batch["segments"])["logits"]
    return functional.cross_entropy(
        logits.flatten(0, 1), batch["targets"].flatten(), ignore_index=IGNORED
    )


def _layers(past: dict[str, torch.Tensor]) -> list[tuple[torch.Tensor, torch.Tensor]]:
    return [(past[f"past_key_{n}"], past[f"past_value_{n}"]) for n in range(len(past) // 2)]


assert PADDING < 0, "the mask hides negative positions"
