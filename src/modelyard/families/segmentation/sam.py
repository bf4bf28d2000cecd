"""SAM (Kirillov et al. 2023), of the library transformers: a picture to an embedding, an embedding and
a prompt to the mask of an object."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
import transformers
from torch import nn
from torch.nn.functional import interpolate

from modelyard.errors import UsageError
from modelyard.families.segmentation.config import SegmentationModel
from modelyard.families.segmentation.prompt_host import NOTHING
from modelyard.families.segmentation.spec import SegmentationSpec
from modelyard.kit.checkpoints import checkpoint_shape
from modelyard.kit.pictures.layers import NATURAL, Standardizing
from modelyard.kit.transformers import network

SMALL_SIDE = 320
"""Pictures up to so many pixels are cut into patches of 8, larger ones into patches of 16."""
HEADS = 4
Outputs = dict[str, torch.Tensor]


class Sam(Standardizing):
    """Pixels and several prompts a picture to masks in the square's resolution."""

    def __init__(
        self, made: dict[str, Any], spec: SegmentationSpec, checkpoint: Path | None
    ) -> None:
        super().__init__(made, spec.mean, spec.std)
        self.side = spec.size
        auto = transformers.AutoModelForMaskGeneration
        self.net: Any = network(auto, made["config"], checkpoint)

    def forward(self, pixels: torch.Tensor, points: torch.Tensor, kinds: torch.Tensor) -> Outputs:
        """Prompts as `decode` has them."""
        return self.decode(self.encode(pixels), points, kinds)

    def encode(self, pixels: torch.Tensor) -> torch.Tensor:
        """Embeddings (batch, channels, rows, columns)."""
        found: torch.Tensor = self.net.vision_encoder(self.scaled(pixels)).last_hidden_state
        return found

    def decode(self, embedding: torch.Tensor, points: torch.Tensor, kinds: torch.Tensor) -> Outputs:
        """`logits` (batch, prompts, size, size) and `score` (batch, prompts), the overlap that is
        expected.

        Args:
            points: float32 (batch, prompts, slots, 2); kinds: int64 (batch, prompts, slots).
        """
        prompts = self.net.prompt_encoder
        side = (self.side, self.side)
        places = prompts.shared_embedding(points, side)
        # As SamPromptEncoder does, but for any mixture of points and corners in one tensor.
        rows = [prompts.not_a_point_embed, *prompts.point_embed]
        table = torch.cat([row.weight for row in rows])
        places = torch.where((kinds == NOTHING)[..., None], torch.zeros_like(places), places)
        # Kinds begin at -1, which stands for nothing.
        sparse = places + table[kinds + 1]
        dense = prompts.no_mask_embed.weight.reshape(1, -1, 1, 1).expand_as(embedding)
        wide = self.net.get_image_wide_positional_embeddings()
        masks, score = self.net.mask_decoder(
            image_embeddings=embedding,
            image_positional_embeddings=wide.expand(embedding.shape[0], -1, -1, -1),
            sparse_prompt_embeddings=sparse,
            dense_prompt_embeddings=dense,
            multimask_output=False,
        )
        large = interpolate(masks[:, :, 0], size=side, mode="bilinear", align_corners=False)
        return {"logits": large, "score": score[:, :, 0]}


class Encoder(nn.Module):
    """A picture's half, as a graph."""

    def __init__(self, sam: Sam) -> None:
        super().__init__()
        self.sam = sam

    def forward(self, pixels: torch.Tensor) -> Outputs:
        return {"embedding": self.sam.encode(pixels)}


class Decoder(nn.Module):
    """A prompt's half, as a graph: one prompt an embedding."""

    def __init__(self, sam: Sam) -> None:
        super().__init__()
        self.sam = sam

    def forward(
        self, embedding: torch.Tensor, points: torch.Tensor, kinds: torch.Tensor
    ) -> Outputs:
        found = self.sam.decode(embedding, points[:, None], kinds[:, None])
        return {name: values[:, 0] for name, values in found.items()}


def plan_sam(
    settings: SegmentationModel, spec: SegmentationSpec, checkpoint: Path | None
) -> dict[str, Any]:
    """The network that the settings ask for, or that of a checkpoint.

    Raises:
        UsageError: the checkpoint is of another kind, or sees pictures of another size.
    """
    made: dict[str, Any] = {"kind": "sam"}
    if checkpoint is not None:
        config = checkpoint_shape(checkpoint, [checkpoint / "config.json"], ["sam"])
        size = config.get("vision_config", {}).get("image_size", 1024)
        if size != spec.size:
            raise UsageError(
                f"checkpoint {checkpoint} sees {size} pixels, and the data has {spec.size}. "
                f"Type: --set features.size={size}"
            )
        whole = transformers.SamConfig.from_dict(config).to_dict()
        return made | NATURAL | {"config": whole}
    patch = 8 if spec.size <= SMALL_SIDE else 16
    hidden = HEADS * settings.width
    layers = settings.depth + 1
    # So that a signal keeps its size through layers of this width (LeCun et al. 1998, section 4.6).
    spread = hidden**-0.5
    vision = {
        "hidden_size": hidden,
        "output_channels": hidden,
        "num_hidden_layers": layers,
        "num_attention_heads": HEADS,
        "image_size": spec.size,
        "patch_size": patch,
        "mlp_dim": 2 * hidden,
        "num_pos_feats": hidden // 2,
        "window_size": 0,
        "global_attn_indexes": list(range(layers)),
        # The library's own values, 1e-10 and half of the hidden size, are for weights that are read
        # from a file: at frequencies so high, places next to each other look unrelated.
        "initializer_range": spread,
        "scale": 1.0,
    }
    prompt = {
        "hidden_size": hidden,
        "image_size": spec.size,
        "patch_size": patch,
    }
    decoder = {
        "hidden_size": hidden,
        "mlp_dim": 2 * hidden,
        "num_attention_heads": HEADS,
        "iou_head_hidden_dim": hidden,
    }
    shape = {
        "vision_config": vision,
        "prompt_encoder_config": prompt,
        "mask_decoder_config": decoder,
    }
    return made | {"config": {"model_type": "sam", "initializer_range": spread, **shape}}
