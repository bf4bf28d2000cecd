"""A fresh interpreter that looks at a family without this one's imports.

`ask("import", family)`: the training libraries that importing it loads.
`ask("serve", package)`: the golden answer, given with training libraries blocked.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Sequence
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec
from pathlib import Path
from types import ModuleType
from typing import Any

TRAINING = (
    "evidently",
    "kfp",
    "lightgbm",
    "mlflow",
    "onnx",
    "pandas",
    "scipy",
    "shap",
    "sklearn",
    "torch",
    "transformers",
    "xgboost",
)
"""Libraries that training may need and answering may not."""

HEAVY = (*TRAINING, "bentoml", "onnxruntime")
"""Libraries that importing a family must not load."""


class Blocker(MetaPathFinder):
    """Makes the named top-level packages impossible to import."""

    def __init__(self, names: Sequence[str]) -> None:
        self.names = frozenset(names)

    def find_spec(
        self, fullname: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if fullname.partition(".")[0] in self.names:
            raise ModuleNotFoundError(
                f"{fullname} is a training library: answering must not need it", name=fullname
            )
        return None


def ask(*arguments: str) -> Any:
    """Runs `main` in a fresh interpreter with this one's search path; returns what it printed.

    Raises:
        AssertionError: it failed; with the last line it wrote.
    """
    # An empty entry is the working folder, which PYTHONPATH cannot say by nothing.
    path = os.pathsep.join(entry or "." for entry in sys.path)
    command = [sys.executable, "-c", f"from {__name__} import main; main()", *arguments]
    done = subprocess.run(
        command, env={**os.environ, "PYTHONPATH": path}, capture_output=True, text=True, check=False
    )
    if done.returncode:
        lines = done.stderr.strip().splitlines() or ["no message"]
        raise AssertionError(f"{' '.join(arguments)}: {lines[-1]}")
    # Libraries may print before it.
    return json.loads(done.stdout.splitlines()[-1])


def main() -> None:
    """Prints the answer to the command line's question as one line of JSON."""
    job, subject = sys.argv[1:]
    print(json.dumps(_imported(subject) if job == "import" else _served(Path(subject))))


def _imported(family: str) -> list[str]:
    from modelyard.family import load

    load(family)
    return sorted(name for name in HEAVY if name in sys.modules)


def _served(package: Path) -> dict[str, Any]:
    sys.meta_path.insert(0, Blocker(TRAINING))
    from modelyard.packages.package import Package, read_info
    from modelyard.packages.trust import Trust

    opened = Package(package, trust=Trust().naming(read_info(package).family))
    request = opened.golden()["request"]
    (answer,) = opened.predict([request])
    reasons = opened.explain(request)
    return {
        "response": answer.model_dump(mode="json", by_alias=True),
        "explanation": reasons.model_dump(mode="json") if reasons else None,
        "loaded": sorted(name for name in TRAINING if name in sys.modules),
    }
