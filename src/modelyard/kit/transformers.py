"""Networks of the library transformers, as parts of a family's own: without its remarks on the
terminal, and without anything from the network."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
import transformers

from modelyard.errors import UsageError

if TYPE_CHECKING:
    from transformers import PreTrainedModel

POOLED = frozenset({"bert", "roberta", "vit"})
"""Kinds that have a pooling layer, which would be trained for nothing."""


def backbone(shape: dict[str, Any], checkpoint: str | Path | None = None) -> PreTrainedModel:
    """The network whose config.json holds `shape`, without a head: untrained, or with the weights
    of a folder or a name in the local cache of the hub; float32, from safetensors only.

    Raises:
        UsageError: the weights cannot be read.
    """
    more = {}
    if shape["model_type"] in POOLED:
        more["add_pooling_layer"] = False
    return network(transformers.AutoModel, shape, checkpoint, **more)


def network(
    auto: Any,
    shape: dict[str, Any],
    checkpoint: str | Path | None = None,
    *,
    classes: int | None = None,
    **more: Any,
) -> PreTrainedModel:
    """The network of `shape` as one of transformers' `AutoModel…` classes makes it, untrained or
    with a checkpoint's weights: see `backbone`. With weights, `more` changes the checkpoint's
    config.

    Args:
        classes: of the last layer, which starts untrained: a checkpoint's classes are others.

    Raises:
        UsageError: the weights cannot be read.
    """
    quiet()
    found: PreTrainedModel
    if classes is not None:
        shape = {**shape, "num_labels": classes}
        if checkpoint is not None:
            more |= {"num_labels": classes, "ignore_mismatched_sizes": True}
    if checkpoint is None:
        values = {name: value for name, value in shape.items() if name != "model_type"}
        config = transformers.AutoConfig.for_model(shape["model_type"], **values)
        found = auto.from_config(config, **more)
        return found
    try:
        found = auto.from_pretrained(
            checkpoint,
            local_files_only=True,
            use_safetensors=True,
            trust_remote_code=False,
            dtype=torch.float32,
            **more,
        )
    except (ImportError, OSError, ValueError, RuntimeError) as error:
        first = str(error).strip().splitlines()[0][:120]
        hint = "It must hold config.json and model.safetensors"
        raise UsageError(f"model.checkpoint {str(checkpoint)!r}: {first}. {hint}") from None
    return found


def quiet() -> None:
    """Keeps progress bars and remarks of the library, and of peft, off the person's terminal."""
    logging.getLogger("peft").setLevel(logging.ERROR)
    transformers.utils.logging.set_verbosity_error()  # type: ignore[no-untyped-call]
    transformers.utils.logging.disable_progress_bar()  # type: ignore[no-untyped-call]
