"""The record of a search in one SQLite file: what was tried, what comes next, what to do again
after a kill."""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from modelyard.errors import MissingExtra
from modelyard.settings.search import Range, holds, lookup
from modelyard.tuning.prune import Curve
from modelyard.tuning.trial import Result

if TYPE_CHECKING:
    import optuna
    from optuna.trial import FrozenTrial

State = Literal["finished", "pruned", "failed"]
ENDED, SETTINGS, RETRY = "ended", "settings", "retry"
"""Attributes of a trial: how it ended (a killed one has none), its settings, and that it was
begun before."""
OPTUNA = {"finished": "COMPLETE", "pruned": "PRUNED", "failed": "FAIL"}
"""What Optuna calls the state of a trial that ended."""


def called(number: int) -> int:
    """Optuna's number of a trial as people count: from 1."""
    return number + 1


@dataclass(frozen=True)
class Tried:
    """A trial that has ended."""

    number: int
    """As Optuna counts, from 0."""
    state: State
    settings: dict[str, Any]
    """Values of the searched settings, by dotted name; nothing for the trial of the starting
    settings."""
    value: float | None
    curve: dict[int, float]
    """Validation loss by epoch."""
    seconds: float
    headline: str
    same_as: int | None = None
    """The number of the trial whose result was taken, since the settings are the same."""
    cost: dict[str, Any] | None = None

    @property
    def trial(self) -> int:
        """The trial as people count: the starting settings are trial 1."""
        return called(self.number)


@dataclass(frozen=True)
class Proposal:
    """Settings to try next."""

    number: int
    settings: dict[str, Any]


