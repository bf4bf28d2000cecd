"""What may be searched, for every family, and what conditions and fixed settings leave of it."""

import pytest

from modelyard.errors import UsageError
from modelyard.family import load, names
from modelyard.settings.family import resolve
from modelyard.settings.search import choice, holds, lookup, nested, real, searched, whole
from modelyard.tuning.prune import hopeless
from modelyard.tuning.report import differing

SPACE = {
    "model.rate": real(0.01, 1.0, log=True, when={"model.kind": ("a", "b")}),
    "model.depth": whole(2, 8, when={"model.kind": ("c",)}),
    "model.kind": choice("a", "b"),
}
CONFIG = {"model": {"kind": "a", "rate": 0.1, "depth": 4}}


def values(one) -> list:
    if one.choices:
        return list(one.choices)
    middle = (one.low * one.high) ** 0.5 if one.log else (one.low + one.high) / 2
    return [round(value) if one.integer else value for value in (one.low, middle, one.high)]


@pytest.mark.parametrize("family", names())
def test_every_value_of_a_familys_space_is_a_valid_setting(family):
    cls = load(family)
    assert cls.Config.search_space
    for name, one in cls.Config.search_space.items():
        for value in values(one):
            kinds = {condition: allowed[0] for condition, allowed in one.when.items()}
            config = resolve(
                cls.Config, ("config", nested(kinds)), ("config", nested({name: value}))
            )
            assert lookup(config.model_dump(mode="json"), name) == value


@pytest.mark.parametrize("family", names())
def test_every_condition_of_a_familys_space_can_hold(family):
    cls = load(family)
    for one in cls.Config.search_space.values():
        for condition, allowed in one.when.items():
            for value in allowed:
                resolve(cls.Config, ("config", nested({condition: value})))


@pytest.mark.parametrize("family", names())
def test_the_default_kind_of_a_family_can_be_searched(family):
    cls = load(family)
    config = cls.Config().model_dump(mode="json")
    found = searched(cls.Config.search_space, config, ["model.kind"])
    assert any(holds(one, config, {}) for one in found.values())


def test_what_others_depend_on_is_drawn_first_and_what_cannot_hold_is_left_out():
    assert list(searched(SPACE, CONFIG, [])) == ["model.kind", "model.rate"]


def test_a_fixed_setting_decides_its_conditions():
    fixed = {"model": {**CONFIG["model"], "kind": "c"}}
    assert list(searched(SPACE, fixed, ["model.kind"])) == ["model.depth"]


def test_a_search_of_nothing_is_refused():
    with pytest.raises(
        UsageError, match="nothing to search: the family's Config names no settings"
    ):
        searched({}, CONFIG, [])
    with pytest.raises(UsageError, match=r"nothing to search: what could be is given.*model\.kind"):
        searched(SPACE, CONFIG, list(SPACE))


def test_a_condition_follows_the_chosen_value_before_the_configs():
    assert holds(SPACE["model.rate"], CONFIG, {})
    assert not holds(SPACE["model.rate"], CONFIG, {"model.kind": "c"})


def test_values_outside_of_a_range_have_no_code():
    assert choice([64], [128, 64]).encode([128, 64]) == "[128, 64]"
    assert choice(None, 3).encode(None) == "null"
    assert choice(None, 3).encode(5) is None
    assert real(0.0, 1.0).encode(2.0) is None
    assert whole(1, 5).encode(None) is None


def test_only_what_differs_from_the_defaults_is_written():
    cls = load(names()[0])
    section = next(iter(cls.Config.search_space)).split(".")[0]
    name, one = next(
        item
        for item in cls.Config.search_space.items()
        if item[0].startswith(section) and not item[1].when
    )
    default = lookup(cls.Config().model_dump(mode="json"), name)
    other = next(value for value in values(one) if value != default)
    config = resolve(cls.Config, ("config", nested({name: other})))
    assert differing(config) == nested({name: other})
    assert resolve(cls.Config, ("params.yaml", differing(config))) == config


GOOD, BAD = {1: 1.0, 2: 0.5, 3: 0.3}, {1: 1.0, 2: 0.9, 3: 0.8}


def test_a_trial_worse_than_the_median_of_enough_others_is_hopeless():
    assert hopeless(BAD, [GOOD] * 4, epochs=10)
    assert not hopeless(GOOD, [BAD] * 4, epochs=10)


def test_nothing_is_pruned_without_enough_others_or_in_the_first_epochs():
    assert not hopeless(BAD, [GOOD] * 3, epochs=10)
    assert not hopeless({1: 5.0}, [GOOD] * 4, epochs=10)
    assert not hopeless(BAD, [GOOD] * 4, epochs=100)
    assert not hopeless({}, [GOOD] * 4, epochs=10)


def test_one_bad_epoch_after_a_good_one_is_forgiven():
    assert not hopeless({1: 1.0, 2: 0.2, 3: 9.0}, [GOOD] * 4, epochs=10)


def test_others_are_compared_as_they_were_at_the_same_epoch():
    late = {epoch: 1.0 if epoch < 6 else 0.01 for epoch in range(1, 9)}
    assert not hopeless(BAD, [late] * 4, epochs=10)
