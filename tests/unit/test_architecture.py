"""The layers of the design, kept: each rule reads source text, and is shown to catch a breach."""

from __future__ import annotations

import ast
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import pytest

from modelyard.family import names

ROOT = Path(__file__).parents[2]
TRAINING = frozenset(
    {"lightgbm", "onnx", "pandas", "scipy", "shap", "sklearn", "torch", "transformers", "xgboost"}
)
HEAVY = TRAINING | {
    "bentoml",
    "evidently",
    "kfp",
    "matplotlib",
    "mlflow",
    "onnxruntime",
    "optuna",
    "skops",
}
PICKLERS = frozenset({"cloudpickle", "dill", "joblib", "marshal", "pickle", "shelve"})
CORE = (
    "card",
    "compress",
    "cost",
    "doctor",
    "drift",
    "judging",
    "kubernetes",
    "launch",
    "packages",
    "pipeline",
    "predictions",
    "registry",
    "release",
    "runtimes",
    "serving",
    "settings",
    "stages",
    "store",
    "training",
    "tuning",
)
"""Modules of modelyard that run every family and may know none."""
HOMONYMS = {
    "detection": {"modelyard.drift.measures"},
    "image": {
        *(f"modelyard.kubernetes.{name}" for name in ("pods", "refusals")),
        *(f"modelyard.{name}.devices" for name in ("runtimes", "training")),
        "modelyard.compress.recipes",
        *(f"modelyard.pipeline.{name}" for name in ("form", "pipelines", "step")),
        *(f"pipelines.{name}" for name in ("training", "tuning")),
        "modelyard.settings.cluster",
        *(f"modelyard.doctor.{name}" for name in ("ended", "pod", "pull")),
        *(f"modelyard.launch.{name}" for name in ("attempt", "manifest", "trainjob")),
    },
}
"""Names of families that mean something else in a module of the core: what a container runs is
called an image, finding drift its detection."""
EVERYDAY = frozenset({"text"})
"""Names of families that are words of every module: their imports alone are looked at."""
SIGNALS = frozenset({"Fault", "GitError", "Refusal", "Unwanted", "_HeadTooLarge"})
"""Exceptions that are caught in the package that raises them: Git's failure before it is
explained, an HTTP answer."""
ONLY_PRIVATE = "torch.distributed.checkpoint._fsspec_filesystem"
"""torch documents its reader and writer of fsspec paths, and has no public module for them."""
FIXED = ("README.md", "__init__.py", "config.py", "data.py", "family.py", "host.py")
"""Files that every family's folder has."""
MAY_IMPORT_HEAVY = frozenset(
    {
        "modelyard.kit.intervals",
        *(
            f"modelyard.compress.{name}"
            for name in ("aware", "engines", "facts", "fusing", "narrow", "quantize", "teaching")
        ),
        *(f"modelyard.kit.classes.{name}" for name in ("choosing", "evaluate", "judged", "plots")),
        *(
            f"modelyard.training.{name}"
            for name in (
                "checkpoint",
                "connecting",
                "continual",
                "devices",
                "engine",
                "memory",
                "optimizers",
                "session",
                "shrinking",
                "throughput",
                "world",
                "wrapped",
            )
        ),
    }
)
"""Modules of the core that exist for a heavy library, and are themselves imported late."""
FILE_LINES, FUNCTION_LINES, ADAPTER_STATEMENTS = 400, 60, 30


@dataclass(frozen=True)
class Import:
    """One imported module, `modelyard.stages.run`, and where it stands."""

    module: str
    line: int
    late: bool
    """Within a function, or for type checkers alone."""


