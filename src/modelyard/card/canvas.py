"""From a matplotlib figure to SVG that lives inside the page: its fonts, its colours in light
and dark, small."""

from __future__ import annotations

import io
import re
import warnings
import xml.etree.ElementTree as ET
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import groupby
from typing import TYPE_CHECKING, Any

from markupsafe import Markup, escape

if TYPE_CHECKING:
    from matplotlib.figure import Figure

WIDTH = 380
"""Width of a figure in its own units; one unit is about one CSS pixel."""
SERIES = 6
"""Colours of series; further ones use them again with other dashes."""
DASHES = ((), (5, 2.5), (1.5, 2), (7, 2, 1.5, 2))
"""Dash patterns in line widths' units: on, off, …"""

# Stand-ins that no data uses: replaced by CSS variables once the figure is drawn, so that the
# page's colours hold.
INK, MUTED, RULE = "#010a01", "#010a02", "#010a03"
_VARIABLES = {INK: "ink", MUTED: "muted", RULE: "rule"}
_COLOUR = re.compile(r"#010a(\d\d)|#010b(\d\d)")
_NUMBER = re.compile(r"-?\d+\.\d+")
_SVG = "{http://www.w3.org/2000/svg}"

_STYLE: dict[str, Any] = {
    # Letters, not their outlines: small, and a reader can search and copy them.
    "svg.fonttype": "none",
    # Ids are drawn from it: at random, the same card would have other bytes each time.
    "svg.hashsalt": "modelyard",
    # A dollar in a column's name begins no formula.
    "text.parse_math": False,
    "font.family": ["DejaVu Sans"],
    "font.size": 10.5,
    "text.color": INK,
    "axes.edgecolor": RULE,
    "axes.labelcolor": MUTED,
    "axes.labelsize": 10.5,
    "axes.linewidth": 1,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.axisbelow": True,
    "axes.formatter.limits": (-4, 6),
    "axes.formatter.useoffset": False,
    "grid.color": RULE,
    "grid.linewidth": 0.8,
    "xtick.color": MUTED,
    "ytick.color": MUTED,
    "xtick.labelsize": 10,
    "ytick.labelsize": 10,
    "xtick.major.size": 0,
    "ytick.major.size": 0,
    "xtick.minor.size": 0,
    "ytick.minor.size": 0,
    "lines.linewidth": 1.8,
    "lines.scale_dashes": False,
    "path.simplify_threshold": 0.25,
}


def colour(series: int) -> str:
    """Stand-in for the colour of a series."""
    return f"#010b{series % SERIES:02d}"


def dashes(series: int, of: int) -> tuple[float, ...]:
    """Dash pattern of a series among `of`: its own where there are enough, else a new one when
    colours repeat."""
    pattern = series if of <= len(DASHES) else series // SERIES
    return DASHES[pattern % len(DASHES)]


@contextmanager
def style() -> Iterator[None]:
    """The card's look for figures made and saved inside the block, whatever the process has set."""
    import matplotlib as mpl

    with warnings.catch_warnings(), mpl.rc_context():
        # Its font lacks the letters of many languages; the page's, which shows them, does not.
        warnings.filterwarnings("ignore", message="Glyph")
        mpl.rcdefaults()
        mpl.rcParams.update(_STYLE)
        yield


def new_figure(height: float, width: float = WIDTH) -> Figure:
    """An empty figure, no pyplot behind it; one unit of the SVG is 1/72 inch."""
    from matplotlib.figure import Figure

    return Figure((width / 72, height / 72), layout="constrained")


def to_svg(figure: Figure, label: str, prefix: str) -> Markup:
    """The figure as an inline `<svg>` with `label` as its text alternative.

    `prefix` makes its ids unique in the page.
    """
    stream = io.StringIO()
    # Without the date, with which the same figure would have other bytes.
    figure.savefig(stream, format="svg", transparent=True, metadata={"Date": None})
    root = ET.fromstring(stream.getvalue())  # noqa: S314 - matplotlib wrote it a line above
    box = root.get("viewBox")
    parts = [f'<svg class="plot" viewBox="{box}" role="img" aria-label="{escape(label)}">']
    parts.append(_clip_paths(root, prefix))
    # Neighbours only, since what is drawn later lies on top.
    groups = groupby(_leaves(root, prefix), key=lambda shape: (shape.clip, shape.style))
    for (clip, css), shapes in groups:
        parts.append(_group(clip, css, list(shapes)))
    parts.append("</svg>")
    return Markup("".join(parts))  # noqa: S704 - texts are escaped where they enter


