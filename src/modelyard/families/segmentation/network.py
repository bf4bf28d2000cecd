"""The networks: pixels to scores by class of every pixel, `logits` float32 (batch, classes, size,
size)."""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import Any

import torch
from torch import nn
from torch.nn.functional import interpolate

from modelyard.families.segmentation.config import SegmentationModel
from modelyard.families.segmentation.spec import SegmentationSpec
from modelyard.kit.checkpoints import body_shape
from modelyard.kit.pictures.layers import NATURAL, Block, Standardizing

Plan = dict[str, Any]
MODEL_TYPES = {"segformer": "segformer", "deeplabv3": "mobilenet_v2"}
"""What transformers calls the kinds."""
CENTRED = {"mean": [127.5] * 3, "std": [127.5] * 3}
"""Of the pixels that MobileNetV2's checkpoints were trained on."""


class Unet(Standardizing):
    """Halved and doubled again, with a way across at each size (Ronneberger et al. 2015); blocks
    have shortcuts."""

    def __init__(self, made: Plan, spec: SegmentationSpec) -> None:
        super().__init__(made, spec.mean, spec.std)
        widths = [made["width"] * 2**level for level in range(made["depth"] + 1)]
        self.first = Block(3, widths[0], 1)
        pairs = list(itertools.pairwise(widths))
        self.down = nn.ModuleList([Block(before, after, 2) for before, after in pairs])
        self.up = nn.ModuleList([Block(after + before, before, 1) for before, after in pairs])
        self.score = nn.Conv2d(widths[0], len(spec.classes), 1)

    def forward(self, pixels: torch.Tensor) -> dict[str, torch.Tensor]:
        maps = self.first(self.scaled(pixels))
        across = []
        for block in self.down:
            across.append(maps)
            maps = block(maps)
        for block in reversed(self.up):
            # By the nearest pixel: exact in ONNX, and a transposed convolution leaves a chequered pattern.
            larger = interpolate(maps, scale_factor=2.0)
            maps = block(torch.cat([larger, across.pop()], 1))
        return {"logits": self.score(maps)}


class Library(Standardizing):
    """A network of transformers; its scores, of a lower resolution, are brought to the square's."""

    def __init__(self, made: Plan, spec: SegmentationSpec, checkpoint: Path | None = None) -> None:
        import transformers

        from modelyard.kit.transformers import network

        super().__init__(made, spec.mean, spec.std)
        self.side = spec.size
        auto = transformers.AutoModelForSemanticSegmentation
        self.net = network(auto, made["config"], checkpoint, classes=len(spec.classes))

    def forward(self, pixels: torch.Tensor) -> dict[str, torch.Tensor]:
        logits = self.net(pixel_values=self.scaled(pixels)).logits
        # A number, not the input's shape: the graph has one size, which runtimes can plan for.
        size = (self.side, self.side)
        return {"logits": interpolate(logits, size=size, mode="bilinear", align_corners=False)}


def plan(
    settings: SegmentationModel, spec: SegmentationSpec, checkpoint: Path | None = None
) -> Plan:
    """The network that the settings ask for; with `checkpoint`, that of its config.json.

    Raises:
        UsageError: the checkpoint is of another kind.
    """
    kind, width, depth = settings.kind, settings.width, settings.depth
    if kind == "unet":
        return {"kind": kind, "width": width, "depth": depth}
    # Imported late: each brings a part of transformers that the others do not need.
    if kind == "sam":
        from modelyard.families.segmentation.sam import plan_sam

        return plan_sam(settings, spec, checkpoint)
    if kind == "mask2former":
        from modelyard.families.segmentation.mask2former import plan_mask2former

        return plan_mask2former(settings, spec, checkpoint)
    made: Plan = {"kind": kind}
    if checkpoint is not None:
        scales = NATURAL if kind == "segformer" else CENTRED
        return made | scales | {"config": body_shape(checkpoint, MODEL_TYPES[kind])}
    if kind == "segformer":
        shape = _segformer(width, depth)
    else:
        shape = _mobilenet(width)
    return made | {"config": {"model_type": MODEL_TYPES[kind], **shape}}


def build(made: Plan, spec: SegmentationSpec, checkpoint: Path | None = None) -> Standardizing:
    """The untrained network of a plan; with `checkpoint`, with those weights."""
    if made["kind"] == "sam":
        from modelyard.families.segmentation.sam import Sam

        return Sam(made, spec, checkpoint)
    if made["kind"] == "mask2former":
        from modelyard.families.segmentation.mask2former import Mask2Former

        return Mask2Former(made, spec, checkpoint)
    if made["kind"] == "unet":
        return Unet(made, spec)
    return Library(made, spec, checkpoint)


def _segformer(width: int, depth: int) -> dict[str, Any]:
    return {
        "hidden_sizes": [width * 2**level for level in range(4)],
        "depths": [depth] * 4,
        "num_attention_heads": [1, 2, 4, 8],
        "decoder_hidden_size": 4 * width,
    }


def _mobilenet(width: int) -> dict[str, Any]:
    return {"depth_multiplier": width / 32, "output_stride": 8, "finegrained_output": False}
