"""The cost of runs, from their stages' events: by stage and in all, and the return on it by
stated benefits."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from modelyard.cost.usage import Price, figures, price
from modelyard.errors import UsageError
from modelyard.settings.cost import CostSettings
from modelyard.store.artifact import Manifest, Origin
from modelyard.store.usage import Usage

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
    left = around.without(sum((one.used for one in stages), Usage()))
    nothing = price(Usage(), settings)
    return [
        *stages,
        StageCost(stage=STARTING, used=left, price=price(left, settings), saved_price=nothing),
    ]


def _stage(stage: str, events: Sequence[Mapping[str, Any]], settings: CostSettings) -> StageCost:
    count = Counter(event["event"] for event in events)
    measured = [Usage.model_validate(event["cost"]) for event in events if "cost" in event]
    saved = sum(
        (Usage.model_validate(event["saved"]) for event in events if "saved" in event), Usage()
    )
    used = sum(measured, Usage())
    return StageCost(
        stage=stage,
        finished=count["finished"],
        failed=count["failed"],
        reused=count["reused"],
        unmeasured=count["started"] - len(measured),
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
    for stages in runs:
        for one in stages:
            found[one.stage] = found[one.stage] + one if one.stage in found else one
    return list(found.values())


def sum_of(stages: Sequence[StageCost], settings: CostSettings) -> StageCost:
    """All stages as one, called `all`; nothing for none."""
    nothing = price(Usage(), settings)
    start = StageCost(stage="all", price=nothing, saved_price=nothing)
    return sum(stages, start).model_copy(update={"stage": "all"})


def paid(run: str, made: Iterable[Manifest], settings: CostSettings) -> dict[str, float]:
    """Figures `cost_…` of everything that `run` itself made, among `made` and what that was made
    from."""
    origins: dict[str, Origin] = {}
    for manifest in made:
        for one in (manifest, *manifest.lineage.values()):
            origins[one.key] = one
    used = sum((one.cost for one in origins.values() if one.cost and one.run == run), Usage())
    return figures(used, price(used, settings))


def add_prices(prices: Sequence[Price]) -> Price:
    """The sum. Parts that are not priced make it a lower bound, which `unpriced` lists.

    Raises:
        UsageError: they are in different currencies.
    """
    currencies = list(dict.fromkeys(one.currency for one in prices))
    if len(currencies) > 1:
        raise UsageError(
            f"prices in {' and '.join(currencies)} cannot be added. Type: --set cost.currency=EUR"
        )
    names = dict.fromkeys(name for one in prices for name in one.parts)
    parts = {name: sum(one.parts.get(name, 0.0) for one in prices) for name in names}
    unpriced = list(dict.fromkeys(name for one in prices for name in one.unpriced))
    amount = sum(parts.values()) if parts or not unpriced else None
    return Price(currency=currencies[0], amount=amount, parts=parts, unpriced=unpriced)


def line(total: StageCost) -> str:
    """One line for people: `12.3 core-minutes, 0.0042 EUR; reuse saved 3.1 core-minutes`."""
    words = [f"{total.used.cpu_seconds / 60:.3g} core-minutes"]
    if total.used.gpu_seconds:
        words.append(f"{total.used.gpu_hours * 60:.3g} GPU-minutes")
    if total.used.kwh is not None:
        words.append(f"{total.used.kwh:.3g} kWh")
    words.append(
        "not priced"
        if total.price.amount is None
        else money(total.price.amount, total.price.currency)
    )
    if total.reused:
        saved = f"; reuse saved {total.saved.cpu_seconds / 60:.3g} core-minutes"
    else:
        saved = ""
    return ", ".join(words) + saved


def money(amount: float, currency: str = "") -> str:
    """Two digits behind the point from 1 on, three significant ones below: `12.50 EUR`, `0.00417
    EUR`."""
    small = "<0.0001" if 0 < amount < 1e-4 else f"{amount:.3g}"
    return f"{f'{amount:,.2f}' if abs(amount) >= 1 else small} {currency}".strip()


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
    if larger_is_better:
        improvement = model - baseline
    else:
        improvement = baseline - model
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
    return Return(
        improvement=improvement,
        benefit_per_month=monthly,
        benefit=monthly * months,
        cost=cost,
        roi=(monthly * months - cost) / cost,
        break_even_improvement=cost / (unit * months),
        payback_months=spent / gain if gain > 0 else None,
        npv=None
        if stakes.discount_rate is None
        else _discounted(gain, months, stakes.discount_rate) - spent,
    )


def _discounted(monthly: float, months: float, yearly_rate: float) -> float:
    factor: float = (1 + yearly_rate) ** (-1 / 12)
    whole, part = divmod(months, 1)
    factors = [factor**month for month in range(1, int(whole) + 1)]
    return float(monthly * (sum(factors) + part * factor**months))


def table(stages: Sequence[StageCost]) -> dict[str, Any]:
    """Columns and rows by stage, as a card shows them."""
    currency = stages[0].price.currency if stages else ""
    columns = ["stage", "wall", "core-min", "GPU-min", "Wh", "peak MB", f"price, {currency}"]
    rows = [[one.stage, *row(one)] for one in stages]
    shown = [index for index in range(len(columns)) if any(cells[index] for cells in rows)]
    return {
        "columns": _picked(columns, shown),
        "rows": [_picked(cells, shown) for cells in rows],
    }


def _picked(cells: Sequence[str], places: Sequence[int]) -> list[str]:
    return [cells[place] for place in places]


def row(one: StageCost) -> list[str]:
    """Wall time, core-minutes, GPU-minutes, Wh, peak memory and price as text; empty where there
    is none."""
    used, amount = one.used, one.price.amount
    return [
        f"{used.wall_seconds:.1f} s",
        f"{used.cpu_seconds / 60:.3g}",
        f"{used.gpu_hours * 60:.3g}" if used.gpu_seconds else "",
        "" if used.kwh is None else f"{used.kwh * 1e3:.3g}",
        f"{used.peak_memory_bytes / 1e6:,.0f}" if used.peak_memory_bytes else "",
        "" if amount is None else money(amount),
    ]
