"""Mask2Former (Cheng et al. 2022), of the library transformers: pixels to queries, each a class and a
mask."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
import transformers

from modelyard.families.segmentation.config import SegmentationModel
from modelyard.families.segmentation.spec import SegmentationSpec
from modelyard.kit.checkpoints import body_shape
from modelyard.kit.pictures.layers import NATURAL, Standardizing
from modelyard.kit.transformers import network

HEADS = 4
GROUPED = 32
"""Channels of the pixel decoder come in so many groups."""
SMALL_SIDE = 320
"""Pictures up to so many pixels are cut into patches of 2, larger ones into patches of 4."""
POINTS = 512
"""Places of a mask that the loss compares, for pictures of any size."""


class Mask2Former(Standardizing):
    """Pixels to `logits` (batch, queries, classes and nothing) and `masks`, logits (batch, queries,
    rows, columns) of a lower resolution; to `loss`, a number for each picture, where its objects are
    given: masks float32 (objects, size, size) and classes int64 (objects,).

    The loss is the library's: the Hungarian algorithm assigns queries to objects, whose masks are
    compared at random points by cross entropy and Dice, and all classes by cross entropy, after each
    layer. Crowds are no targets: what is found there counts as nothing.
    """

    def __init__(
        self, made: dict[str, Any], spec: SegmentationSpec, checkpoint: Path | None
    ) -> None:
        super().__init__(made, spec.mean, spec.std)
        auto = transformers.AutoModelForUniversalSegmentation
        self.net: Any = network(
            auto,
            made["config"],
            checkpoint,
            classes=len(spec.classes),
            # The library's faster attention cannot be exported.
            attn_implementation="eager",
        )

    def forward(
        self,
        pixels: torch.Tensor,
        masks: list[torch.Tensor] | None = None,
        labels: list[torch.Tensor] | None = None,
    ) -> dict[str, torch.Tensor]:
        found = self.net(pixel_values=self.scaled(pixels), output_auxiliary_logits=True)
        last = {
            "masks_queries_logits": found.masks_queries_logits,
            "class_queries_logits": found.class_queries_logits,
        }
        if masks is None or labels is None:
            return {"logits": found.class_queries_logits, "masks": found.masks_queries_logits}
        if self.training:
            return {"loss": self._losses(last, found.auxiliary_logits, masks, labels)}
        # Always the same points: epochs are compared by their validation loss.
        devices = [pixels.device] if pixels.is_cuda else []
        with torch.random.fork_rng(devices):
            torch.manual_seed(0)
            return {"loss": self._losses(last, found.auxiliary_logits, masks, labels)}

    def _losses(
        self,
        last: dict[str, torch.Tensor],
        auxiliary: list[dict[str, torch.Tensor]],
        masks: list[torch.Tensor],
        labels: list[torch.Tensor],
    ) -> torch.Tensor:
        """The loss of each picture, (batch,).

        Each picture by itself: the library divides by the objects of a batch, and parts of a batch
        would not add up to it.
        """
        losses = []
        for row, (own_masks, own_labels) in enumerate(zip(masks, labels, strict=True)):
            parts = self.net.get_loss_dict(
                **_of_picture(last, row),
                mask_labels=[own_masks],
                class_labels=[own_labels],
                auxiliary_predictions=[_of_picture(one, row) for one in auxiliary],
            )
            losses.append(self.net.get_loss(parts))
        return torch.stack(losses)


def _of_picture(outputs: dict[str, torch.Tensor], row: int) -> dict[str, torch.Tensor]:
    """A layer's outputs for one picture of a batch, as a batch of one."""
    return {name: values[row : row + 1] for name, values in outputs.items()}


def plan_mask2former(
    settings: SegmentationModel, spec: SegmentationSpec, checkpoint: Path | None
) -> dict[str, Any]:
    """The network that the settings ask for, or that of a checkpoint.

    Raises:
        UsageError: the checkpoint is of another kind.
    """
    made: dict[str, Any] = {"kind": "mask2former"}
    if checkpoint is not None:
        return made | NATURAL | {"config": body_shape(checkpoint, "mask2former")}
    width = settings.width
    hidden = HEADS * width
    patch = 2 if spec.size <= SMALL_SIDE else 4
    # Convolutions learn from fewer pictures than the windows of a Swin, which checkpoints have.
    backbone = {
        "model_type": "convnext",
        "patch_size": patch,
        "hidden_sizes": [width * 2**stage for stage in range(4)],
        "depths": [1] * 4,
        "layer_scale_init_value": 1.0,
        "out_features": ["stage1", "stage2", "stage3", "stage4"],
    }
    config = {
        "model_type": "mask2former",
        "backbone_config": backbone,
        # Its convolutions at full resolution are most of the work.
        "feature_size": GROUPED * max(1, hidden // (2 * GROUPED)),
        "mask_feature_size": hidden,
        "hidden_dim": hidden,
        "encoder_feedforward_dim": hidden,
        "dim_feedforward": 2 * hidden,
        "encoder_layers": 1,
        # The library counts the look of the queries before the first layer too.
        "decoder_layers": settings.depth + 1,
        "num_attention_heads": HEADS,
        "num_queries": settings.queries,
        "train_num_points": POINTS,
    }
    return made | {"config": config}
