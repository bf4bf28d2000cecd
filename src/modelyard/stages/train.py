"""train: features to a model."""

from __future__ import annotations

import shutil

from modelyard.artifact import In, Out, write_json
from modelyard.errors import UsageError
from modelyard.run import Run, stage


@stage(reads=("model", "training", "seed"))
def train(run: Run, features: In, model: Out) -> str:
    """Trains the family's model on the training split; the validation split decides when to stop."""
    from modelyard.training.loop import Trainer

    if run.nodes > 1:
        raise UsageError(f"nodes = {run.nodes}: training runs on one node. Type: --nodes 1")
    shutil.copytree(features / "assets", model / "assets")
    trainer = Trainer(seed=run.config.seed, settings=run.config.training, progress=run.progress("train"))
    summary = run.family.fit(features, model, trainer)
    write_json(model / "summary.json", summary)
    return str(summary.get("headline", ""))
