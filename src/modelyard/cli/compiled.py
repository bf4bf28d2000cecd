"""The variants of a package as a table for the terminal."""

from __future__ import annotations

from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from modelyard.judging.evaluation import figure

COLOURS = {"chosen": "green", "rejected": "red", "refused": "dim", "failed": "yellow"}


def show_variants(console: Console, info: Any, unit: str) -> None:
    """The measured variants, why each is chosen or not, and those that were not tried."""
    from modelyard.packages.variant import by_reason

    console.print(_table(info, unit))
    for variant in info.variants:
        if variant.reason:
            _line(console, variant.name, variant.verdict, variant.reason)
    for (verdict, reason), names in by_reason(info.left_out).items():
        _line(console, ", ".join(names), verdict, reason)


def _table(info: Any, unit: str) -> Table:
    rows = info.variants[0].rows
    judged = "" if rows is None else f"{rows:,} {unit} of "
    allowed = ""
    if info.choice is not None:
        loss = figure(info.choice.max_loss)
        allowed = f", for {info.choice.aim}; {info.gate.metric} may lose {loss}"
    # A model may have been fitted on these rows too: its figures here are no estimate of its quality.
    split = "the validation split (training has used it: only changes count)"
    title = f"variants, compared on {judged}{split}{allowed}, ✓ serves"
    table = Table(title=title, title_justify="left", title_style="dim")
    table.add_column("variant", no_wrap=True)
    columns = ("size\nload", "p50 / p99\nper second", f"{info.gate.metric}\nchange", "differs\nby")
    for name in columns:
        table.add_column(name, justify="right", overflow="fold")
    native = info.variants[0]
    for variant in info.variants:
        table.add_row(
            f"{variant.name} ✓" if variant.chosen else variant.name,
            _size(variant),
            _speed(variant),
            _quality(variant, native),
            "–" if variant is native else f"{variant.max_difference:.1e}",
            style="bold" if variant.chosen else "",
        )
    return table


def _size(variant: Any) -> str:
    size = f"{variant.bytes / 1e3:,.0f} kB"
    if variant.load_ms is None:
        return size
    return f"{size}\n{variant.load_ms:.0f} ms"


def _speed(variant: Any) -> str:
    """Milliseconds of a single request; predictions a second, and the batch size that gives
    most."""
    # Packages of an earlier format have no 99th percentile and no throughput.
    if variant.p99_ms is None:
        return f"{variant.p50_ms:.2f} ms"
    speed = f"{variant.p50_ms:.2f} / {variant.p99_ms:.2f} ms"
    return f"{speed}\n{variant.per_second:,.0f} by {variant.batch}"


def _quality(variant: Any, native: Any) -> str:
    quality = figure(variant.metric)
    if variant is native:
        return quality
    change = variant.metric - native.metric
    # As many decimals as the metric itself is shown with.
    shown = f"{change:+.4g}" if "e" in quality else f"{change:+.4f}"
    if variant.change_interval is not None:
        low, high = variant.change_interval
        shown += f"\n{low:+.2g} to {high:+.2g}"
    return f"{quality}\n{shown}"


def _line(console: Console, names: str, verdict: str, reason: str) -> None:
    colour = COLOURS.get(verdict, "dim")
    console.print(f"[{colour}]{verdict:<8}[/] {names}: [dim]{escape(reason)}[/]", soft_wrap=True)