@dataclass(frozen=True)
class Source:
    """A file of the repository: its path below the root, and its text."""

    path: str
    text: str

    @cached_property
    def tree(self) -> ast.Module:
        return ast.parse(self.text)

    @cached_property
    def module(self) -> str:
        """`src/modelyard/families/x/host.py` to `modelyard.families.x.host`."""
        return (
            self.path.removeprefix("src/")
            .removesuffix(".py")
            .removesuffix("/__init__")
            .replace("/", ".")
        )

    @cached_property
    def family(self) -> str:
        """The family this file belongs to; empty for the rest of modelyard."""
        parts = self.module.split(".")
        return parts[2] if parts[:2] == ["modelyard", "families"] and len(parts) > 2 else ""

    @cached_property
    def imports(self) -> list[Import]:
        return list(self._imports(self.tree, late=False))

    def _imports(self, node: ast.AST, late: bool) -> Iterator[Import]:
        for child in ast.iter_child_nodes(node):
            if isinstance(child, ast.Import):
                yield from (Import(alias.name, child.lineno, late) for alias in child.names)
            elif isinstance(child, ast.ImportFrom):
                base = self._base(child)
                yield from (
                    Import(f"{base}.{alias.name}", child.lineno, late) for alias in child.names
                )
            elif isinstance(child, ast.If) and "TYPE_CHECKING" in ast.unparse(child.test):
                yield from self._imports(child, late=True)
            else:
                function = isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda)
                yield from self._imports(child, late or function)

    def _base(self, node: ast.ImportFrom) -> str:
        if not node.level:
            return node.module or ""
        package = self.module.split(".")
        up = node.level - self.path.endswith("__init__.py")
        return ".".join([*package[: len(package) - up], *([node.module] if node.module else [])])

    def functions(self) -> Iterator[tuple[str, int, int]]:
        """Name of every function, its lines below signature and docstring, and its statements."""
        for node in ast.walk(self.tree):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                end = node.end_lineno or node.lineno
                body = [one for one in node.body if not _is_bare_text(one)]
                inner = [one for part in body for one in ast.walk(part)]
                statements = sum(isinstance(one, ast.stmt) for one in inner)
                yield node.name, end - body[0].lineno + 1 if body else 0, statements


Rule = Callable[[Source], list[str]]


def top(module: str) -> str:
    """`torch.nn.functional` to `torch`."""
    return module.partition(".")[0]


def family_is_reached_through_load_alone(source: Source) -> list[str]:
    """Nothing but a family's own files imports it."""
    return [
        f"{source.path}:{one.line} imports {one.module}"
        for one in source.imports
        if one.module.split(".")[:2] == ["modelyard", "families"]
        and len(one.module.split(".")) > 2
        and one.module.split(".")[2] in {*names(), source.family} - {source.family}
    ]


def core_names_no_family(
    source: Source, families: frozenset[str] = frozenset(names())
) -> list[str]:
    """No text and no identifier of the core holds a family's name as a word.

    Docstrings may, as examples, and so may a command that a person is told to type.
    """
    if source.module.split(".")[1:2] not in [[name] for name in CORE]:
        return []
    families -= {name for name, modules in HOMONYMS.items() if source.module in modules} | EVERYDAY
    spoken = {
        id(text)
        for node in ast.walk(source.tree)
        for text in _bare_texts(getattr(node, "body", []))
    }
    found = []
    for node in ast.walk(source.tree):
        said = ""
        if (
            isinstance(node, ast.Constant)
            and isinstance(node.value, str)
            and id(node) not in spoken
        ):
            said = node.value
        elif isinstance(node, ast.Name | ast.Attribute):
            said = node.id if isinstance(node, ast.Name) else node.attr
        words = set(re.findall(r"[\w-]+", re.sub(r"modelyard \w+ \w+", "", said).lower()))
        found += [
            f"{source.path}:{node.lineno} names {word!r}" for word in sorted(words & families)
        ]
    return found


def wheel_leaves_adapters_to_their_libraries(source: Source) -> list[str]:
    """src/modelyard imports no bentoml, and kfp in pipeline/ alone."""
    banned = {"bentoml"} | (set() if source.module.startswith("modelyard.pipeline") else {"kfp"})
    if not source.path.startswith("src/"):
        return []
    return [
        f"{source.path}:{one.line} imports {one.module}"
        for one in source.imports
        if top(one.module) in banned
    ]


