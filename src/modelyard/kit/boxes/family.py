"""Building networks that find objects. Imports torch."""

from __future__ import annotations

from abc import abstractmethod
from pathlib import Path
from typing import TYPE_CHECKING, Any

from modelyard.family import Split
from modelyard.kit.boxes.answering import ObjectAnswers
from modelyard.kit.boxes.precision import Judged
from modelyard.kit.pictures.data import C, S
from modelyard.kit.pictures.family import SquareFamily
from modelyard.runtimes.torch import TorchRuntime
from modelyard.runtimes.types import Runtime

if TYPE_CHECKING:
    from modelyard.training.loop import Trainer


class ObjectFamily(SquareFamily[C, S]):
    """Which of the objects that a network sees are answers is fitted on the validation split. A family
    gives `Answering` and `judged` too; its settings have `model.threshold` and `model.most_overlap`."""

    Answering: type[Any]
    """The host that answers with the network."""

    @abstractmethod
    def judged(self, host: Any, run: Runtime, features: Path, split: Split) -> Judged:
        """What a host finds in the pictures of a split, its classes as the split numbers them."""

    def fit(self, features: Path, out: Path, trainer: Trainer) -> dict[str, Any]:
        """Trains into `out`; adds the network's plan, and which objects are answers, to the assets.

        Raises:
            UsageError: the settings do not fit the data.
        """
        report = super().fit(features, out, trainer)
        assets, notes = Path(out) / "assets", list(report["notes"])
        settings: Any = self.config.model
        answers = ObjectAnswers(
            threshold=settings.threshold or 0.5, most_overlap=settings.most_overlap
        )
        # Saved before it is fitted: the host that finds the threshold reads the overlap from here.
        answers.save(assets)
        if settings.threshold is None:
            host, run = self.Answering(assets), TorchRuntime(self.graphs(out))
            best = self.judged(host, run, features, "validation").best_threshold()
            answers = answers.model_copy(update={"threshold": best})
            answers.save(assets)
            notes.append(f"The threshold {best:.2f} has the best F1 on the validation split.")
        headline = f"{report['headline']}, threshold {answers.threshold:.2f}"
        return report | {"headline": headline, "notes": notes}
