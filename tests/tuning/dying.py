"""A family whose training without a bias is killed, as where memory runs out."""

from __future__ import annotations

import os
import signal
from pathlib import Path

from modelyard.family import Entry
from tests.toy.family import LineHost
from tests.tuning.descent import DescentConfig, DescentFamily


class DyingFamily(DescentFamily):
    def fit(self, features: Path, out: Path, trainer):
        if not self.config.model.bias:
            os.kill(os.getpid(), signal.SIGKILL)
        return super().fit(features, out, trainer)


Dying = Entry("a line that may die", DescentConfig, build=DyingFamily, host=LineHost)
