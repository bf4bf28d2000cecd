"""Makes the pictures of the README from a real run: `python docs/pictures/make.py`. Needs
Chromium for the card."""

from __future__ import annotations

import io
import os
import pty
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from rich.console import Console
from rich.text import Text

HERE = Path(__file__).parent
COLUMNS = 92
FRAME = """<svg class="rich-terminal" viewBox="0 0 {width} {height}" xmlns="http://www.w3.org/2000/svg">
<style>{styles} .{unique_id}-matrix {{ font-family: ui-monospace, Menlo, Consolas, "DejaVu Sans Mono", monospace;
font-size: {char_height}px; line-height: {line_height}px; }}</style>
<defs><clipPath id="{unique_id}-clip-terminal"><rect width="{terminal_width}" height="{terminal_height}"/></clipPath>
{lines}</defs>
<rect width="100%" height="100%" rx="8" fill="#16181d"/>
<g transform="translate({terminal_x}, 18)" clip-path="url(#{unique_id}-clip-terminal)">
{backgrounds}<g class="{unique_id}-matrix">{matrix}</g></g></svg>
"""


def in_terminal(command: list[str], folder: Path) -> str:
    """What a command prints to a terminal, colours included."""
    leader, follower = pty.openpty()
    environment = {
        **os.environ,
        "COLUMNS": str(COLUMNS),
        "TERM": "xterm-256color",
        "FORCE_COLOR": "1",
    }
    environment["MODELYARD_HOME"] = str(folder / "runs")
    process = subprocess.Popen(
        command, cwd=folder, stdout=follower, stderr=follower, env=environment
    )
    os.close(follower)
    output = bytearray()
    while True:
        try:
            chunk = os.read(leader, 65536)
        except OSError:
            break
        output += chunk
    if process.wait():
        sys.exit(output.decode())
    return final_screen(output.decode())


def final_screen(output: str) -> str:
    """The lines that stand at the end: spinners that were drawn over are gone."""
    lines: list[str] = []
    for line in output.replace("\r\n", "\n").split("\n"):
        ups = len(re.findall(r"\x1b\[1A", line))
        if ups or "\x1b[2K" in line:
            del lines[len(lines) - ups :]
            line = line.rpartition("\x1b[2K")[2]
        lines.append(re.sub(r"\x1b\[\?25[lh]", "", line).replace("\r", ""))
    return "\n".join(lines)


def draw_terminal(command: str, output: str, target: Path) -> None:
    """Draws the screen as SVG."""
    console = Console(
        record=True,
        width=COLUMNS,
        file=io.StringIO(),
        force_terminal=True,
        color_system="truecolor",
    )
    console.print(Text.from_ansi(f"$ {command}\n{output.rstrip()}"))
    target.write_text(console.export_svg(title="", code_format=FRAME, unique_id="terminal"))


def photograph(page: Path, target: Path, width: int, height: int) -> None:
    """A picture of a page."""
    chromium = shutil.which("chromium") or shutil.which("chromium-browser") or "google-chrome"
    with tempfile.TemporaryDirectory() as profile:
        options = [
            "--headless",
            "--no-sandbox",
            "--disable-gpu",
            "--hide-scrollbars",
            f"--user-data-dir={profile}",
        ]
        options += [
            "--disable-background-networking",
            "--disable-component-update",
            "--disable-sync",
            "--no-first-run",
        ]
        size, shot = f"--window-size={width},{height}", f"--screenshot={target}"
        subprocess.run(
            [chromium, *options, size, shot, page.as_uri()], check=True, capture_output=True
        )


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-m", "modelyard", "run", "tabular"]
        draw_terminal("modelyard run tabular", in_terminal(command, Path(folder)), HERE / "run.svg")
        (card,) = Path(folder).glob("runs/tabular/*/card.html")
        photograph(card, HERE / "card.png", 1100, 1500)
