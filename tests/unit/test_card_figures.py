"""Figures of the card, its colours, and numbers as it writes them."""

from __future__ import annotations

import re

import numpy as np
import pytest
from card_samples import CARDS, page

from modelyard.card import canvas, figures, painters, text
from modelyard.judging.evaluation import Plot, Series

every_card = pytest.mark.parametrize("name", CARDS)


@every_card
def test_figures_take_their_colours_from_the_page(name: str) -> None:
    html, _ = page(name)
    drawings = "".join(re.findall(r"<svg.*?</svg>", html, flags=re.DOTALL))
    assert not re.search(r"#[0-9a-f]{3,8}\b(?![^(]*\))", re.sub(r"url\(#[^)]+\)", "", drawings))
    used = set(re.findall(r"var\(--([\w-]+)\)", html)) - {"w"}
    for scheme in _schemes(html):
        assert {"s0", "s1", "ink", "muted"} <= used <= set(scheme) | {"sans", "mono"}


def _schemes(html: str) -> list[dict[str, str]]:
    """Colour variables of light, dark and print."""
    blocks = re.findall(r":root \{(.*?)\}", html, flags=re.DOTALL)
    assert len(blocks) == 3
    return [dict(re.findall(r"--([\w-]+): (#[0-9a-f]+)", block)) for block in blocks]


def test_text_is_readable_in_light_and_dark() -> None:
    """Contrast of at least 4.5 to 1 for text and 3 to 1 for figures (WCAG 2.2, 1.4.3 and
    1.4.11)."""
    for scheme in _schemes(page("binary")[0]):
        for name in (
            "ink",
            "muted",
            "accent",
            "good",
            "bad",
            *(f"s{i}" for i in range(canvas.SERIES)),
        ):
            least = 3 if name.startswith("s") else 4.5
            assert _contrast(scheme[name], scheme["paper"]) >= least, name
        assert _contrast(scheme["good"], scheme["good-soft"]) >= 4.5
        assert _contrast(scheme["bad"], scheme["bad-soft"]) >= 4.5


def _contrast(one: str, other: str) -> float:
    bright, dark = sorted((_luminance(one), _luminance(other)), reverse=True)
    return (bright + 0.05) / (dark + 0.05)


def _luminance(colour: str) -> float:
    digits = colour[1:] if len(colour) == 7 else "".join(2 * digit for digit in colour[1:])
    parts = np.array([int(digits[i : i + 2], 16) / 255 for i in (0, 2, 4)])
    linear = np.where(parts <= 0.04045, parts / 12.92, ((parts + 0.055) / 1.055) ** 2.4)
    return float(linear @ [0.2126, 0.7152, 0.0722])


def test_points_over_one_name_stand_above_each_other() -> None:
    plot = Plot(
        kind="scatter",
        title="p",
        series=[Series(name="a", x=["u", "v", "u", "u"], y=[1.0, 2.0, 3.0, 4.0])],
    )
    figure, _ = painters.scatter(plot)
    (axes,) = figure.axes
    assert [label.get_text() for label in axes.get_xticklabels()] == ["u", "v"]
    assert axes.collections[0].get_offsets()[:, 0].tolist() == [0, 1, 0, 0]


GAPS = [1.0, float("nan"), float("inf"), 4.0]


@pytest.mark.parametrize(
    "plot",
    [
        Plot(
            kind="line",
            title="p",
            series=[Series(name="a", x=[0.0, 1, 2, 3], y=GAPS)],
            diagonal=True,
        ),
        Plot(kind="line", title="p", series=[Series(name="a", x=["u", "v"], y=[1.0, 2.0])]),
        Plot(kind="scatter", title="p", series=[Series(name="a", x=GAPS, y=GAPS)], diagonal=True),
        Plot(
            kind="bar",
            title="p",
            series=[Series(name=n, x=["u", "v"], y=[1.0, -2.0]) for n in "ab"],
        ),
        Plot(
            kind="bar",
            title="p",
            series=[Series(name="a", x=["a long name of a class"] * 9, y=[1.0] * 9)],
        ),
        Plot(kind="bar", title="p", series=[Series(name="a", x=[1.0, 2.0], y=[1.0, 2.0])]),
        Plot(kind="histogram", title="p", series=[Series(name="a", x=GAPS, y=[])]),
        Plot(kind="histogram", title="p", series=[Series(name="a", x=[0.0, 1, 2], y=[4.0, 5.0])]),
        Plot(kind="histogram", title="p", series=[Series(name="a", x=[0.5, 1.5], y=[4.0, 5.0])]),
        Plot(kind="histogram", title="p", series=[Series(name="a", x=["u", "v"], y=[4.0, 5.0])]),
        Plot(
            kind="heatmap",
            title="p",
            matrix=[[1.0, float("nan")], [-1.0, 0.0]],
            rows=["a", "b"],
            columns=["c", "d"],
        ),
        Plot(kind="heatmap", title="p", matrix=[[0.0, 0.0]]),
    ],
    ids=lambda plot: plot.kind,
)
def test_each_kind_of_plot_is_drawn_with_gaps_and_names(plot: Plot) -> None:
    with canvas.style():
        drawn = figures.draw(plot, "p-")
    assert drawn is not None
    assert "nan" not in drawn.svg.lower()
    assert drawn.svg.count("<path") + drawn.svg.count("<text") >= 2
    for name in (*plot.rows, *plot.columns):
        assert f">{name}</text>" in drawn.svg


