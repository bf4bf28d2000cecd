"""The straight line, which notes what it judges; and one whose judging takes long."""

from __future__ import annotations

import time

import numpy as np

from modelyard.family import Entry
from tests.toy.family import LineConfig, LineFamily, LineHost, Point

JUDGED: list[tuple[str, str, int]] = []
"""Runtime, split and rows of each evaluation."""
SECONDS_A_ROW = 0.02


class CountedFamily(LineFamily):
    """The straight line, which notes what it judges."""

    def evaluate(self, host, run, features, split="test"):
        result = super().evaluate(host, run, features, split)
        JUDGED.append((type(run).__name__, split, result.rows))
        return result


class SlowFamily(CountedFamily):
    """A straight line whose rows take long to judge, one after the other."""

    def evaluate_part(self, host, run, features, split, part):
        x, y = np.load(features / f"{split}.npy").T
        errors = []
        for place in part.take(range(len(y))):
            # The exported model is slower: by the time alone it would be judged on fewer rows.
            time.sleep(SECONDS_A_ROW * (1 if type(run).__name__ == "function" else 3))
            (answer,) = host.predict(run, [Point(x=x[place])])
            errors.append(abs(answer.y - y[place]))
        JUDGED.append((type(run).__name__, split, len(errors)))
        whole = super().evaluate(host, run, features, split)
        JUDGED.pop()
        changed = {
            "rows": len(errors),
            "part": len(errors) if len(errors) < len(y) else None,
            "metrics": {"mae": float(np.mean(errors))},
        }
        return whole.model_copy(update=changed)


Counted = Entry("counted line", LineConfig, build=CountedFamily, host=LineHost)
Slow = Entry("slow line", LineConfig, build=SlowFamily, host=LineHost)
