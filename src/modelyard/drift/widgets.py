"""Evidently's drawings inside a page of our own.

Evidently writes its data into a script as it is: a category that holds `</script>` would end it and
begin another. Here the data is inert JSON, and of scripts only Evidently's library and our own line
that starts it may run.
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

from modelyard.card import pages

_WIDGETS = re.compile(r"var (metric_[0-9a-f]{32}) = ")
_DETAILS = re.compile(r"\s*;\s*var additional_graphs_metric_[0-9a-f]{32} = ")
_START = """
var read = function (name) { return JSON.parse(document.getElementById(name).textContent); };
window.drawDashboard(read("widgets"), new Map(Object.entries(read("details"))), "drawings");
"""
_GLOBAL = "var global = globalThis;"


def embed(page: str) -> tuple[str, str]:
    """The body of a page with the drawings of Evidently's own `page`, and the policy that lets
    nothing else run."""
    shown, details = _contents(page)
    library = (_static() / "index.js").read_text(encoding="utf-8")
    scripts = [_GLOBAL, library, _START]
    body = f'<style>{_font(page)}</style><div id="drawings"></div>'
    body += pages.data("widgets", shown) + pages.data("details", details)
    body += "".join(map(pages.script, scripts))
    return body, pages.policy(scripts, img_src="data: blob:", font_src="data:")


def _contents(page: str) -> tuple[Any, Any]:
    """What Evidently would draw: its widgets, and their details by id.

    Each is read as JSON from its beginning, which stands before anything from outside: what is in
    it cannot move its end.
    """
    start = _WIDGETS.search(page)
    assert start is not None, "Evidently's page holds no widgets"
    reader = json.JSONDecoder()
    shown, end = reader.raw_decode(page, start.end())
    middle = _DETAILS.match(page, end)
    assert middle is not None, "Evidently's page holds no details"
    details, _ = reader.raw_decode(page, middle.end())
    return shown, details


def _font(page: str) -> str:
    """Evidently's style sheet, which holds its font of icons; it stands before anything from
    outside."""
    before, _, rest = page.partition("<style>")
    style, end, _ = rest.partition("</style>")
    assert end, "Evidently's page has a style"
    assert "<script" not in before, "Evidently's style stands before its data"
    return style


def _static() -> Path:
    import evidently

    return Path(evidently.__path__[0]) / "nbextension" / "static"
