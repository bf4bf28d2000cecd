"""The cost of runs, from their stages' events: by stage and in all, and the return on it by
stated benefits."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from itertools import chain, compress
from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from modelyard.cost.usage import Price, figures, price, total
from modelyard.errors import UsageError
from modelyard.settings.cost import CostSettings
from modelyard.store.artifact import Manifest, Origin
from modelyard.store.usage import Usage, added

Events = Iterable[Mapping[str, Any]]
STARTING = "starting"
"""Row of what a run used outside its stages: starting their processes, importing libraries."""


class StageCost(BaseModel):
    """One stage over some executions."""

    model_config = ConfigDict(frozen=True)

    stage: str
    finished: int = 0
    failed: int = 0
    reused: int = 0
    unmeasured: int = 0
    """Executions that were killed, are still running, or are older than the measuring."""
    used: Usage = Usage()
    """Failed executions included: they were paid for too."""
    saved: Usage = Usage()
    """What the stages that were taken again had used when they were run."""
    price: Price
    saved_price: Price

    def __add__(self, other: StageCost) -> StageCost:
        return StageCost(
            stage=self.stage if self.stage == other.stage else "all",
            finished=self.finished + other.finished,
            failed=self.failed + other.failed,
            reused=self.reused + other.reused,
            unmeasured=self.unmeasured + other.unmeasured,
            used=self.used + other.used,
            saved=self.saved + other.saved,
            price=add_prices([self.price, other.price]),
            saved_price=add_prices([self.saved_price, other.saved_price]),
        )


def by_stage(events: Events, settings: CostSettings) -> list[StageCost]:
    """The stages of one run in the order in which they first began, whatever was executed again."""
    events_of: dict[str, list[Mapping[str, Any]]] = {}
    around = Usage()
    for event in events:
        if event["event"] == "started":
            events_of.setdefault(event["stage"], [])
        if event["event"] == "executed":
            around += Usage.model_validate(event["cost"])
        elif event["stage"] in events_of:
            events_of[event["stage"]].append(event)
    stages = [_stage(stage, list_of, settings) for stage, list_of in events_of.items()]
    if not around.wall_seconds:
        return stages
    # What a pod or process used in all holds what its stages used.
    left = around.without(total([stage.used for stage in stages]))
    nothing = price(Usage(), settings)
    starting = StageCost(
        stage=STARTING, used=left, price=price(left, settings), saved_price=nothing
    )
    return [*stages, starting]


def _stage(stage: str, events: Sequence[Mapping[str, Any]], settings: CostSettings) -> StageCost:
    count = Counter(event["event"] for event in events)
    used = saved = Usage()
    measured = 0
    for event in events:
        if "cost" in event:
            measured += 1
            used += Usage.model_validate(event["cost"])
        if "saved" in event:
            saved += Usage.model_validate(event["saved"])
    return StageCost(
        stage=stage,
        finished=count["finished"],
        failed=count["failed"],
        reused=count["reused"],
        unmeasured=count["started"] - measured,
        used=used,
        saved=saved,
        price=price(used, settings),
        saved_price=price(saved, settings),
    )


def over_runs(runs: Iterable[Sequence[StageCost]]) -> list[StageCost]:
    """The stages of several runs, added up.

    Raises:
        UsageError: the runs are priced in different currencies.
    """
    found: dict[str, StageCost] = {}
    for cost in chain.from_iterable(runs):
        if cost.stage in found:
            found[cost.stage] += cost
        else:
            found[cost.stage] = cost
    return list(found.values())


def sum_of(stages: Sequence[StageCost], settings: CostSettings) -> StageCost:
    """All stages as one, called `all`; nothing for none."""
    nothing = price(Usage(), settings)
    start = StageCost(stage="all", price=nothing, saved_price=nothing)
    return sum(stages, start).model_copy(update={"stage": "all"})


def paid(run: str, made: Iterable[Manifest], settings: CostSettings) -> dict[str, float]:
    """Figures `cost_…` of everything that `run` itself made, among `made` and what that was made
    from."""
    # By key: two outputs of one stage have the cost of the stage, which was paid once.
    origins: dict[str, Origin] = {}
    for manifest in made:
        for origin in (manifest, *manifest.lineage.values()):
            origins[origin.key] = origin
    used = Usage()
    for origin in origins.values():
        # Another run's outputs that were taken again were paid for there.
        if origin.cost is not None and origin.run == run:
            used += origin.cost
    return figures(used, price(used, settings))


def add_prices(prices: Sequence[Price]) -> Price:
    """The sum. Parts that are not priced make it a lower bound, which `unpriced` lists.

    Raises:
        UsageError: they are in different currencies.
    """
    currencies = list(dict.fromkeys(price.currency for price in prices))
    if len(currencies) > 1:
        raise UsageError(
            f"prices in {' and '.join(currencies)} cannot be added. Type: --set cost.currency=EUR"
        )
    parts: dict[str, float] = {}
    unpriced: dict[str, None] = {}
    for own in prices:
        parts = added(parts, own.parts)
        unpriced |= dict.fromkeys(own.unpriced)
    # Nothing used is 0; used and nothing of it priced is unknown.
    amount = sum(parts.values()) if parts or not unpriced else None
    return Price(currency=currencies[0], amount=amount, parts=parts, unpriced=list(unpriced))


def line(cost: StageCost) -> str:
    """One line for people: `12.3 core-minutes, 0.0042 EUR; reuse saved 3.1 core-minutes`."""
    used, amount = cost.used, cost.price.amount
    words = [f"{used.cpu_seconds / 60:.3g} core-minutes"]
    if used.gpu_seconds:
        words.append(f"{used.gpu_hours * 60:.3g} GPU-minutes")
    if used.kwh is not None:
        words.append(f"{used.kwh:.3g} kWh")
    if amount is None:
        words.append("not priced")
    else:
        words.append(money(amount, cost.price.currency))
    said = ", ".join(words)
    if cost.reused:
        said += f"; reuse saved {cost.saved.cpu_seconds / 60:.3g} core-minutes"
    return said


def money(amount: float, currency: str = "") -> str:
    """Two digits behind the point from 1 on, three significant ones below: `12.50 EUR`, `0.00417
    EUR`."""
    if abs(amount) >= 1:
        figure = f"{amount:,.2f}"
    elif 0 < amount < 1e-4:
        figure = "<0.0001"
    else:
        figure = f"{amount:.3g}"
    return f"{figure} {currency}".strip()


class Stakes(BaseModel):
    """What a model's decisions are worth, as its owner states it. Money is in the currency of
    the prices."""

    model_config = ConfigDict(frozen=True)

    per_unit: float
    """Worth of one unit of the metric on one decision: for accuracy, of one more right decision."""
    decisions_per_month: float = Field(gt=0)
    horizon_months: float = Field(default=12.0, gt=0)
    """How long the model will be used."""
    serving_per_month: float = Field(default=0.0, ge=0)
    """What each month costs: serving, storage, people who watch."""
    one_off: float = Field(default=0.0, ge=0)
    """One-off costs besides the runs: labels, work."""
    discount_rate: float | None = Field(default=None, ge=0)
    """A year's interest, 0.05 for 5 %. None: no net present value."""


