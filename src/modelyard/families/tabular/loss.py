"""Which loss a regression is fitted with: what a person set, or what the target's tail asks for."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np

from modelyard.errors import UsageError
from modelyard.families.tabular.config import MONOTONE_LOSSES, Kind, Loss, TabularModel
from modelyard.families.tabular.scale import TargetScale

Fit = Literal["squared", "absolute", "huber", "quantile"]

LOSSES: dict[Kind, tuple[Loss, ...]] = {
    "linear": ("squared", "huber", "log"),
    "tree": ("squared", "absolute", "log"),
    "forest": ("squared", "absolute", "log"),
    "bagging": ("squared", "absolute", "log"),
    "boosting": ("squared", "absolute", "log", "quantile"),
    "xgboost": ("squared", "absolute", "huber", "log", "quantile"),
    "lightgbm": ("squared", "absolute", "huber", "log", "quantile"),
    "svm": ("absolute",),
    "stack": ("squared", "absolute", "huber", "log"),
    "mlp": ("squared", "absolute", "huber", "log", "quantile"),
}
"""What each kind can be fitted with."""
HEAVY = 0.5
"""Below this ratio of mean deviation to standard deviation a target has a heavy tail: it is .80 of
a normal distribution, .69 of an exponential one."""
LIGHT = 0.6
"""From this ratio on the logarithm of a target has no heavy tail."""
HUBER = 1.345
"""Errors beyond so many spreads count by their size, not by their square: 95 % as efficient as
squares where errors are normal (Huber 1964)."""


@dataclass(frozen=True)
class Chosen:
    """A loss, the unit of the target that goes with it, and a sentence for the card."""

    name: Loss
    fit: Fit
    """What the library is asked for: the logarithm of a target is fitted by squares."""
    scale: TargetScale
    note: str
    quantile: float = 0.5
    """Of the pinball loss."""


def choose_loss(
    settings: TabularModel, y: np.ndarray, least: float, earlier: TargetScale | None
) -> Chosen:
    """The loss for training targets `y` (rows,).

    Args:
        least: smallest target of the training and validation rows.
        earlier: the unit of the model whose weights are trained on; it is kept.

    Raises:
        UsageError: the kind cannot be fitted with the loss that is set, or a target is not above 0
            where its logarithm is wanted.
    """
    able = _able(settings, earlier)
    name = settings.loss
    reason = "model.loss"
    if earlier is not None and earlier.log:
        name, reason = "log", "as the model that it starts from"
    elif name == "log" and earlier is not None:
        raise UsageError(
            "setting 'model.loss' = 'log', and the earlier model does not predict a logarithm. "
            "Type: --set model.loss=auto"
        )
    elif name == "auto":
        name, reason = _by_tail(y, least, able)
    elif name not in able:
        raise UsageError(
            f"setting 'model.loss': model.kind = {settings.kind} cannot be fitted with {name!r}; "
            f"it can with {', '.join(able)}"
        )
    if name == "log" and least <= 0:
        raise UsageError(
            f"setting 'model.loss': log needs targets above 0; the least is {least:g}. "
            "Type: --set model.loss=absolute"
        )
    robust = name in ("absolute", "huber", "quantile")
    scale = earlier or TargetScale.fit(y, log=name == "log", robust=robust)
    if name == "quantile":
        reason = f"model.quantile = {settings.quantile:.3g}"
    note = f"Fitted with {WORDS[name]} ({reason}).{COSTS[name]}"
    return Chosen(name, FITS[name], scale, note, settings.quantile)


def _able(settings: TabularModel, earlier: TargetScale | None) -> tuple[Loss, ...]:
    """The losses that the kind can be fitted with."""
    if settings.kind == "auto":
        # What it chooses from can take the same losses together.
        able = LOSSES["lightgbm"]
    else:
        able = LOSSES[settings.kind]
    if settings.monotone:
        able = tuple(loss for loss in able if loss in MONOTONE_LOSSES)
    if earlier is not None and not earlier.log:
        # Its weights give the target itself.
        able = tuple(loss for loss in able if loss != "log")
    return able


def covering(y: np.ndarray, value: np.ndarray, quantile: float) -> float:
    """What to add to every value so that the share `quantile` of new targets lies at or below it.

    Boosting fits its training rows too closely for that. The errors of rows that it has not seen,
    `y - value` (rows,), say how far it is off: split conformal prediction, one side of Romano,
    Patterson and Candès 2019, equation 8.
    """
    errors = np.sort(y - value)
    # The small number forgives what floats lose: 100 * 0.07 is 7.000000000000001.
    rank = int(np.ceil((len(errors) + 1) * quantile - 1e-9))
    return float(errors[min(rank, len(errors)) - 1])


def mean_to_standard_deviation(y: np.ndarray) -> float:
    """Mean distance from the median over the standard deviation (Geary 1935): the less, the
    heavier the tails. 1 where all values are the same."""
    from_median = y - np.median(y)
    largest = float(np.abs(from_median).max())
    if largest == 0:
        return 1.0
    # In units of the largest: squares of very large targets would overflow.
    unit = from_median / largest
    return float(np.abs(unit).mean() / unit.std())


def _by_tail(y: np.ndarray, least: float, able: tuple[Loss, ...]) -> tuple[Loss, str]:
    if able == ("absolute",):
        return "absolute", "a support vector machine's"
    # By the training rows only: those that judge must not choose what is fitted.
    ratio = mean_to_standard_deviation(y)
    if ratio >= HEAVY:
        return "squared", "the target has no heavy tail"
    found = f"the target has a heavy tail: mean deviation {ratio:.2g} of the standard deviation"
    may_be_log = "log" in able and least > 0
    if may_be_log and mean_to_standard_deviation(np.log(y)) >= LIGHT:
        return "log", f"{found}, its logarithm has none"
    if "absolute" in able:
        return "absolute", found
    return "huber", found


FITS: dict[Loss, Fit] = {
    "squared": "squared",
    "absolute": "absolute",
    "huber": "huber",
    "log": "squared",
    "quantile": "quantile",
}
WORDS: dict[Loss, str] = {
    "squared": "squared errors",
    "absolute": "absolute errors",
    "huber": "the Huber loss",
    "log": "squared errors of the logarithm",
    "quantile": "the pinball loss",
}
_TYPICAL = (
    " It predicts typical (median) values: their sum falls short of the true sum of a skewed target."
    " For means: model.loss=squared."
)
COSTS: dict[Loss, str] = {
    "squared": "",
    "absolute": _TYPICAL,
    "huber": _TYPICAL,
    "log": _TYPICAL,
    "quantile": (
        " That share of the targets is to lie below the prediction: the validation rows say by how "
        "much to move it."
    ),
}