def libraries_are_used_by_their_public_names(source: Source) -> list[str]:
    """No module of a library that begins with `_`, or that the library calls its legacy."""
    found = []
    for one in source.imports:
        parts = one.module.split(".")
        private = any(re.match("_[^_]", part) for part in parts) or "legacy" in parts
        known = one.module.startswith(ONLY_PRIVATE)
        if private and not known and parts[0] != "modelyard":
            found.append(f"{source.path}:{one.line} imports {one.module}")
    return found


def adapters_hold_no_logic(source: Source) -> list[str]:
    """A function of components/, pipelines/ or services/ does little: the logic is in the wheel."""
    if not _is_adapter(source):
        return []
    return [
        f"{source.path}: {name} has {count} statements"
        for name, _, count in source.functions()
        if count > ADAPTER_STATEMENTS
    ]


def _is_adapter(source: Source) -> bool:
    return source.path.split("/")[0] in {"components", "pipelines", "services"}


def nothing_is_pickled(source: Source) -> list[str]:
    """No pickler is imported, numpy may not unpickle, torch loads weights alone."""
    found = [
        f"{source.path}:{one.line} imports {one.module}"
        for one in source.imports
        if top(one.module) in PICKLERS
    ]
    for node in ast.walk(source.tree):
        if isinstance(node, ast.Call):
            given = {word.arg: ast.unparse(word.value) for word in node.keywords if word.arg}
            if given.get("allow_pickle", "False") != "False":
                found.append(f"{source.path}:{node.lineno} allows pickle")
            if ast.unparse(node.func) == "torch.load" and given.get("weights_only") != "True":
                found.append(f"{source.path}:{node.lineno} lets torch.load unpickle")
    return found


def files_and_functions_are_short(source: Source) -> list[str]:
    """A reader holds a file and a function in mind."""
    lines = len(source.text.splitlines())
    found = [f"{source.path} has {lines} lines"] if lines >= FILE_LINES else []
    if _is_adapter(source):
        return found
    return found + [
        f"{source.path}: {name} has {count} lines below its docstring"
        for name, count, _ in source.functions()
        if count >= FUNCTION_LINES
    ]


def heavy_libraries_are_imported_late(source: Source) -> list[str]:
    """At module level stand light imports alone, but where a file exists for the heavy one."""
    shared = source.module.startswith("modelyard.kit.")
    light = not (source.family or shared) or source.path.endswith(
        ("/__init__.py", "/config.py", "/data.py", "/host.py")
    )
    if not light or not source.path.startswith("src/") or source.module in MAY_IMPORT_HEAVY:
        return []
    return [
        f"{source.path}:{one.line} imports {one.module} at module level"
        for one in source.imports
        if top(one.module) in HEAVY and not one.late
    ]


def errors_are_in_one_tree(source: Source) -> list[str]:
    """Exceptions are defined in errors.py: at most eight, below ModelyardError. Signals never
    reach a person."""
    classes = [node for node in ast.walk(source.tree) if isinstance(node, ast.ClassDef)]
    bases = {node.name: [ast.unparse(base) for base in node.bases] for node in classes}
    raised = [
        name
        for name, of in bases.items()
        if any(base.endswith(("Error", "Exception", "Exit")) for base in of)
    ]
    if source.module != "modelyard.errors":
        return [
            f"{source.path}: {name} belongs into errors.py"
            for name in raised
            if name not in SIGNALS
        ]
    found = [f"{len(bases)} error classes; at most 8"] if len(bases) > 8 else []
    known = {"ModelyardError", *bases}
    strays = [
        name for name, of in bases.items() if name != "ModelyardError" and not known & set(of)
    ]
    return found + [f"{name} is not below ModelyardError" for name in strays]


RULES: tuple[Rule, ...] = (
    family_is_reached_through_load_alone,
    core_names_no_family,
    wheel_leaves_adapters_to_their_libraries,
    libraries_are_used_by_their_public_names,
    adapters_hold_no_logic,
    nothing_is_pickled,
    files_and_functions_are_short,
    heavy_libraries_are_imported_late,
    errors_are_in_one_tree,
)


