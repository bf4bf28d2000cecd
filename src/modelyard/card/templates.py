"""Pages from our templates: everything is escaped, in our style, under a strict policy."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from modelyard.card import pages, text
from modelyard.card.text import clean, number, percent, words

_FOLDER = Path(__file__).parent


def render(template: str, title: str, scripts: Sequence[str] = (), **values: Any) -> str:
    """A whole page.

    Besides `values` the template sees `title`, `head` and `css`, and `scripts` as one Markup. A name that
    it lacks is an error.
    """
    policy = pages.policy(scripts, img_src="data:")
    values |= {
        "title": title,
        "head": Markup(pages.head(title, policy)),  # noqa: S704 - it escapes the title
        "css": Markup(_css()),  # noqa: S704 - our own file
        "scripts": Markup("".join(map(pages.script, scripts))),  # noqa: S704 - our own files
    }
    return pages.clean(_environment().get_template(template).render(**values))


def _environment() -> Environment:
    environment = Environment(
        loader=FileSystemLoader(_FOLDER),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        finalize=text.shortened,
    )
    environment.filters |= {
        "words": words,
        "clean": clean,
        "number": number,
        "percent": percent,
        "cut": text.cut,
    }
    return environment


def _css() -> str:
    """The style sheet, without what only its readers need."""
    css = (_FOLDER / "card.css").read_text(encoding="utf-8")
    without_comments = re.sub(r"/\*.*?\*/", "", css, flags=re.DOTALL)
    return re.sub(r"\s*\n\s*", "\n", without_comments).strip()
