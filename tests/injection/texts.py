"""Texts that an attacker sends in each field that reaches a page, a line of a log, a label, a
name or a header."""

from __future__ import annotations

ACT = "window.stolen=1"
"""What a script among these texts does, where it runs."""

MARKUP = (
    f"</script><script>{ACT}</script>",
    f"<!--<script></script><script>{ACT}</script>-->",
    f"<img src=x onerror={ACT}>",
    f"\"'><svg/onload={ACT}>",
    f"</title></style></textarea></pre><script>{ACT}</script>",
    f'<iframe srcdoc="<script>parent.{ACT}</script>"></iframe>',
    f'" onmouseover="{ACT}" autofocus onfocus="{ACT}" x="',
    f"javascript:{ACT}",
    f"<a href='javascript:{ACT}'>here</a>",
    f"<base href=//127.0.0.1:1/><meta http-equiv=refresh content='0;url=javascript:{ACT}'>",
    f"';{ACT};'",
    f"\\u003c/script>\\u003cscript>{ACT}\\u003c/script>",
    f"]]><script>{ACT}</script>",
    f"{{{{ constructor.constructor('{ACT}')() }}}}${{{ACT}}}",
    f"\u2028{ACT}\u2029",
)

CONTROLS = (
    "a\r\nset-cookie: taken=1\r\n\r\n<script>",
    "a\nERROR forged line",
    "\x1b[2J\x1b]0;taken\x07",
    "\x00\x08\x7f\x85\x9b31m",
    "abc\u202egnp.exe",
    "\u200b\ufeff\u2066x",
)

PATHS = (
    "../../../../tmp/taken",
    "/tmp/taken",
    "..\\..\\taken",
    "..",
    ".",
    "%2e%2e%2ftaken",
    "a/../../b",
    "~root",
    "C:\\x",
)

LONG = f"<img src=x onerror={ACT}>" + "<b>é" * 250_000
"""A megabyte."""

ALL = (*MARKUP, *CONTROLS, *PATHS, LONG)