def _bare_texts(body: object) -> list[ast.Constant]:
    """Texts that stand as statements: docstrings, and those under fields."""
    statements = body if isinstance(body, list) else []
    return [node.value for node in statements if _is_bare_text(node)]


def _is_bare_text(node: ast.AST) -> bool:
    return isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)


def needs(
    module: str, read: Callable[[str], Source | None], seen: set[str] | None = None
) -> set[str]:
    """Libraries that importing `module` loads, through modelyard's own modules, at module level."""
    seen = set() if seen is None else seen
    source = None if module in seen else read(module)
    seen.add(module)
    if source is None:
        return set()
    libraries: set[str] = set()
    packages = [module.rpartition(".")[0]] if "." in module else []
    for name in packages + [one.module for one in source.imports if not one.late]:
        if top(name) != "modelyard":
            libraries.add(top(name))
            continue
        libraries |= needs(name, read, seen) | needs(name.rpartition(".")[0], read, seen)
    return libraries


def read_module(module: str) -> Source | None:
    """The source of a module of modelyard; None for a name that is no module."""
    stem = ROOT / "src" / module.replace(".", "/")
    for file in (stem / "__init__.py", stem.with_suffix(".py")):
        if file.is_file():
            return Source(file.relative_to(ROOT).as_posix(), file.read_text())
    return None


def repository() -> list[Source]:
    """All Python files of the wheel and of its adapters."""
    folders = [ROOT / name for name in ("src/modelyard", "components", "pipelines", "services")]
    files = [file for folder in folders for file in sorted(folder.rglob("*.py"))]
    return [Source(file.relative_to(ROOT).as_posix(), file.read_text()) for file in files]


@pytest.fixture(scope="module")
def sources() -> list[Source]:
    return repository()


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.__name__)
def test_the_repository_keeps_the_rule(rule, sources):
    assert [breach for source in sources for breach in rule(source)] == []


@pytest.mark.parametrize("family", names())
def test_answering_needs_no_training_library(family):
    libraries = needs(f"modelyard.families.{family}.host", read_module)
    assert "numpy" in libraries
    assert not libraries & TRAINING


@pytest.mark.parametrize("family", names())
def test_family_folder_has_the_fixed_files(family):
    folder = ROOT / "src/modelyard/families" / family
    assert [name for name in FIXED if not (folder / name).is_file()] == []


@pytest.mark.parametrize("signal", sorted(SIGNALS))
def test_a_signal_stays_in_its_package(signal, sources):
    users = {
        Path(source.path).parent for source in sources if re.search(rf"\b{signal}\b", source.text)
    }
    assert len(users) == 1


