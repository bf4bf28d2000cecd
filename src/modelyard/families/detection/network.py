"""The networks: pixels to scores by class and boxes, for each place of a grid or each query.

`logits` are (batch, places, classes), for kinds with softmax one more, the last, that stands for
nothing; `boxes` are (batch, places, 4) as `modelyard.kit.boxes.geometry` reads them.
"""

from __future__ import annotations

import itertools
import math
from abc import ABC, abstractmethod
from pathlib import Path
from typing import Any

import torch
from torch import nn

from modelyard.families.detection.config import DetectionModel
from modelyard.families.detection.losses import dense_loss
from modelyard.families.detection.spec import DetectionSpec
from modelyard.kit.boxes.geometry import grid
from modelyard.kit.pictures.layers import Block, Standardizing

Batch = dict[str, torch.Tensor]
Plan = dict[str, Any]
STRIDES = [8, 16, 32]
"""Pixels between the places of the cnn's grids."""
GROUPS = 8
"""Of a norm's channels, at most."""
PRIOR = 0.01
"""Share of places that a fresh network takes for an object (Lin et al. 2017, section 4.1)."""
LARGEST = 6.0
"""Of the logarithm of a box's side in strides: 400 of them."""


class Detector(Standardizing, ABC):
    """Pixels 0 to 255, float32 (batch, 3, size, size), to `logits` and `boxes`; to `loss`, a number
    for each picture, where its `objects` are given as in a batch. Pixels are standardized inside."""

    @abstractmethod
    def forward(self, pixels: torch.Tensor, objects: torch.Tensor | None = None) -> Batch:
        """As the class says."""


class Cnn(Detector):
    """One stage without anchors, as FCOS (Tian et al. 2019) and CenterNet (Zhou et al. 2019): maps
    of three strides, each finer one with the coarser ones added (Lin et al. 2017), and the same
    layers at every place."""

    def __init__(self, made: Plan, spec: DetectionSpec) -> None:
        super().__init__(made, spec.mean, spec.std)
        width, depth = made["width"], made["depth"]
        self.stem = nn.Sequential(
            nn.Conv2d(3, width, 3, 2, 1, bias=False), nn.BatchNorm2d(width), nn.ReLU()
        )
        widths = [width, 2 * width, 2 * width, 4 * width, 4 * width]
        stages = []
        for before, after in itertools.pairwise(widths):
            more = [Block(after, after, 1) for _ in range(depth - 1)]
            stages.append(nn.Sequential(Block(before, after, 2), *more))
        self.stages = nn.ModuleList(stages)
        inner = 2 * width
        self.sides = nn.ModuleList([nn.Conv2d(after, inner, 1) for after in widths[2:]])
        # The plan of a package with batch statistics does not name them.
        norm = made.get("norm", "batch")
        self.towers = nn.ModuleList([_tower(inner, norm), _tower(inner, norm)])
        self.score = nn.Conv2d(inner, len(spec.classes), 3, padding=1)
        self.box = nn.Conv2d(inner, 4, 3, padding=1)
        nn.init.constant_(self.score.bias, -math.log((1 - PRIOR) / PRIOR))  # type: ignore[arg-type]
        # Weights near 0: at first only the bias decides.
        nn.init.normal_(self.score.weight, std=0.01)
        places = torch.from_numpy(grid(spec.size, STRIDES)).float()
        self.register_buffer("places", places, persistent=False)
        # What a picture's losses are divided by: the same for every picture, so that parts of a
        # batch add up to it.
        boxes = max(1.0, sum(spec.counts) / spec.pictures)
        self.register_buffer("usual", torch.tensor(boxes), persistent=False)

    def forward(self, pixels: torch.Tensor, objects: torch.Tensor | None = None) -> Batch:
        maps = self.stem(self.scaled(pixels))
        found = []
        for stage in self.stages:
            maps = stage(maps)
            found.append(maps)
        # From the coarsest map to the finest; what is read off them goes the other way.
        added: torch.Tensor | None = None
        logits: list[torch.Tensor] = []
        boxes: list[torch.Tensor] = []
        for side, one in zip(reversed(self.sides), reversed(found[1:]), strict=True):
            merged = side(one)
            if added is not None:
                merged = merged + nn.functional.interpolate(added, scale_factor=2.0)
            added = merged
            logits.insert(0, _by_place(self.score(self.towers[0](merged))))
            boxes.insert(0, _by_place(self.box(self.towers[1](merged))))
        outputs = {"logits": torch.cat(logits, 1), "boxes": torch.cat(boxes, 1).clamp(max=LARGEST)}
        if objects is None:
            return outputs
        places, usual = self.get_buffer("places"), self.get_buffer("usual")
        return {"loss": dense_loss(outputs["logits"], outputs["boxes"], objects, places) / usual}


def _tower(width: int, norm: str) -> nn.Sequential:
    """Layers that read the maps of all strides. Batch statistics would be those of the three mixed, which
    none of them has: norms of groups (Wu and He 2018) look at one map of one picture, as in FCOS."""
    layers: list[nn.Module] = []
    for _ in range(2):
        layers.append(nn.Conv2d(width, width, 3, 1, 1, bias=False))
        if norm == "group":
            layers.append(nn.GroupNorm(math.gcd(GROUPS, width), width))
        else:
            layers.append(nn.BatchNorm2d(width))
        layers.append(nn.ReLU())
    return nn.Sequential(*layers)


def _by_place(maps: torch.Tensor) -> torch.Tensor:
    """(batch, channels, rows, columns) to (batch, places, channels)."""
    return maps.flatten(2).transpose(1, 2)


def plan(settings: DetectionModel, spec: DetectionSpec, checkpoint: Path | None = None) -> Plan:
    """The network that the settings ask for; with `checkpoint`, that of its config.json.

    Raises:
        UsageError: the checkpoint is of another kind.
    """
    if settings.kind != "cnn":
        from modelyard.families.detection.queries import plan_queries

        return plan_queries(settings, spec, checkpoint)
    return {
        "kind": "cnn",
        "width": settings.width,
        "depth": settings.depth,
        "strides": STRIDES,
        "norm": "group",
    }


def build(made: Plan, spec: DetectionSpec, checkpoint: Path | None = None) -> Detector:
    """The untrained network of a plan; with `checkpoint`, with those weights."""
    if made["kind"] == "cnn":
        return Cnn(made, spec)
    from modelyard.families.detection.queries import Queries

    return Queries(made, spec, checkpoint)
