"""HTML pages of our own, in which text from outside stays text.

Every page carries a Content Security Policy. It names our scripts by their sums, so that a script
which got into the page by a mistake of ours, or of a library that draws for us, does not run.
"""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Sequence
from html import escape
from typing import Any

from pydantic_core import to_json

POLICY_START = '<meta charset="utf-8"><meta http-equiv="Content-Security-Policy" content="'
"""What the head of each page begins with: no text from outside can stand before its policy."""

LONGEST_TITLE = 300

_CONTROLS = dict.fromkeys((*range(9), *range(11, 32), *range(127, 160), 0xFFFE, 0xFFFF))
# These turn the direction of the text behind them: `exe.gpj` would look like `jpg.exe`.
_CONTROLS |= dict.fromkeys((*range(0x202A, 0x202F), *range(0x2066, 0x206A)))

_MARKUP = str.maketrans({"<": "‹", ">": "›", "&": "＆", '"': "”", "'": "’", "`": "’", "$": "＄"})
_SPACES = re.compile(r"\s+")


def clean(text: str) -> str:
    """Without what neither HTML nor SVG can hold (control characters, lone surrogates), and
    without the characters that change the direction of the text behind them."""
    # The round trip replaces halves of surrogate pairs, which cannot be written.
    return text.translate(_CONTROLS).encode("utf-8", "replace").decode()


def harmless(text: str, longest: int) -> str:
    """The text for a library that reads markup in labels (plotly knows links, MathJax formulas):
    look-alikes stand for the characters of markup, and it is one line of at most `longest`
    characters."""
    # Cut twice: the first keeps a megabyte from being translated letter by letter.
    line = _SPACES.sub(" ", clean(text[: 4 * longest]).translate(_MARKUP)).strip()
    if len(line) <= longest and len(text) <= 4 * longest:
        return line
    return line[: longest - 1] + "…"


def json_text(value: Any) -> str:
    """JSON that can stand in a script element of HTML: nothing in it ends the element or begins a
    comment.

    What JSON lacks (NaN, infinity) becomes null.
    """
    text = to_json(value, inf_nan_mode="null").decode()
    for character in "<>&\u2028\u2029":
        text = text.replace(character, f"\\u{ord(character):04x}")
    return text


def policy(
    scripts: Sequence[str] = (), *, styles: Sequence[str] | None = None, **allowed: str
) -> str:
    """A Content Security Policy: nothing is loaded from anywhere, and only these scripts
    run.

    `styles` are the texts of the style elements; None: any style, for pages with style attributes,
    which cannot act. `allowed` adds sources by directive: `img_src="data:"`.
    """
    rules = {"default-src": "'none'"}
    if scripts:
        rules["script-src"] = " ".join(map(_sum, scripts))
    if styles is None:
        rules["style-src"] = "'unsafe-inline'"
    else:
        rules["style-src"] = " ".join(map(_sum, styles))
    for name, sources in allowed.items():
        rules[name.replace("_", "-")] = sources
    # default-src does not speak for these two: a base or a form that got in would still act.
    rules |= {"base-uri": "'none'", "form-action": "'none'"}
    return "; ".join(f"{name} {sources}" for name, sources in rules.items())


def head(title: str, policy: str) -> str:
    """What a page's head begins with: encoding, policy, title."""
    shown = escape(clean(title[:LONGEST_TITLE]))
    viewport = '<meta name="viewport" content="width=device-width, initial-scale=1">'
    referrer = '<meta name="referrer" content="no-referrer">'
    return f'{POLICY_START}{policy}">{viewport}{referrer}<title>{shown}</title>'


def script(text: str) -> str:
    """A script element.

    Raises:
        ValueError: the text would end the element, or be read as a comment.
    """
    if re.search(r"</script|<!--", text, re.IGNORECASE):
        raise ValueError("a script of a page must not hold '</script' or '<!--'")
    return f"<script>{text}</script>"


def data(name: str, value: Any) -> str:
    """A value for a script of the page, which reads it by
    `JSON.parse(document.getElementById(name).textContent)`."""
    return f'<script type="application/json" id="{escape(name)}">{json_text(value)}</script>'


def _sum(text: str) -> str:
    digest = hashlib.sha256(text.encode()).digest()
    return f"'sha256-{base64.b64encode(digest).decode()}'"
