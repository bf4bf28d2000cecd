"""What a search may change: a range or a choice for each setting, by its dotted name. Light:
families import it."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any, TypeAlias

from modelyard.errors import UsageError

if TYPE_CHECKING:
    from optuna.distributions import BaseDistribution
    from optuna.trial import Trial

When = Mapping[str, tuple[Any, ...]]


@dataclass(frozen=True)
class Range:
    """The values that one setting may take. Make it by `real`, `whole` or `choice`."""

    low: float = 0.0
    high: float = 0.0
    log: bool = False
    """Values are drawn evenly by their magnitude."""
    integer: bool = False
    choices: tuple[Any, ...] = ()
    """JSON values; ranges have none."""
    when: When = field(default_factory=dict)
    """Searched only where each of these settings has one of these values."""
    changes_loss: bool = False
    """Under another value the training loss means something else: such trials are not pruned by
    each other."""

    def distribution(self) -> BaseDistribution:
        """The same for Optuna. It knows only choices of numbers and texts, so that JSON stands
        for them."""
        from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

        if self.choices:
            return CategoricalDistribution(list(map(json.dumps, self.choices)))
        if self.integer:
            return IntDistribution(int(self.low), int(self.high), log=self.log)
        return FloatDistribution(self.low, self.high, log=self.log)

    def suggest(self, trial: Trial, name: str) -> Any:
        """The setting's value as Optuna samples it."""
        if self.choices:
            text = trial.suggest_categorical(name, list(map(json.dumps, self.choices)))
            return json.loads(text)
        if self.integer:
            return trial.suggest_int(name, int(self.low), int(self.high), log=self.log)
        return trial.suggest_float(name, self.low, self.high, log=self.log)

    def encode(self, value: Any) -> Any | None:
        """The setting's value as Optuna's; None where it lies outside of the range."""
        if self.choices:
            text = json.dumps(value)
            return text if text in map(json.dumps, self.choices) else None
        # To Python a bool is an int, and True would lie in a range around 1.
        if isinstance(value, bool) or not isinstance(value, int | float):
            return None
        return value if self.low <= value <= self.high else None


Space: TypeAlias = Mapping[str, Range]


def real(
    low: float,
    high: float,
    *,
    log: bool = False,
    when: When | None = None,
    changes_loss: bool = False,
) -> Range:
    """A number between `low` and `high`."""
    assert low < high, "an empty range"
    assert low > 0 or not log, "a range by magnitude begins above 0"
    return Range(low, high, log, when=when or {}, changes_loss=changes_loss)


def whole(
    low: int, high: int, *, log: bool = False, when: When | None = None, changes_loss: bool = False
) -> Range:
    """A whole number from `low` to `high`."""
    assert low < high, "an empty range"
    assert low > 0 or not log, "a range by magnitude begins above 0"
    return Range(low, high, log, integer=True, when=when or {}, changes_loss=changes_loss)


def choice(*values: Any, when: When | None = None, changes_loss: bool = False) -> Range:
    """One of some JSON values."""
    assert len(values) > 1, "nothing to choose"
    return Range(choices=values, when=when or {}, changes_loss=changes_loss)


def searched(space: Space, config: Mapping[str, Any], fixed: Iterable[str]) -> dict[str, Range]:
    """The part of a space that can be searched: without what is `fixed`, and what its conditions
    then rule out.

    Ranges that others depend on come first.

    Raises:
        UsageError: nothing is left.
    """
    fixed = set(fixed)
    open_ones = {name: one for name, one in space.items() if name not in fixed}
    found = {name: one for name, one in open_ones.items() if _is_possible(one, open_ones, config)}
    if not space:
        said = "the family's Config names no settings in search_space (docs/families.md, section 2)"
        raise UsageError(f"there is nothing to search: {said}")
    if not found:
        raise UsageError(
            f"there is nothing to search: what could be is given, or ruled out by it ({', '.join(space)})"
        )
    parents: set[str] = set()
    for searched in found.values():
        parents.update(searched.when)
    # Conditions of the others are checked against them: they have to be chosen before.
    return dict(sorted(found.items(), key=lambda item: item[0] not in parents))


def _is_possible(one: Range, space: Space, config: Mapping[str, Any]) -> bool:
    """Whether the conditions of a range may all come true, by what is searched or given."""
    for name, values in one.when.items():
        if name in space:
            may_hold = not set(space[name].choices).isdisjoint(values)
        else:
            may_hold = lookup(config, name) in values
        if not may_hold:
            return False
    return True


def holds(one: Range, config: Mapping[str, Any], chosen: Mapping[str, Any]) -> bool:
    """Whether a range's conditions hold, by the values chosen so far over those of the config."""
    for name, values in one.when.items():
        value = chosen[name] if name in chosen else lookup(config, name)
        if value not in values:
            return False
    return True


def lookup(config: Mapping[str, Any], name: str) -> Any:
    """The value of a dotted name in a config's JSON."""
    node: Any = config
    for part in name.split("."):
        node = node[part]
    return node


def nested(chosen: Mapping[str, Any]) -> dict[str, Any]:
    """`{"model.kind": "mlp"}` to `{"model": {"kind": "mlp"}}`."""
    found: dict[str, Any] = {}
    for name, value in chosen.items():
        node = found
        *sections, last = name.split(".")
        for section in sections:
            node = node.setdefault(section, {})
        node[last] = value
    return found


def names(values: Mapping[str, Any], prefix: str = "") -> list[str]:
    """Dotted names of all leaves."""
    found: list[str] = []
    for name, value in values.items():
        if isinstance(value, Mapping):
            found += names(value, f"{prefix}{name}.")
        else:
            found.append(prefix + name)
    return found


def as_json(space: Space) -> str:
    """A text that differs where two spaces differ."""
    return json.dumps({name: asdict(one) for name, one in space.items()}, sort_keys=True)
