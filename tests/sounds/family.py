"""Building: the network and the changes of its training clips."""

from __future__ import annotations

import numpy as np
import torch

from modelyard.kit.classifier.family import Change, Classifier, Plan
from tests.sounds.config import SoundsConfig
from tests.sounds.data import SoundsData
from tests.sounds.host import SoundsHost
from tests.sounds.network import SoundsNet
from tests.sounds.spec import SoundsSpec


class SoundsFamily(SoundsData, Classifier[SoundsConfig, SoundsSpec]):
    """From a folder of WAV files to a served classifier."""

    Answering = SoundsHost

    def network(self, plan: Plan, spec: SoundsSpec) -> SoundsNet:
        """Two convolutions."""
        return SoundsNet(plan["width"], spec)

    def changes(self, count: int, generator: torch.Generator, spec: SoundsSpec) -> Change:
        """Louder or softer."""
        gain = torch.randn(count, generator=generator) * self.config.training.gain

        def change(spectrograms: torch.Tensor, rows: np.ndarray) -> torch.Tensor:
            return spectrograms + gain[rows][:, None, None, None]

        return change
