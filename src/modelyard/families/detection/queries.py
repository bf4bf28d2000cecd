"""Networks of the library transformers that answer by queries: YOLOS and DETR, with the library's
own losses."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
import transformers

from modelyard.families.detection.config import DetectionModel
from modelyard.families.detection.network import Batch, Detector, Plan
from modelyard.families.detection.spec import DetectionSpec
from modelyard.kit.checkpoints import body_shape
from modelyard.kit.pictures.layers import NATURAL
from modelyard.kit.transformers import network

SMALL_SIDE = 160
"""Pictures up to so many pixels are cut into patches of 8, larger ones into patches of 16."""
HEADS = 4


class Queries(Detector):
    """One of the library's networks. `boxes` are centre, width and height as shares of the square.

    Ignored objects are no targets: what is found there counts as nothing.
    """

    last_stays = "class_labels_classifier"
    """The last output of this layer stands for nothing; classes that are appended come before it."""

    def __init__(self, made: Plan, spec: DetectionSpec, checkpoint: Path | None = None) -> None:
        super().__init__(made, spec.mean, spec.std)
        self.side = spec.size
        auto = transformers.AutoModelForObjectDetection
        self.net = network(auto, made["config"], checkpoint, classes=len(spec.classes))

    def forward(self, pixels: torch.Tensor, objects: torch.Tensor | None = None) -> Batch:
        scaled = self.scaled(pixels)
        if objects is not None:
            return {"loss": self.net(pixel_values=scaled, labels=self.targets(objects)).loss}
        outputs = self.net(pixel_values=scaled)
        return {"logits": outputs.logits, "boxes": outputs.pred_boxes}

    def targets(self, objects: torch.Tensor) -> list[Batch]:
        """What the library's losses take of a batch's objects."""
        found = []
        for own in objects:
            low, high = own[:, 1:3] / self.side, own[:, 3:5] / self.side
            # The library's overlap refuses a box whose corners are the wrong way round.
            chosen = (own[:, 0] >= 0) & (own[:, 5] == 0) & (high > low).all(1)
            boxes = torch.cat([(low + high) / 2, high - low], 1)
            found.append({"class_labels": own[chosen, 0].long(), "boxes": boxes[chosen]})
        return found


def plan_queries(settings: DetectionModel, spec: DetectionSpec, checkpoint: Path | None) -> Plan:
    """The network that the settings ask for, or that of a checkpoint.

    Raises:
        UsageError: the checkpoint is of another kind.
    """
    made: Plan = {"kind": settings.kind, "softmax": True}
    if checkpoint is not None:
        return made | NATURAL | {"config": body_shape(checkpoint, settings.kind)}
    if settings.kind == "yolos":
        shape = _yolos(settings, spec)
    else:
        shape = _detr(settings)
    return made | {"config": {"model_type": settings.kind, **shape}}


def _yolos(settings: DetectionModel, spec: DetectionSpec) -> dict[str, Any]:
    hidden = HEADS * settings.width
    patch = 8 if spec.size <= SMALL_SIDE else 16
    return {
        "hidden_size": hidden,
        "num_hidden_layers": settings.depth + 1,
        "num_attention_heads": HEADS,
        "intermediate_size": 2 * hidden,
        "image_size": [spec.size, spec.size],
        "patch_size": patch,
        "num_detection_tokens": settings.queries,
        "use_mid_position_embeddings": False,
    }


def _detr(settings: DetectionModel) -> dict[str, Any]:
    width, layers = settings.width, settings.depth + 1
    return {
        "use_timm_backbone": False,
        "use_pretrained_backbone": False,
        "backbone": None,
        "backbone_config": {
            "model_type": "resnet",
            "embedding_size": width,
            "hidden_sizes": [width, 2 * width, 4 * width],
            "depths": [settings.depth] * 3,
            "layer_type": "basic",
            "out_features": ["stage3"],
        },
        "d_model": HEADS * width,
        "encoder_layers": layers,
        "decoder_layers": layers,
        "encoder_attention_heads": HEADS,
        "decoder_attention_heads": HEADS,
        "encoder_ffn_dim": 2 * HEADS * width,
        "decoder_ffn_dim": 2 * HEADS * width,
        "num_queries": settings.queries,
        "auxiliary_loss": True,
    }
