from pathlib import Path

import pytest

from modelyard.family import names
from modelyard.pipeline.pipelines import GENERIC, KINDS, compile_pipelines

Pipeline = tuple[str | None, str]
"""A family, None for the generic pipeline, and the kind of pipeline."""


@pytest.fixture(scope="session")
def compiled(tmp_path_factory) -> dict[Pipeline, Path]:
    """Every pipeline, as the code of today compiles it."""
    folder = tmp_path_factory.mktemp("compiled")
    files = {
        (name, kind): folder / f"{name or GENERIC}-{kind}.yaml"
        for name in (None, *names())
        for kind in KINDS
    }
    compile_pipelines([(*pipeline, file) for pipeline, file in files.items()])
    return files
