"""Training: what the shared loop needs, for the model and for its draft; adapters merged; assets
completed."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from modelyard.errors import UsageError
from modelyard.families.language.architecture import (
    CONFIG,
    DRAFT_CONFIG,
    graph_spec,
    is_endless,
    new_config,
    read_config,
    write_config,
)
from modelyard.families.language.checkpoint import Checkpoint
from modelyard.families.language.config import LanguageConfig
from modelyard.families.language.data import LanguageData, read_split
from modelyard.families.language.decoder import DRAFT, MAIN, DecoderSpec
from modelyard.families.language.formats import chat_format
from modelyard.families.language.host import LanguageHost
from modelyard.families.language.model import CausalLanguageModel, graphs
from modelyard.families.language.pack import Packed
from modelyard.families.language.prompt import Answer, Prompt
from modelyard.families.language.setup import Setup
from modelyard.families.language.tokens import Codec
from modelyard.families.language.tuning import (
    check_prefix,
    merge,
    save_prefix,
    with_adapters,
    with_prefix,
)
from modelyard.kit.transformers import quiet
from modelyard.runtimes.torch import TorchRuntime
from modelyard.runtimes.types import Graph
from modelyard.store.artifact import write_json
from modelyard.store.base import base_of
from modelyard.training.loop import load_weights

if TYPE_CHECKING:
    from modelyard.training.loop import Trainer

COMPLETIONS = 6
"""Prompts that the card shows with what the model makes of them."""


def find(config: LanguageConfig, assets: Path) -> Checkpoint | None:
    """What training begins with: the model that the run starts from, else the settings'
    checkpoint, if any."""
    base = base_of(Path(assets).parent)
    if base is not None:
        return Checkpoint.earlier(base)
    if config.model.checkpoint:
        return Checkpoint.find(config.model)
    return None


def from_scratch(config: LanguageConfig, assets: Path) -> Setup:
    """An untrained network of `model.kind` with the features' own tokenizer."""
    tokenizer = Path(assets) / "tokenizer.json"

    def build() -> CausalLanguageModel:
        return CausalLanguageModel(
            new_config(config.model, Codec(tokenizer).size, config.model.layers)
        )

    return Setup(config, build, tokenizer, global_tokens=config.model.global_tokens)


def from_checkpoint(config: LanguageConfig, found: Checkpoint, features: Path) -> Setup:
    """A trained network with its own tokenizer and boundary tokens, with adapters or a prefix where
    the config wants them.

    Raises:
        UsageError: its parts do not fit each other, or the settings.
    """
    architecture = found.architecture(config.model)
    codec = Codec(found.tokenizer)
    if codec.size > architecture.vocab_size:
        raise UsageError(
            f"checkpoint {found.folder}: its tokenizer has {codec.size} tokens, its model {architecture.vocab_size}"
        )
    end = _first(architecture.eos_token_id)
    if end is None:
        raise UsageError(
            f"checkpoint {found.folder}: config.json names no eos_token_id to end a document"
        )
    bos = _first(architecture.bos_token_id)
    start = end if bos is None else bos
    # Dialogues may end messages by another token than documents.
    end = chat_format(features / "assets", codec, start, end).end
    context = min(config.model.context, architecture.max_position_embeddings)
    global_tokens = graph_spec(architecture).global_tokens
    if global_tokens >= context:
        # They begin every row, and a row needs room for its own tokens.
        wanted = global_tokens + config.model.window
        raise UsageError(
            f"{global_tokens} global tokens leave no room in rows of {context}. "
            f"Type: --set model.context={wanted}, or fewer model.global_tokens"
        )
    count = config.model.prefix_tokens
    check_prefix(count, architecture, found.folder)

    def build() -> CausalLanguageModel:
        model = found.load(config.model)
        if count:
            return with_prefix(model, [start, *_opening(codec, features, count - 1)])
        if config.model.lora_rank:
            return with_adapters(model, config.model)
        return model

    return Setup(
        config,
        build,
        found.tokenizer,
        start,
        end,
        context,
        global_tokens=global_tokens,
    )


