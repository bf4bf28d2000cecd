"""Which of the objects that a network sees are answers: fitted on the validation split."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from modelyard.kit.boxes.answering import ObjectAnswers
from modelyard.kit.boxes.precision import Judged


def choose_answers(
    assets: Path,
    threshold: float | None,
    most_overlap: float,
    judged: Callable[[], Judged],
    report: dict[str, Any],
) -> dict[str, Any]:
    """Adds to the assets which objects are answers, and says so in the report of a training.

    Args:
        threshold: least score of an answer; None: that with the best F1.
        most_overlap: of two objects of a class that overlap by more, the surer one is the answer.
        judged: what the network finds in the validation split, where the threshold follows from it;
            it reads the assets.
    """
    answers = ObjectAnswers(threshold=threshold or 0.5, most_overlap=most_overlap)
    answers.save(assets)
    notes = list(report["notes"])
    if threshold is None:
        best = judged().best_threshold()
        answers = answers.model_copy(update={"threshold": best})
        answers.save(assets)
        notes.append(f"The threshold {best:.2f} has the best F1 on the validation split.")
    headline = f"{report['headline']}, threshold {answers.threshold:.2f}"
    return report | {"headline": headline, "notes": notes}
