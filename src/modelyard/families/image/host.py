"""The half that answers: picture files to labels. Numpy, pydantic and Pillow only."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from pydantic import BaseModel

from modelyard.families.image import cam
from modelyard.families.image.spec import ImageSpec
from modelyard.host import Caution, Cost, Explanation
from modelyard.kit.classifier.host import LOGITS, ClassifierHost
from modelyard.kit.labels.host import ManyLabelsHost
from modelyard.kit.pictures.answering import (
    SentPicture,
    Turns,
    decoding_cost,
    page_cautions,
)
from modelyard.kit.pictures.drawing import data_url
from modelyard.kit.pictures.pixels import PICTURES, open_picture, statistics
from modelyard.runtimes.types import Runtime

FEATURES = "features"
"""The graph's output of the last stage's maps."""


class Picture(SentPicture):
    """One example in."""


class ImageHost(ClassifierHost[ImageSpec]):
    """Answers for one trained network."""

    Spec = ImageSpec
    Request = Picture
    reads = PICTURES.suffixes
    sensitive = frozenset({"image"})

    def __init__(self, assets: Path) -> None:
        super().__init__(assets)
        self._turns = Turns()
        self.head = cam.load_head(self.assets)
        self.method = cam.method(self.assets) if self.head is not None else ""

    def cost(self, request: BaseModel) -> Cost:
        """Decoding, which takes as long as the picture is large."""
        assert isinstance(request, Picture)
        return decoding_cost(request.image, self.spec.limits)

    def array(self, data: bytes) -> np.ndarray:
        """What the model sees of a file's bytes: uint8 (channels, size, size)."""
        with self._turns.of(data):
            return self.spec.decode(data)

    def cautions(self, request: BaseModel, array: np.ndarray) -> tuple[Caution, ...]:
        """Also that the picture has pages that were not read."""
        assert isinstance(request, Picture)
        pages = page_cautions(request.image, self.spec.limits)
        return (*super().cautions(request, array), *pages)

    def figures(self, data: bytes) -> dict[str, float | str | None]:
        """Figures of the picture as it was sent."""
        with self._turns.of(data):
            return {**statistics(open_picture(data, self.spec.limits))}

    def explain(self, run: Runtime, request: BaseModel) -> Explanation | None:
        """The class activation map of the answer, which is Grad-CAM before its ReLU: cells of a
        grid and a picture.

        Base and contributions add up to the output: of two classes the calibrated log-odds of the
        positive one, of more the calibrated logit of the answer less the mean of all, of many labels
        the calibrated log-odds of the most probable one.
        """
        if self.head is None:
            return None
        pixels = self.decode(request)
        (outputs,) = self.outputs(run, pixels[None])
        places, base, name = self.evidence(outputs[FEATURES][0], outputs[LOGITS][0])
        contributions = {}
        for (row, column), value in np.ndenumerate(cam.coarse(places)):
            contributions[f"row {row + 1} column {column + 1}"] = float(value)
        return Explanation(
            method=self.method,
            output=name,
            base=base,
            contributions=contributions,
            picture=data_url(cam.overlay(pixels, places)),
        )

    def evidence(self, features: np.ndarray, logits: np.ndarray) -> tuple[np.ndarray, float, str]:
        """Evidence for the answer (of two classes: for the positive one) by place, (rows, columns);
        base; what it is.

        Args:
            features: the last stage's maps (features, rows, columns); logits: of the classes.
        """
        assert self.head is not None
        classes = len(self.spec.classes)
        weights, name = self.reasoned(logits)
        # The temperature divides the logits and so the evidence; an offset belongs to no place.
        shift = self.calibrated(np.zeros(classes))
        slope = self.calibrated(np.ones(classes)) - shift
        places, base = cam.evidence(features, self.head, weights * slope)
        base += float(weights @ shift)
        return places, base, name

    @property
    def evidence_of(self) -> str:
        """What evidence is for, in a caption."""
        classes = self.spec.classes
        if len(classes) == 2:
            return f"for {classes[1]}"
        return "for the answer"


class LabelsImageHost(ManyLabelsHost[ImageSpec], ImageHost):
    """Answers with any number of labels."""

    @property
    def evidence_of(self) -> str:
        return "for the most probable label"