class Study:
    """A search over a space, beginning with the result of the starting settings."""

    def __init__(
        self,
        file: Path | None,
        space: Mapping[str, Range],
        config: Mapping[str, Any],
        direction: str,
        seed: int,
    ) -> None:
        """Opens the study of `file`, or makes it; None: in memory. `direction` is `max` or
        `min`."""
        library = import_optuna()
        self._space, self._config, self._seed = space, config, seed
        self._asked: dict[int, optuna.Trial] = {}
        self._ended: list[Tried] | None = None
        self.larger_is_better = direction == "max"
        storage, wanted = None, "minimize"
        if file:
            storage = f"sqlite:///{file}"
        if self.larger_is_better:
            wanted = "maximize"
        self._study: optuna.Study = library.create_study(
            study_name="tuning", storage=storage, load_if_exists=True, direction=wanted
        )

    def begin(self, start: Result, curve: Curve, seconds: float) -> bool:
        """Records the starting settings' result as trial 0; False where that was done before."""
        if self._study.get_trials(deepcopy=False):
            return False
        from optuna.trial import create_trial

        inside = self._encoded({})
        attributes = self._attributes("finished", {}, seconds, start.headline, start)
        self._ended = None
        self._study.add_trial(
            create_trial(
                value=start.value,
                params=inside,
                user_attrs=attributes,
                intermediate_values=self._turned(curve),
                distributions=self._distributions(inside),
            )
        )
        return True

    def add(self, settings: dict[str, Any], result: Result | None, headline: str) -> None:
        """Records a trial that ended elsewhere; None: it failed."""
        from optuna.trial import TrialState, create_trial

        state: State = "failed"
        seconds, value = 0.0, None
        if result:
            state = "finished"
            seconds, value = result.cost.wall_seconds, result.value
        inside = self._encoded(settings)
        attributes = self._attributes(state, settings, seconds, headline, result)
        self._ended = None
        self._study.add_trial(
            create_trial(
                state=TrialState[OPTUNA[state]],
                value=value,
                params=inside,
                distributions=self._distributions(inside),
                user_attrs=attributes,
            )
        )

    def take_up(self) -> int:
        """Fails the trials that were running when an earlier process was killed, and queues them
        again.

        Call it while no other process works on the study. A trial is taken up once: what takes the
        machine down twice would do it again. Returns how many are queued again.
        """
        from optuna.trial import TrialState

        again = 0
        for trial in self._study.get_trials(deepcopy=False, states=(TrialState.RUNNING,)):
            self._study.tell(trial.number, state=TrialState.FAIL)
            if RETRY not in trial.user_attrs:
                self._study.enqueue_trial(trial.params, user_attrs={RETRY: True})
                again += 1
        return again

    def ask(self) -> Proposal:
        """The next settings: those to be done again, else by TPE (Bergstra et al. 2011) from all
        results so far.

        What is drawn follows from the seed and the trial's number, so that a study that was killed
        continues as if it had not been.
        """
        from optuna.samplers import TPESampler

        number = len(self._study.get_trials(deepcopy=False))
        # Seeds lie so far apart that searches with neighbouring seeds share no draws. Of a small
        # space fewer random trials say enough for TPE to begin than Optuna's ten.
        startup = min(10, 3 + len(self._space))
        self._study.sampler = TPESampler(seed=self._seed + 1009 * number, n_startup_trials=startup)
        trial = self._study.ask()
        settings: dict[str, Any] = {}
        for name, one in self._space.items():
            if holds(one, self._config, settings):
                settings[name] = one.suggest(trial, name)
        self._asked[trial.number] = trial
        return Proposal(trial.number, settings)

    def tell(
        self,
        number: int,
        settings: dict[str, Any],
        result: Result,
        curve: Curve,
        seconds: float,
        same_as: int | None = None,
    ) -> Tried:
        """Records a result."""
        self._report(number, curve)
        return self._end(number, "finished", settings, seconds, result.headline, result, same_as)

    def tell_pruned(
        self, number: int, settings: dict[str, Any], curve: Curve, seconds: float, why: str
    ) -> Tried:
        """Records a trial that was stopped before its end."""
        self._report(number, curve)
        return self._end(number, "pruned", settings, seconds, why, None)

    def tell_failed(self, number: int, settings: dict[str, Any], seconds: float, why: str) -> Tried:
        """Records a trial that cannot be trained or judged."""
        return self._end(number, "failed", settings, seconds, why, None)

    def give_up(self, number: int) -> None:
        """Marks a trial that a person interrupted: it is queued again when the search continues."""
        from optuna.trial import TrialState

        trial = self._asked.pop(number)
        # A trial that was begun before stays one: `take_up` gives it no third try.
        marks = {}
        if RETRY in trial.user_attrs:
            marks[RETRY] = True
        self._study.tell(trial, state=TrialState.FAIL)
        self._study.enqueue_trial(trial.params, user_attrs=marks)

    def tried(self) -> list[Tried]:
        """All trials that ended, in their order."""
        if self._ended is None:
            self._ended = []
            for trial in self._study.get_trials(deepcopy=False):
                ended = trial.user_attrs.get(ENDED)
                # A kill while it was recorded leaves an end that Optuna was not told of.
                if ended and OPTUNA[ended] == trial.state.name:
                    self._ended.append(self._tried(trial))
        return self._ended

    def best(self) -> Tried:
        """The finished trial with the best value, the earliest of equals."""
        done = [trial for trial in self.tried() if trial.value is not None]
        if self.larger_is_better:
            return max(done, key=_value)
        return min(done, key=_value)

    def importances(self) -> dict[str, float]:
        """How much of the differences between good and other trials each setting explains
        (PED-ANOVA, Watanabe et al. 2023), the most first; shares of 1. Nothing where too few
        trials were finished."""
        from optuna.importance import PedAnovaImportanceEvaluator, get_param_importances
        from optuna.trial import TrialState

        finished = self._study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,))
        # PED-ANOVA compares the best tenth with all: of so few trials that is noise.
        if len(finished) < 8:
            return {}
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            found = get_param_importances(self._study, evaluator=PedAnovaImportanceEvaluator())
        return dict(sorted(found.items(), key=lambda item: -item[1]))

    def _report(self, number: int, curve: Curve) -> None:
        for epoch, loss in self._turned(curve).items():
            self._asked[number].report(loss, epoch)

    def _end(
        self,
        number: int,
        state: State,
        settings: dict[str, Any],
        seconds: float,
        headline: str,
        result: Result | None,
        same_as: int | None = None,
    ) -> Tried:
        from optuna.trial import TrialState

        trial = self._asked.pop(number)
        attributes = self._attributes(state, settings, seconds, headline, result, same_as)
        # Each attribute is a write of its own, `ENDED` the last: killed in between, the trial is
        # RUNNING for Optuna, and `take_up` queues it again.
        for name, value in attributes.items():
            trial.set_user_attr(name, value)
        values = None
        if result:
            values = result.value
        self._ended = None
        self._study.tell(trial, values=values, state=TrialState[OPTUNA[state]])
        return self._tried(self._study.get_trials(deepcopy=False)[number])

    def _attributes(
        self,
        state: State,
        settings: dict[str, Any],
        seconds: float,
        headline: str,
        result: Result | None,
        same_as: int | None = None,
    ) -> dict[str, Any]:
        cost = None
        if result and same_as is None:
            cost = result.cost.model_dump(mode="json")
        return {
            SETTINGS: settings,
            "seconds": round(seconds, 2),
            "headline": headline,
            "same_as": same_as,
            "cost": cost,
            ENDED: state,
        }

    def _encoded(self, settings: Mapping[str, Any]) -> dict[str, Any]:
        """Values as Optuna holds them: of the settings, and the starting ones where they are
        silent; those whose conditions hold and that lie in their range."""
        chosen = {}
        for name in self._space:
            chosen[name] = settings.get(name, lookup(self._config, name))
        found: dict[str, Any] = {}
        for name, one in self._space.items():
            if not holds(one, self._config, chosen):
                continue
            value = one.encode(chosen[name])
            if value is not None:
                found[name] = value
        return found

    def _distributions(self, names: Iterable[str]) -> dict[str, Any]:
        return {name: self._space[name].distribution() for name in names}

    def _turned(self, curve: Curve) -> dict[int, float]:
        """Losses in the study's direction, and back: Optuna ranks pruned trials by them."""
        sign = 1.0
        if self.larger_is_better:
            sign = -1.0
        return {epoch: sign * loss for epoch, loss in curve.items()}

    def _tried(self, trial: FrozenTrial) -> Tried:
        attributes = trial.user_attrs
        value = None
        if attributes[ENDED] == "finished":
            value = trial.value
        return Tried(
            number=trial.number,
            state=attributes[ENDED],
            settings=attributes[SETTINGS],
            value=value,
            curve=self._turned(trial.intermediate_values),
            seconds=attributes["seconds"],
            headline=attributes["headline"],
            same_as=attributes["same_as"],
            cost=attributes["cost"],
        )


def _value(tried: Tried) -> float:
    assert tried.value is not None
    return tried.value


def import_optuna() -> Any:
    """Optuna, quiet.

    Raises:
        MissingExtra: it is not installed.
    """
    try:
        import optuna
    except ModuleNotFoundError:
        raise MissingExtra("tuning", "tune") from None
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    return optuna
