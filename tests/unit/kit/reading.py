"""Small tables of text, read or refused."""

from __future__ import annotations

from pathlib import Path

import pytest

from modelyard.errors import BadData
from modelyard.kit.tables import Table, read_table

CELLS = {"town": ["Köln", "Oslo"], "size": ["1.5", "2.5"]}
PLAIN = "town,size\nKöln,1.5\nOslo,2.5\n"
ROWS = "".join(f"{n % 7}.5,{'ab'[n % 2]},{n % 3}\n" for n in range(60))
GOOD = "x,y,z\n" + ROWS


def read(tmp_path: Path, content: str | bytes, name: str = "table.csv") -> Table:
    (tmp_path / name).write_bytes(content.encode() if isinstance(content, str) else content)
    return read_table(tmp_path / name)


def refused(tmp_path: Path, content: str | bytes, name: str = "table.csv") -> str:
    with pytest.raises(BadData) as caught:
        read(tmp_path, content, name)
    assert "\n" not in str(caught.value)
    return str(caught.value)
