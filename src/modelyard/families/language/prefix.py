"""A learnt prefix at serving: the keys and values that every text begins behind (Li & Liang 2021).

`prefix.safetensors` in the assets holds `past_key_i`, `past_value_i` of each layer, (heads, tokens,
head width), float32: the names of the graph's inputs.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from modelyard.errors import BrokenArtifact
from modelyard.families.language.decoder import GraphSpec, past_names
from modelyard.runtimes.types import Arrays

PREFIX_FILE = "prefix.safetensors"


def load_prefix(assets: Path, spec: GraphSpec) -> Arrays | None:
    """The prefix of a model; None where it has none.

    Raises:
        BrokenArtifact: the file is missing, or belongs to another model.
    """
    if not spec.prefix:
        return None
    # Only packages with a prefix need the library.
    from safetensors import SafetensorError
    from safetensors.numpy import load_file

    file = Path(assets) / PREFIX_FILE
    try:
        arrays: Arrays = load_file(file)
    except (OSError, SafetensorError) as error:
        raise BrokenArtifact(f"{file} cannot be read: {error}") from None
    wanted = ((spec.heads, spec.prefix, spec.head_width), np.dtype(np.float32))
    seen = {name: (array.shape, array.dtype) for name, array in arrays.items()}
    if seen != dict.fromkeys(past_names(spec.layers), wanted):
        raise BrokenArtifact(f"{file} is not the prefix of this model: run the training again")
    return arrays
