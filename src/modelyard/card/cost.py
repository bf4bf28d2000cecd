"""What the run used until its package was put together, and what that costs at the config's
prices."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from modelyard.card import views
from modelyard.cost.report import StageCost, line, sum_of, table
from modelyard.cost.usage import price
from modelyard.packages.package import PackageInfo
from modelyard.settings.cost import CostSettings
from modelyard.store.artifact import Origin
from modelyard.store.usage import Usage


@dataclass(frozen=True)
class Bill:
    """The section: one line, a table by stage, sentences."""

    headline: str
    table: views.Table
    notes: list[str]


def bill(info: PackageInfo, made: Sequence[Origin]) -> Bill | None:
    """The cost of everything in `made`; None where nothing of it was measured."""
    measured = [origin for origin in made if origin.cost is not None]
    if not measured:
        return None
    measured.sort(key=lambda origin: origin.created)
    settings = CostSettings.model_validate(info.config.get("cost", {}))
    # What an earlier run made was paid for there: it is shown as saved.
    stages = [_stage(origin, origin.run != info.run, settings) for origin in measured]
    total = sum_of(stages, settings)
    shown = table([*stages, total])
    notes = []
    saved = [stage.stage for stage in stages if stage.reused]
    if saved:
        notes.append(f"Taken from an earlier run and not paid again: {', '.join(saved)}.")
    if total.price.unpriced:
        notes.append(
            f"Not priced: {', '.join(total.price.unpriced)}. Prices are settings of the section cost."
        )
    return Bill(f"Until the package was put together: {line(total)}.", views.table(shown), notes)


def _stage(origin: Origin, reused: bool, settings: CostSettings) -> StageCost:
    assert origin.cost is not None
    if reused:
        used, saved = Usage(), origin.cost
    else:
        used, saved = origin.cost, Usage()
    return StageCost(
        stage=origin.stage,
        finished=int(not reused),
        reused=int(reused),
        used=used,
        saved=saved,
        price=price(used, settings),
        saved_price=price(saved, settings),
    )
