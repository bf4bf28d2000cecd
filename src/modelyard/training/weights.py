"""Trained weights as a file."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from modelyard.errors import BrokenArtifact
from modelyard.store.base import WEIGHTS

if TYPE_CHECKING:
    import torch


def load_weights(model: torch.nn.Module, folder: Path) -> torch.nn.Module:
    """Loads `folder/model.safetensors` into `model` and puts it into evaluation mode. Where
    channels were pruned after training, the model is first made as narrow.

    Raises:
        BrokenArtifact: no weights there, damaged ones, or those of another network.
    """
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    from modelyard.compress.narrow import load_widths, narrowed

    path = Path(folder) / WEIGHTS
    if not path.is_file():
        raise BrokenArtifact(f"{folder} holds no {WEIGHTS}. Train it again: modelyard train")
    try:
        weights = load_file(path)
    except SafetensorError as error:
        raise BrokenArtifact(
            f"{path} is damaged: {error}. Train it again: modelyard train"
        ) from None
    try:
        narrowed(model, load_widths(folder)).load_state_dict(weights)
    except (AttributeError, RuntimeError) as error:
        raise BrokenArtifact(f"{path} holds the weights of another network: {error}") from None
    return model.eval()
