"""The networks: maps of features over the picture, their mean over places, one linear layer."""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from modelyard.errors import UsageError
from modelyard.families.image.config import ImageModel
from modelyard.families.image.spec import ImageSpec
from modelyard.kit.pictures.layers import Block, Standardizing

if TYPE_CHECKING:
    from transformers import PretrainedConfig, PreTrainedModel

GRID = 8
"""Rows and columns of the last maps that the networks aim at."""
STAGES = {
    "out_channels": (16, 24, 40, 80, 112, 192, 320),
    "kernel_sizes": (3, 3, 5, 3, 5, 5, 3),
    "expand_ratios": (1, 6, 6, 6, 6, 6, 6),
}
"""Of EfficientNet-B0, whose channels before the first stage are B0_WIDTH, and HEAD_WIDTHS times as many
after the last (Tan and Le 2019, table 1)."""
B0_WIDTH, HEAD_WIDTHS = 32, 40
NORM_MOMENTUM = 0.1
"""How much of a batch goes into the running mean and variance of a norm."""
MOST_WIDTH = 8
"""Channels grow to at most so many times the first stage's."""
Plan = dict[str, Any]
"""A network's shape as JSON: `kind`, `dropout`, and what builds the backbone."""


class Net(Standardizing):
    """Pixels 0 to 255, float32 (batch, channels, size, size), to `logits` (batch, classes) and
    `features`, the last stage's maps (batch, features, rows, columns). Pixels are standardized
    inside."""

    def __init__(self, backbone: nn.Module, width: int, spec: ImageSpec, made: Plan) -> None:
        super().__init__(made, spec.mean, spec.std)
        self.backbone, self.dropout = backbone, nn.Dropout(made["dropout"])
        self.head = nn.Linear(width, len(spec.classes))

    def forward(self, pixels: torch.Tensor) -> dict[str, torch.Tensor]:
        features = self.backbone(self.scaled(pixels))
        return {"logits": self.head(self.dropout(features.mean((2, 3)))), "features": features}


class Maps(nn.Module):
    """A transformers backbone whose answer is its maps; patch tokens are laid out as a grid
    again."""

    def __init__(self, backbone: PreTrainedModel, grid: int | None) -> None:
        super().__init__()
        self.backbone, self.grid = backbone, grid

    def forward(self, pixels: torch.Tensor) -> torch.Tensor:
        hidden: torch.Tensor = self.backbone(pixel_values=pixels).last_hidden_state
        if self.grid is None:
            return hidden
        # The first token is the class token: the mean over the patches does as well (Beyer et al.
        # 2022, section 3.3).
        patches = hidden[:, 1:].transpose(1, 2)
        return patches.reshape(-1, patches.shape[1], self.grid, self.grid)


def plan(settings: ImageModel, spec: ImageSpec) -> Plan:
    """The network that the settings ask for.

    Raises:
        UsageError: the checkpoint or the patches do not fit the pictures.
    """
    if settings.kind == "cnn":
        shape: Plan = {"widths": _widths(settings.width, spec.size), "depth": settings.depth or 1}
    elif settings.checkpoint is not None:
        shape = {"config": _checkpoint_config(settings, spec).to_dict()}
    else:
        made = {"resnet": _resnet, "vit": _vit, "efficientnet": _efficientnet}[settings.kind]
        shape = {"config": made(settings, spec).to_dict()}
    return {"kind": settings.kind, "dropout": settings.dropout, **shape}


def build(made: Plan, spec: ImageSpec, checkpoint: str | None = None) -> Net:
    """The untrained network of a plan; with `checkpoint`, its backbone has those weights."""
    if made["kind"] == "cnn":
        widths = made["widths"]
        return Net(_cnn(spec.channels, widths, made["depth"]), widths[-1], spec, made)
    from modelyard.kit.transformers import backbone

    body = backbone(made["config"], checkpoint)
    config = body.config
    if made["kind"] == "vit":
        grid = config.image_size // config.patch_size
        return Net(Maps(body, grid), config.hidden_size, spec, made)
    if made["kind"] == "resnet":
        return Net(Maps(body, None), config.hidden_sizes[-1], spec, made)
    _prepare(body, untrained=checkpoint is None)
    return Net(Maps(body, None), config.hidden_dim, spec, made)


def _prepare(body: nn.Module, *, untrained: bool) -> None:
    """Makes transformers' EfficientNet trainable."""
    for layer in body.modules():
        if isinstance(layer, nn.BatchNorm2d):
            # The config's 0.99 is the share that is kept, as TensorFlow counts; torch would take it
            # for the share of the new batch, and validate with hardly more than the last one.
            layer.momentum = NORM_MOMENTUM
            if untrained:
                # The library draws them around 0: nothing would come through.
                nn.init.ones_(layer.weight)
        elif isinstance(layer, nn.Conv2d) and untrained:
            nn.init.kaiming_normal_(layer.weight, mode="fan_out")