def fit(config: LanguageConfig, features: Path, out: Path, trainer: Trainer) -> dict[str, Any]:
    """Trains into `out`: model.safetensors, assets; with LoRA adapters.safetensors; with a draft
    draft/."""
    quiet()
    assets = out / "assets"
    found = find(config, features / "assets")
    if found:
        setup = from_checkpoint(config, found, features)
        shutil.copyfile(found.tokenizer, assets / "tokenizer.json")
    else:
        setup = from_scratch(config, features / "assets")
    report = trainer.fit(setup, features, out)
    model = setup.build()
    load_weights(model, out)
    if config.model.lora_rank:
        model = merge(model, config.model, out)
    if model.prefix is not None:
        save_prefix(model, assets)
    write_config(model.config, assets / CONFIG)
    draft = None
    if config.model.draft_layers:
        draft = _fit_draft(config, setup, model, features, out, trainer)
    spec = DecoderSpec(
        kind=model.config.model_type,
        context=setup.context,
        vocabulary=model.config.vocab_size,
        start=setup.start,
        end=setup.end,
        main=graph_spec(model.config),
        draft=graph_spec(draft.config) if draft else None,
        chats=read_split(features, "train")[0].messages is not None,
        endless=is_endless(model.config),
    )
    spec.save(assets)
    notes = [_packing(setup.rows(features, "train"), setup.context, setup.global_tokens)]
    return report | {
        "tables": [_completions(config, features, out)],
        "notes": notes,
        "kind": spec.kind,
    }


def load(folder: Path) -> dict[str, CausalLanguageModel]:
    """The trained networks of a model folder by graph name."""
    quiet()
    models = {MAIN: CausalLanguageModel(read_config(folder / "assets" / CONFIG))}
    load_weights(models[MAIN], folder)
    if (folder / "assets" / DRAFT_CONFIG).is_file():
        models[DRAFT] = CausalLanguageModel(read_config(folder / "assets" / DRAFT_CONFIG))
        load_weights(models[DRAFT], folder / "draft")
    return models


def load_graphs(folder: Path) -> list[Graph]:
    """The graphs `decoder` and, where there is one, `draft`."""
    spec = DecoderSpec.load(folder / "assets")
    # Any tokens will do, for the graphs are compared on numbers: two rows that differ.
    rows = np.random.default_rng(0).integers(0, spec.vocabulary, (4, 8))
    return graphs(load(folder), spec, rows.tolist())


def _packing(packed: Packed, context: int, global_tokens: int) -> str:
    if global_tokens:
        first = f", but for the document's first {global_tokens} tokens"
    else:
        first = ""
    filled = float((packed.positions >= 0).mean())
    return (
        f"Documents are packed into {len(packed.input_ids):,} rows of {context} tokens ({filled:.1%} filled). "
        "Within a row attention, positions and targets stop at a document's end. A document longer than a row is cut, "
        f"and a piece does not see the one before it{first}."
    )


def _fit_draft(
    config: LanguageConfig,
    setup: Setup,
    model: CausalLanguageModel,
    features: Path,
    out: Path,
    trainer: Trainer,
) -> CausalLanguageModel:
    """Trains a network like the model with `draft_layers` blocks on the same rows."""
    write_config(model.config, out / "assets" / DRAFT_CONFIG)
    values = json.loads((out / "assets" / DRAFT_CONFIG).read_text())
    layers = "n_layer" if values["model_type"] == "gpt2" else "num_hidden_layers"
    values[layers] = config.model.draft_layers
    # One entry a layer of the model: transformers makes those of the draft anew.
    values.pop("layer_types", None)
    values.pop("prefix_tokens", None)
    write_json(out / "assets" / DRAFT_CONFIG, values)

    def build() -> CausalLanguageModel:
        return CausalLanguageModel(read_config(out / "assets" / DRAFT_CONFIG))

    (out / "draft").mkdir()
    small = replace(setup, build=build, continues=False)
    trainer.fit(small, features, out / "draft")
    return build()


def _completions(config: LanguageConfig, features: Path, out: Path) -> dict[str, Any]:
    """What the model makes of passages of the validation split, for the card."""
    host = LanguageHost(out / "assets")
    bodies = LanguageData(config).requests(features, "validation", COMPLETIONS)
    requests = [Prompt.model_validate(body) for body in bodies]
    answers = host.predict(TorchRuntime(load_graphs(out)), requests)
    rows = []
    for request, answer in zip(requests, answers, strict=True):
        assert isinstance(answer, Answer)
        rows.append([request.words()[-80:], answer.text])
    return {
        "title": "Completions (greedy, validation split)",
        "columns": ["prompt ends", "model continues"],
        "rows": rows,
    }


def _opening(codec: Codec, features: Path, count: int) -> list[int]:
    """The first tokens of the training split, `count` of them; again from its start where it has
    fewer."""
    ids: list[int] = []
    documents = read_split(features, "train")
    while len(ids) < count:
        for document in documents:
            ids += codec.encode(document.text)
            if len(ids) >= count:
                break
    return ids[:count]


def _first(token: int | list[int] | None) -> int | None:
    if isinstance(token, list) and token:
        return token[0]
    if isinstance(token, int):
        return token
    return None
