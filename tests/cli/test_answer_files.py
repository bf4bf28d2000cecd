"""Files of examples for `modelyard predict`."""

from __future__ import annotations

import base64
from pathlib import Path
from types import SimpleNamespace

import pytest
from pydantic import BaseModel

from modelyard.cli.answer import read_examples
from modelyard.errors import BadData
from modelyard.families.image.host import ImageHost
from modelyard.host import Host
from tests.toy.family import LineHost


def package(request: type[BaseModel], reader: type[Host]) -> SimpleNamespace:
    """What reading a file asks of a package: the fields of a request, and how its family reads
    files."""
    return SimpleNamespace(
        host=SimpleNamespace(
            Request=request, read_file=lambda file: reader.read_file(reader.__new__(reader), file)
        )
    )


def test_a_file_without_any_column_of_the_model_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "new.csv"
    file.write_text("Width,Height\n1,2\n")
    with pytest.raises(
        BadData,
        match="new.csv: no column is one that the model takes; seen: Width, Height. Allowed: ",
    ):
        read_examples(file, package(LineHost.Request, LineHost))


def test_a_picture_is_an_example_and_a_file_of_an_unknown_kind_is_not(tmp_path: Path) -> None:
    (tmp_path / "scan.png").write_bytes(b"bytes")
    pictures = package(ImageHost.Request, ImageHost)
    found = read_examples(tmp_path / "scan.png", pictures)
    assert [base64.b64decode(one["image"]) for one in found] == [b"bytes"]
    (tmp_path / "scan.xcf").write_bytes(b"bytes")
    with pytest.raises(BadData, match="cannot read .xcf files. Allowed: .csv, "):
        read_examples(tmp_path / "scan.xcf", pictures)