def test_heights_of_bars_follow_the_values() -> None:
    plot = Plot(kind="bar", title="p", series=[Series(name="a", x=["u", "v"], y=[1.0, 4.0])])
    with canvas.style():
        drawn = figures.draw(plot, "p-")
    assert drawn is not None
    bars = re.search(r"fill: var\(--s0\)[^>]*>(.*?)</g>", drawn.svg)
    assert bars is not None
    heights = [
        np.ptp([float(y) for y in re.findall(r"[ML] \S+ (\S+)", d)])
        for d in re.findall(r'd="([^"]+)"', bars[1])
    ]
    assert heights[1] / heights[0] == pytest.approx(4, rel=0.01)


def test_a_plot_without_data_is_left_out_and_a_wrong_one_named() -> None:
    with canvas.style():
        assert figures.draw(Plot(kind="line", title="none"), "p-") is None
        assert figures.draw(Plot(kind="heatmap", title="none"), "p-") is None
        with pytest.raises(AssertionError, match="plot 'bad': series 'a' has unequal x and y"):
            figures.draw(
                Plot(kind="line", title="bad", series=[Series(name="a", x=[1.0], y=[])]), "p-"
            )


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (0.99341, "0.9934"),
        (-0.5, "−0.5000"),
        (0, "0"),
        (12345.6, "12,346"),
        (3, "3"),
        (1234.56, "1,234.56"),
        (1.0, "1.0000"),
        (42.0, "42"),
        (3.14e-7, "3.14e-07"),
        (2.5e15, "2.50e+15"),
        (float("nan"), "not finite"),
        (None, "–"),
    ],
)
def test_numbers_are_told_with_about_four_digits(value: float | None, shown: str) -> None:
    assert text.number(value) == shown


def test_sizes_times_and_latencies_are_told_in_fitting_units() -> None:
    assert [text.size(n) for n in (830, 12_400, 3_100_000)] == ["830 B", "12.4 kB", "3.1 MB"]
    assert [text.duration(s) for s in (0.4, 59.2, 192, 7500)] == [
        "0.40 s",
        "59.2 s",
        "3 min 12 s",
        "2 h 5 min",
    ]
    assert [text.milliseconds(m) for m in (0.0412, 12.34, 1234.0)] == [
        "0.0412 ms",
        "12.3 ms",
        "1,234 ms",
    ]


def test_a_band_is_an_area_between_its_edges_and_no_line() -> None:
    steps = [0.0, 1.0, 2.0]
    band = Series(name="10% to 90%", x=steps, y=[1.0, 2.0, 1.0], high=[3.0, 5.0, 3.0])
    median = Series(name="median", x=steps, y=[2.0, 3.0, 2.0])
    with canvas.style():
        drawn = figures.draw(Plot(kind="line", title="Forecast", series=[median, band]), "f")
    assert drawn is not None
    assert [key.line for key in drawn.legend] == [True, False]
    (area,) = re.findall(r'fill: var\(--s1\)[^>]*><path d="([^"]+)"', drawn.svg)
    assert area.count("L") >= 5  # there along one edge, and back along the other
    with pytest.raises(AssertionError, match="edges of unequal length"):
        figures.draw(
            Plot(
                kind="line",
                title="Forecast",
                series=[band.model_copy(update={"high": [1.0]})],
            ),
            "f",
        )