@dataclass(frozen=True)
class _Shape:
    clip: str
    style: str
    markup: str


def _leaves(root: ET.Element, prefix: str, clip: str = "") -> Iterator[_Shape]:
    """What is drawn, in drawing order, without matplotlib's nested groups."""
    for element in root:
        inside = (element.get("clip-path") or "").replace("url(#", f"url(#{prefix}") or clip
        tag = element.tag.removeprefix(_SVG)
        if tag == "g":
            yield from _leaves(element, prefix, inside)
        elif tag == "path" and (path := _round(element.get("d", ""))):
            css = _colours(element.get("style", ""))
            # matplotlib writes what is invisible too, such as the frame of axes without one.
            is_visible = "stroke: " in css or "fill: none" not in css
            if is_visible:
                yield _Shape(inside, css, f'<path d="{path}"/>')
        elif tag == "use":
            yield _dot(element, inside)
        elif tag == "text":
            yield _text(element)


def _dot(element: ET.Element, clip: str) -> _Shape:
    """A scatter point as a line without length and with round ends: a tenth of the bytes, and no
    reference."""
    css = dict(part.split(": ") for part in element.get("style", "").split("; "))
    fill, opacity = css.get("fill", INK), css.get("fill-opacity", "1")
    look = _colours(
        f"stroke: {fill}; stroke-opacity: {opacity}; stroke-width: 4.5; stroke-linecap: round"
    )
    point = _round(f"M {float(element.get('x', 0)):.6f} {float(element.get('y', 0)):.6f} h 0")
    return _Shape(clip, look, f'<path d="{point}"/>')


def _text(element: ET.Element) -> _Shape:
    # The page's own font stands in place of matplotlib's.
    look = []
    for part in element.get("style", "").split("; "):
        if part.startswith(("font-size: ", "text-anchor: ", "fill: ")):
            look.append(part)
    css = "; ".join(look)
    place = f'x="{_round(element.get("x", "0"))}" y="{_round(element.get("y", "0"))}"'
    turn = _round(element.get("transform", ""))
    if turn and not turn.startswith(("rotate(-0 ", "rotate(0 ")):
        place += f' transform="{turn}"'
    return _Shape("", _colours(css), f"<text {place}>{escape(''.join(element.itertext()))}</text>")


def _group(clip: str, css: str, shapes: list[_Shape]) -> str:
    clipping = f' clip-path="{clip}"' if clip else ""
    body = "".join(shape.markup for shape in shapes)
    return f'<g{clipping} style="{css}">{body}</g>'


def _clip_paths(root: ET.Element, prefix: str) -> str:
    rows = []
    for clip in root.iter(f"{_SVG}clipPath"):
        box = clip.find(f"{_SVG}rect")
        assert box is not None, "axes clip to rectangles"
        sides = []
        for name in ("x", "y", "width", "height"):
            sides.append(f'{name}="{_round(box.get(name, "0"))}"')
        inner = f"<rect {' '.join(sides)}/>"
        rows.append(f'<clipPath id="{prefix}{clip.get("id")}">{inner}</clipPath>')
    if rows:
        return f"<defs>{''.join(rows)}</defs>"
    return ""


def _round(text: str) -> str:
    rounded = _NUMBER.sub(lambda match: f"{float(match[0]):.1f}".removesuffix(".0"), text)
    return " ".join(rounded.split())


def _colours(css: str) -> str:
    def variable(match: re.Match[str]) -> str:
        name = _VARIABLES.get(match[0]) or f"s{int(match[2])}"
        return f"var(--{name})"

    return _COLOUR.sub(variable, css)