class Return(BaseModel):
    """Return on investment of a model, against its baseline."""

    improvement: float
    """Model's metric less the baseline's, positive where the model is better."""
    benefit_per_month: float
    benefit: float
    """Over the horizon."""
    cost: float
    """Runs, one-off and serving over the horizon."""
    roi: float
    """(benefit - cost) / cost."""
    break_even_improvement: float
    """Improvement at which benefit equals cost."""
    payback_months: float | None
    """Months until the monthly gain has paid what was spent before; None: it never does."""
    npv: float | None
    """Sum of the monthly gains, discounted, less what was spent before; None without a discount
    rate."""


def return_on(
    stakes: Stakes, *, model: float, baseline: float, larger_is_better: bool, runs: float
) -> Return:
    """Benefit = worth of a unit x (model - baseline) x decisions a month x months; ROI = (benefit -
    cost) / cost.

    `runs` is the price of all runs. Net present value by the usual formula (Brealey, Myers & Allen,
    Principles of Corporate Finance, ch. 2) with a month's rate (1 + rate)^(1/12) - 1 and gains at
    the end of each month; a part of a month at the end counts as that part.

    Raises:
        UsageError: nothing costs anything, so that there is no return to tell.
    """
    improvement = model - baseline if larger_is_better else baseline - model
    unit = stakes.per_unit * stakes.decisions_per_month
    monthly, months = unit * improvement, stakes.horizon_months
    spent = runs + stakes.one_off
    cost = spent + stakes.serving_per_month * months
    if cost <= 0 or unit <= 0:
        example = "--benefit-per-correct 0.5 --serving-per-month 40"
        raise UsageError(
            f"a return needs a worth and a cost above 0, seen {unit:g} and {cost:g}. Type: {example}"
        )
    gain = monthly - stakes.serving_per_month
    npv = None
    if stakes.discount_rate is not None:
        npv = _discounted(gain, months, stakes.discount_rate) - spent
    return Return(
        improvement=improvement,
        benefit_per_month=monthly,
        benefit=monthly * months,
        cost=cost,
        roi=(monthly * months - cost) / cost,
        break_even_improvement=cost / (unit * months),
        payback_months=spent / gain if gain > 0 else None,
        npv=npv,
    )


def _discounted(monthly: float, months: float, yearly_rate: float) -> float:
    # The twelfth root, since twelve months' interest is paid on interest too.
    factor: float = (1 + yearly_rate) ** (-1 / 12)
    whole, part = divmod(months, 1)
    factors = [factor**month for month in range(1, int(whole) + 1)]
    return float(monthly * (sum(factors) + part * factor**months))


def table(stages: Sequence[StageCost]) -> dict[str, Any]:
    """Columns and rows by stage, as a card shows them."""
    currency = stages[0].price.currency if stages else ""
    columns = ["stage", "wall", "core-min", "GPU-min", "Wh", "peak MB", f"price, {currency}"]
    rows = [[stage.stage, *row(stage)] for stage in stages]
    # A column that no stage has a figure for is left out.
    is_shown = [any(cells) for cells in zip(*rows, strict=True)]
    return {
        "columns": list(compress(columns, is_shown)),
        "rows": [list(compress(cells, is_shown)) for cells in rows],
    }


def row(stage: StageCost) -> list[str]:
    """Wall time, core-minutes, GPU-minutes, Wh, peak memory and price as text; empty where there
    is none."""
    used, amount = stage.used, stage.price.amount
    return [
        f"{used.wall_seconds:.1f} s",
        f"{used.cpu_seconds / 60:.3g}",
        f"{used.gpu_hours * 60:.3g}" if used.gpu_seconds else "",
        "" if used.kwh is None else f"{used.kwh * 1e3:.3g}",
        f"{used.peak_memory_bytes / 1e6:,.0f}" if used.peak_memory_bytes else "",
        "" if amount is None else money(amount),
    ]
