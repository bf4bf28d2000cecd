"""GET /: one page, nothing loaded from elsewhere, to see what is served and to try it."""

from __future__ import annotations

import json
import secrets
import shlex
from dataclasses import dataclass
from html import escape
from importlib.resources import files
from string import Template
from typing import Any

from modelyard.card import pages
from modelyard.judging.evaluation import figure
from modelyard.packages.package import Package, PackageInfo
from modelyard.serving.page.form import controls


@dataclass(frozen=True)
class Page:
    """The page, in two halves between which the address of /predict goes, and its policy."""

    before: str
    after: str
    policy: str

    def at(self, address: str) -> str:
        """The page as it is seen at an address; a caller says what the address is."""
        return self.before + escape(pages.clean(address[:LONGEST_ADDRESS])) + self.after


SAVE = "<p>Save the example above, as JSON, as <code>example.json</code>.</p>"

LONGEST_ADDRESS, LONGEST_TEXT = 300, 2_000
"""Characters of a title, a name or a reason that are shown; an example is shown whole, for it is
sent."""


def render(package: Package, *, explains: bool, streams: bool) -> Page:
    """The page of a package."""
    info, golden = package.info, package.golden()["request"]
    script, style = _text("page.js"), _text("page.css")
    example = json.dumps(golden, indent=2, ensure_ascii=False)
    fields = controls(package.host.Request.model_json_schema(by_alias=True), golden)
    warnings = [f'<p class="warning">{_safe(warning)}</p>' for warning in info.warnings]
    shell = _body(golden)
    # Stands for the address of /predict; no text of a package can hold what is drawn here.
    address = secrets.token_hex(16)
    text = Template(_text("page.html")).substitute(
        subject=_safe(info.subject),
        title=_safe(info.title),
        positive=_positive(info.positive),
        version=_safe(info.version),
        family=_safe(info.family),
        run=_safe(info.run),
        created=_safe(info.created),
        variant=_safe(package.variant.name),
        verdict="passed" if info.gate.passed else "not met",
        gate=_safe(info.gate.reason),
        required=_safe(info.gate.required),
        warnings="".join(warnings),
        metrics=_metrics(info),
        rows=min(24, example.count("\n") + 2),
        example=escape(pages.clean(example)),
        buttons=_buttons(explains, streams),
        shell=escape(shell),
        save=SAVE if shell.startswith("@") else "",
        address=address,
        fields=pages.data("fields", fields),
        style=style,
        script=pages.script(script),
    )
    before, after = text.split(address)
    policy = pages.policy(
        [script],
        styles=[style],
        connect_src="'self'",
        img_src="'self' data:",
        media_src="data:",
        # In a frame of another page clicks on it could be led astray.
        frame_ancestors="'none'",
    )
    return Page(before, after, policy)


def _body(golden: Any) -> str:
    """What curl sends; a file to save the example in, where it is longer than people paste."""
    body = json.dumps(golden)
    if len(body) <= LONGEST_TEXT:
        return shlex.quote(body)
    return "@example.json"


def _safe(text: str) -> str:
    if len(text) > LONGEST_TEXT:
        text = text[: LONGEST_TEXT - 1] + "…"
    return escape(pages.clean(text))


def _text(name: str) -> str:
    return files(__package__).joinpath(name).read_text(encoding="utf-8")


def _buttons(explains: bool, streams: bool) -> str:
    labels = {"predict": "Predict"}
    if streams:
        labels["stream"] = "Stream"
    if explains:
        labels["explain"] = "Explain"
    buttons = [f'<button data-path="{path}">{label}</button>' for path, label in labels.items()]
    return "".join(buttons)


def _positive(name: str) -> str:
    if name:
        return f", positive class <code>{_safe(name)}</code>"
    return ""


def _metrics(info: PackageInfo) -> str:
    """The gate's metric first."""
    rows = []
    for name in sorted(info.metrics, key=lambda name: name != info.gate.metric):
        value = figure(info.metrics[name])
        baseline = figure(info.baseline[name]) if name in info.baseline else "–"
        rows.append(
            f'<tr><td>{_safe(name)}</td><td class="n">{value}</td><td class="n">{baseline}</td></tr>'
        )
    return "".join(rows)
