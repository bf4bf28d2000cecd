"""Building: the network, the changes of its training pictures, and what it leaves for the host."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch

from modelyard.families.image import cam
from modelyard.families.image.augment import Changes
from modelyard.families.image.config import ImageConfig
from modelyard.families.image.data import ImageData, LabelsImageData
from modelyard.families.image.gallery import gallery, label_gallery
from modelyard.families.image.host import ImageHost, LabelsImageHost
from modelyard.families.image.network import Net, build, plan
from modelyard.families.image.spec import ImageSpec
from modelyard.judging.evaluation import Plot
from modelyard.kit.classes.judged import Judged
from modelyard.kit.classifier.family import Classifier
from modelyard.kit.classifier.host import ClassifierHost
from modelyard.kit.classifier.store import Plan
from modelyard.kit.labels.evaluate import JudgedLabels
from modelyard.kit.labels.family import ManyLabels
from modelyard.runtimes.types import Runtime


class Image(ImageData, Classifier[ImageConfig, ImageSpec]):
    """From a folder of pictures to a served classifier."""

    Answering: type[ClassifierHost[ImageSpec]] = ImageHost

    def plan(self, spec: ImageSpec) -> Plan:
        """The network that the settings ask for."""
        return plan(self.config.model, spec)

    def network(self, plan: Plan, spec: ImageSpec) -> Net:
        """A CNN, ResNet, ViT or EfficientNet."""
        return build(plan, spec)

    def start(self, plan: Plan, spec: ImageSpec) -> Net:
        """With the weights of `model.checkpoint`, where there is one."""
        return build(plan, spec, self.config.model.checkpoint)

    def prunable(self, model: torch.nn.Module) -> list[torch.nn.Module]:
        """All convolutions of a cnn, resnet or efficientnet; of a ViT the inner layers of its MLPs,
        since its tokens are as wide everywhere."""
        if self.config.model.kind != "vit":
            return [layer for layer in model.modules() if isinstance(layer, torch.nn.Conv2d)]
        return [layer for name, layer in model.named_modules() if name.endswith(".mlp.fc1")]

    def changes(self, count: int, generator: torch.Generator, spec: ImageSpec) -> Changes:
        """Shifts, turns and mirrors."""
        return Changes.draw(count, self.config.training, generator)

    def more_assets(self, net: torch.nn.Module, assets: Path) -> None:
        """The last layer, by which the host maps the evidence."""
        assert isinstance(net, Net)
        cam.save_head(assets, net.head.weight.detach().numpy(), net.head.bias.detach().numpy())

    def more_plots(
        self, host: ImageHost, run: Runtime, arrays: np.ndarray, judged: Judged
    ) -> list[Plot]:
        """Pictures: the worst errors, and right answers next to their evidence."""
        return gallery(host, run, arrays, judged)


class LabelsImage(LabelsImageData, ManyLabels[ImageConfig, ImageSpec], Image):
    """From pictures with any number of labels to a served classifier."""

    Answering = LabelsImageHost

    def label_plots(
        self, host: LabelsImageHost, run: Runtime, arrays: np.ndarray, judged: JudgedLabels
    ) -> list[Plot]:
        """Pictures: the worst errors, and right answers next to their evidence."""
        return label_gallery(host, run, arrays, judged)
