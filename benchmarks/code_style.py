"""How the code reads, in figures: `make measure`. Ours beside those of projects that read well.

Counted over all Python of a folder: functions by their lines from `def` to the last one; branches
(if, elif, for, while, except, conditional expressions, further terms of `and` and `or`, conditions
of comprehensions, match cases), comprehensions and conditional expressions for each 1,000 code
lines; a code line is one that is neither blank nor a comment. The other projects' figures were
counted by this program on their sources (without tests) of autumn 2026.
"""

from __future__ import annotations

import argparse
import ast
import re
import statistics
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

from rich.console import Console
from rich.table import Table

OTHERS: dict[str, list[str]] = {
    "httpx": ["9/34", "106", "7.9", "12", "28", "0.3", "0", "40", "47%"],
    "nanochat": ["10/47", "111", "16", "12", "44", "62", "0", "122", "71%"],
    "torchtitan": ["16/63", "88", "10", "6.4", "33", "3.5", "0", "69", "61%"],
    "litgpt": ["11/77", "105", "7.5", "7.5", "36", "50", "0", "56", "45%"],
    "kr8s": ["6/33", "109", "5.5", "3.3", "28", "5.7", "0", "20", "67%"],
}
"""Values in the order of ROWS."""
ROWS = {
    "function": "lines a function, median / p90",
    "branches": "branches per 1,000 code lines",
    "comprehensions": "comprehensions per 1,000",
    "conditional": "conditional expressions per 1,000",
    "characters": "characters a code line",
    "wide": "lines over 100 characters per 1,000",
    "skips": "fmt: skip",
    "comments": "comment lines per 1,000",
    "private": "private functions used once",
}
BRANCHES = (ast.If, ast.For, ast.While, ast.ExceptHandler, ast.IfExp, ast.match_case)
COMPREHENSIONS = (ast.ListComp, ast.SetComp, ast.DictComp, ast.GeneratorExp)
WIDE = 100


@dataclass
class Counts:
    """Sums over files."""

    functions: list[int] = field(default_factory=list)
    branches: int = 0
    comprehensions: int = 0
    conditional: int = 0
    code_lines: int = 0
    code_characters: int = 0
    wide: int = 0
    skips: int = 0
    comments: int = 0
    lines: int = 0
    private: int = 0
    used_once: int = 0

    def add(self, text: str) -> None:
        """Counts a source."""
        tree = ast.parse(text)
        self._add_tree(tree)
        self._add_private(tree)
        self._add_lines(text)

    def figures(self) -> dict[str, str]:
        """The figures as the table shows them."""
        p90 = statistics.quantiles(self.functions, n=10)[-1]
        return {
            "function": f"{statistics.median(self.functions):.0f}/{p90:.0f}",
            "branches": self._per_thousand(self.branches),
            "comprehensions": self._per_thousand(self.comprehensions),
            "conditional": self._per_thousand(self.conditional),
            "characters": f"{self.code_characters / self.code_lines:.0f}",
            "wide": self._per_thousand(self.wide),
            "skips": str(self.skips),
            "comments": _short(1000 * self.comments / self.lines),
            "private": f"{self.used_once / max(1, self.private):.0%}",
        }

    def _per_thousand(self, count: int) -> str:
        return _short(1000 * count / self.code_lines)

    def _add_tree(self, tree: ast.Module) -> None:
        for node in ast.walk(tree):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                self.functions.append((node.end_lineno or node.lineno) - node.lineno + 1)
            self.branches += isinstance(node, BRANCHES)
            if isinstance(node, ast.BoolOp):
                self.branches += len(node.values) - 1
            if isinstance(node, ast.comprehension):
                self.branches += len(node.ifs)
            self.comprehensions += isinstance(node, COMPREHENSIONS)
            self.conditional += isinstance(node, ast.IfExp)

    def _add_private(self, tree: ast.Module) -> None:
        """Private functions, and those of them that their own file names once beside the
        definition."""
        named: Counter[str] = Counter()
        private = []
        for node in ast.walk(tree):
            if isinstance(node, ast.FunctionDef) and re.match(r"_(?!_)", node.name):
                private.append(node.name)
            elif isinstance(node, ast.Name):
                named[node.id] += 1
            elif isinstance(node, ast.Attribute):
                named[node.attr] += 1
        self.private += len(private)
        self.used_once += sum(named[name] == 1 for name in private)

    def _add_lines(self, text: str) -> None:
        for line in text.splitlines():
            stripped = line.strip()
            self.lines += 1
            self.skips += "fmt: skip" in line
            self.comments += stripped.startswith("#")
            if stripped and not stripped.startswith("#"):
                self.code_lines += 1
                self.code_characters += len(stripped)
                self.wide += len(line) > WIDE


def _short(value: float) -> str:
    return f"{value:.0f}" if value >= 10 else f"{value:.1f}"


def measured(files: Iterable[Path]) -> dict[str, str]:
    """The figures of sources."""
    counts = Counts()
    for file in files:
        counts.add(file.read_text())
    return counts.figures()


def main() -> None:
    """Prints the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", nargs="?", type=Path, default=Path("src/modelyard"))
    folder = parser.parse_args().folder
    ours = measured(sorted(folder.rglob("*.py")))
    table = Table()
    table.add_column("")
    table.add_column(str(folder), style="bold")
    for name in OTHERS:
        table.add_column(name)
    for number, (row, title) in enumerate(ROWS.items()):
        table.add_row(title, ours[row], *(figures[number] for figures in OTHERS.values()))
    Console().print(table)


if __name__ == "__main__":
    main()