NAME = names()[0]
ROOTS = "class ModelyardError(Exception): pass\n"
LONG = "def f():\n" + "    x = 1\n" * 70
BREACHES = [
    (family_is_reached_through_load_alone, "run.py", f"from modelyard.families.{NAME} import host"),
    (
        family_is_reached_through_load_alone,
        "families/x/data.py",
        f"import modelyard.families.{NAME}.data",
    ),
    (family_is_reached_through_load_alone, "families/x/data.py", f"from ..{NAME} import data"),
    (
        core_names_no_family,
        "stages/train.py",
        f"def f(run):\n    return run.family.name == '{NAME}'",
    ),
    (
        core_names_no_family,
        "drift/statistics.py",
        f"def f():\n    return '{NAME} models are special'",
    ),
    (core_names_no_family, "launch/step.py", f"from modelyard import {NAME}\nx = {NAME}.y"),
    (wheel_leaves_adapters_to_their_libraries, "serving/app.py", "def f():\n    import bentoml"),
    (
        wheel_leaves_adapters_to_their_libraries,
        "stages/train.py",
        "def f():\n    from kfp import dsl",
    ),
    (
        libraries_are_used_by_their_public_names,
        "../../services/service.py",
        "from _bentoml_sdk import Service",
    ),
    (
        libraries_are_used_by_their_public_names,
        "drift/second.py",
        "def f():\n    import evidently.legacy.core",
    ),
    (adapters_hold_no_logic, "../../components/train.py", LONG),
    (adapters_hold_no_logic, "../../services/service.py", LONG),
    (nothing_is_pickled, "run.py", "import pickle"),
    (nothing_is_pickled, "run.py", "def f():\n    from joblib import dump"),
    (nothing_is_pickled, "run.py", "import numpy\nnumpy.load('a', allow_pickle=True)"),
    (nothing_is_pickled, "run.py", "import torch\ntorch.load('a')"),
    (files_and_functions_are_short, "run.py", LONG),
    (files_and_functions_are_short, "run.py", "x = 1\n" * 400),
    (heavy_libraries_are_imported_late, "run.py", "import torch.nn"),
    (heavy_libraries_are_imported_late, "training/loop.py", "import torch"),
    (heavy_libraries_are_imported_late, "training/batches.py", "from torch import nn"),
    (
        heavy_libraries_are_imported_late,
        "run.py",
        "try:\n    from sklearn import svm\nexcept ImportError:\n    pass",
    ),
    (heavy_libraries_are_imported_late, "families/x/host.py", "import onnxruntime"),
    (heavy_libraries_are_imported_late, "kit/x/host.py", "import sklearn"),
    (errors_are_in_one_tree, "run.py", "class Lost(ValueError):\n    pass"),
    (errors_are_in_one_tree, "errors.py", ROOTS + "class Lost(Exception): pass"),
    (
        errors_are_in_one_tree,
        "errors.py",
        "\n".join(f"class E{n}(ModelyardError): pass" for n in range(9)),
    ),
]


def at(path: str, text: str) -> Source:
    """A source at a path below src/modelyard."""
    outside = path.removeprefix("../../")
    return Source(outside if outside != path else f"src/modelyard/{path}", text)


@pytest.mark.parametrize(("rule", "path", "text"), BREACHES)
def test_a_breach_is_caught(rule, path, text):
    assert rule(at(path, text))


@pytest.mark.parametrize(
    ("rule", "path", "text"),
    [
        (
            family_is_reached_through_load_alone,
            f"families/{NAME}/data.py",
            f"import modelyard.families.{NAME}.host",
        ),
        (
            core_names_no_family,
            "stages/train.py",
            f'"""As {NAME} does."""\nclass A:\n    x: int\n    """Of {NAME}."""',
        ),
        (core_names_no_family, "launch/local.py", f"HINT = 'modelyard run {NAME}'"),
        (wheel_leaves_adapters_to_their_libraries, "pipeline/local.py", "def f():\n    import kfp"),
        (adapters_hold_no_logic, "run.py", LONG),
        (heavy_libraries_are_imported_late, "families/x/model.py", "import torch"),
        (heavy_libraries_are_imported_late, "kit/x/family.py", "import torch"),
        (heavy_libraries_are_imported_late, "run.py", "if TYPE_CHECKING:\n    import torch"),
        (heavy_libraries_are_imported_late, "run.py", "def f():\n    import torch"),
        (nothing_is_pickled, "run.py", "import numpy\nnumpy.load('a', allow_pickle=False)"),
    ],
)
def test_what_is_allowed_is_let_pass(rule, path, text):
    assert rule(at(path, text)) == []


def test_a_training_library_behind_two_imports_is_found():
    texts = {
        "modelyard.families.x.host": "from .helpers import words\nimport numpy",
        "modelyard.families.x.helpers": "import modelyard.families.x.table",
        "modelyard.families.x.table": "from pandas import DataFrame\ndef f():\n    import torch",
    }
    found = needs(
        "modelyard.families.x.host",
        lambda name: (
            Source(f"src/{name.replace('.', '/')}.py", texts[name]) if name in texts else None
        ),
    )
    assert found == {"numpy", "pandas"}