def _widths(width: int, size: int) -> list[int]:
    """Channels by stage. All stages but the last halve the picture; as many as leave about GRID
    rows."""
    halvings = max(1, round(math.log2(size / GRID)))
    return [width * min(2**stage, MOST_WIDTH) for stage in range(halvings + 1)]


def _cnn(channels: int, widths: list[int], depth: int) -> nn.Sequential:
    blocks: list[nn.Module] = []
    before = channels
    for stage, width in enumerate(widths):
        for number in range(depth):
            # The first block of a stage halves the picture; the last stage keeps its places for the
            # map.
            stride = 2 if number == 0 and stage < len(widths) - 1 else 1
            blocks.append(Block(before, width, stride))
            before = width
    return nn.Sequential(*blocks)


def _resnet(settings: ImageModel, spec: ImageSpec) -> PretrainedConfig:
    """transformers' ResNet: its stem divides the side by 4, each stage after the first by 2."""
    from transformers import ResNetConfig

    stages = min(max(int(math.log2(spec.size / GRID)), 2), 4)
    return ResNetConfig(
        num_channels=spec.channels,
        embedding_size=settings.width,
        layer_type="basic",
        hidden_sizes=[settings.width * 2**stage for stage in range(stages)],
        depths=[settings.depth or 1] * stages,
    )


def _efficientnet(settings: ImageModel, spec: ImageSpec) -> PretrainedConfig:
    """transformers' EfficientNet: its stem halves the side, and stages after the first do until about
    GRID rows are left; so small a picture has only B0's first stages, at least three."""
    from transformers import EfficientNetConfig

    halvings = max(1, round(math.log2(spec.size / GRID))) - 1
    stages = min(max(halvings + 1, 3), len(STAGES["out_channels"]))
    out = STAGES["out_channels"][:stages]
    strides = [2 if 1 <= stage <= halvings else 1 for stage in range(stages)]
    share = settings.width / B0_WIDTH
    return EfficientNetConfig(
        num_channels=spec.channels,
        image_size=spec.size,
        width_coefficient=share,
        depth_coefficient=1.0,
        in_channels=[B0_WIDTH, *out[:-1]],
        out_channels=list(out),
        kernel_sizes=list(STAGES["kernel_sizes"][:stages]),
        expand_ratios=list(STAGES["expand_ratios"][:stages]),
        strides=strides,
        num_block_repeats=[settings.depth or 1] * stages,
        hidden_dim=HEAD_WIDTHS * settings.width,
        drop_connect_rate=settings.dropout,
    )


def _vit(settings: ImageModel, spec: ImageSpec) -> PretrainedConfig:
    from transformers import ViTConfig

    patch = settings.patch
    if patch is None:
        # The smallest that divides the side into at most GRID patches; `-(-a // b)` rounds up.
        patch = -(-spec.size // GRID)
        while spec.size % patch:
            patch += 1
    if spec.size % patch:
        raise UsageError(
            f"model.patch = {patch} does not divide the pictures' side of {spec.size} pixels"
        )
    hidden = 3 * settings.width
    return ViTConfig(
        image_size=spec.size,
        patch_size=patch,
        num_channels=spec.channels,
        hidden_size=hidden,
        num_hidden_layers=settings.depth or 3,
        num_attention_heads=3,
        intermediate_size=2 * hidden,
    )


def _checkpoint_config(settings: ImageModel, spec: ImageSpec) -> PretrainedConfig:
    from transformers import AutoConfig

    name = settings.checkpoint
    assert name is not None
    try:
        config: PretrainedConfig = AutoConfig.from_pretrained(
            name, local_files_only=True, trust_remote_code=False
        )
    except (OSError, ValueError) as error:
        raise _no_checkpoint(name, error) from None
    if config.model_type != settings.kind:
        raise UsageError(
            f"model.checkpoint {name!r} is a {config.model_type}, model.kind is {settings.kind}"
        )
    if config.num_channels != spec.channels:
        allowed = "colour" if config.num_channels == 3 else "gray"
        raise UsageError(
            f"model.checkpoint {name!r} takes {config.num_channels} channels: set features.channels={allowed}"
        )
    if settings.kind == "vit" and config.image_size != spec.size:
        raise UsageError(
            f"model.checkpoint {name!r} takes {config.image_size} px: set features.size={config.image_size}"
        )
    return config


def _no_checkpoint(name: str, error: Exception) -> UsageError:
    if Path(name).is_dir():
        what = "is a folder without config.json or model.safetensors"
    else:
        what = f"is neither a folder nor in the local Hugging Face cache. For the hub's, type: hf download {name}"
    first = str(error).strip().splitlines()[0][:120]
    return UsageError(f"model.checkpoint {name!r} {what} ({first})")
