"""GET /: one page, nothing loaded from elsewhere, to see what is served and to try it."""

from __future__ import annotations

import base64
import hashlib
import json
from html import escape
from importlib.resources import files
from string import Template

from pydantic_core import to_json

from modelyard.package import Package
from modelyard.serving.page.form import controls

ADDRESS = "@@address@@"
"""Stands in the page where the address of /predict goes."""


def render(package: Package, *, explains: bool, streams: bool) -> tuple[str, str]:
    """The page, with ADDRESS in it, and its content security policy."""
    info, golden = package.info, package.golden()["request"]
    script = _text("page.js")
    example = json.dumps(golden, indent=2, ensure_ascii=False)
    fields = controls(package.host.Request.model_json_schema(by_alias=True), golden)
    text = Template(_text("page.html")).substitute(
        title=escape(info.title), version=escape(info.version), family=escape(info.family), run=escape(info.run),
        created=escape(info.created), variant=escape(info.chosen.name), gate=escape(info.gate.reason),
        metrics=_metrics(info.metrics, info.baseline), rows=min(24, example.count("\n") + 2), example=escape(example),
        buttons=_buttons(explains, streams), shell=escape(json.dumps(golden).replace("'", "'\\''")), address=ADDRESS,
        # Nothing in it may end the script element that holds it.
        fields=to_json(fields).decode().replace("<", "\\u003c"), style=_text("page.css"), script=script,
    )  # fmt: skip
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    policy = (
        f"default-src 'none'; script-src 'sha256-{digest}'; style-src 'unsafe-inline'; connect-src 'self'; "
        "img-src 'self' data:; media-src data:; "
        "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    )
    return text, policy


def _text(name: str) -> str:
    return files(__package__).joinpath(name).read_text(encoding="utf-8")


def _buttons(explains: bool, streams: bool) -> str:
    shown = {"predict": "Predict", "stream": "Stream" if streams else "", "explain": "Explain" if explains else ""}
    return "".join(f'<button data-path="{path}">{label}</button>' for path, label in shown.items() if label)


def _metrics(metrics: dict[str, float], baseline: dict[str, float]) -> str:
    return "".join(
        f'<tr><td>{escape(name)}</td><td class="n">{value:.4g}</td>'
        f'<td class="n">{f"{baseline[name]:.4g}" if name in baseline else "–"}</td></tr>'
        for name, value in metrics.items()
    )
