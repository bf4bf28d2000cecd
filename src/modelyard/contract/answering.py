"""Checks of the answering half: requests, graphs, answers, the package."""

from __future__ import annotations

import dataclasses
import json
import math
import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from pydantic import BaseModel, ValidationError

from modelyard.contract.isolated import ask
from modelyard.contract.lab import Lab
from modelyard.family import Split
from modelyard.judging.compare import difference, expect
from modelyard.judging.evaluation import Evaluation
from modelyard.runtimes.types import Arrays, Graph

BATCH = 7
"""A batch size that is nobody's default."""
METRIC_TOLERANCE = 1e-3
"""Largest |difference| / max(1, |value|) of a metric between runtimes (of the main one: divided by it
or by the baseline's, the larger); one example of the split is allowed too."""
WRONG: tuple[Any, ...] = ({"not": ["a", "value"]}, [[{}]], "not a value", -1e300, None)
"""Values of which at least one is wrong for any field."""
PICKLES = frozenset({".pkl", ".pickle", ".joblib", ".dill", ".pt", ".pth"})


def importing_loads_no_training_library(lab: Lab) -> str:
    """`import` of the family loads nothing heavy, so the command line answers at once."""
    loaded = ask("import", lab.name)
    expect(
        not loaded,
        f"importing {lab.name} loads {', '.join(loaded)}: the entry's module imports only the config, "
        "and names the classes as text (build='.family:Class')",
    )
    return "light"


def requests_validate_and_survive_json(lab: Lab) -> str:
    """Bodies are plain JSON, validate as Host.Request, and come back from it; `limit` is kept."""
    splits: tuple[Split, ...] = ("train", "validation", "test")
    for split in splits:
        limited = lab.family.requests(lab["features"], split, 3)
        expect(0 < len(limited) <= 3, f"requests({split!r}, limit=3) gave {len(limited)} bodies")
        for body in limited:
            same = json.loads(json.dumps(body, allow_nan=False)) == body
            expect(same, f"a body of the {split} split changes in JSON: {body}")
            request = lab.host.Request.model_validate(body)
            back = lab.host.Request.model_validate_json(request.model_dump_json(by_alias=True))
            expect(
                back == request,
                f"a request of the {split} split changes in JSON: {request!r} to {back!r}",
            )
    return f"fields {', '.join(lab.bodies(1)[0])}"[:80]


def bad_request_is_named_by_field(lab: Lab) -> str:
    """An unknown field is refused; every field refuses some wrong value; the error names the
    field."""
    (body,) = lab.bodies(1)
    _refused(lab, body | {"unheard_of": 1}, "unheard_of")
    for field in body:
        refused = []
        for wrong in WRONG:
            if _is_refused(lab, body, field, wrong):
                refused.append(body | {field: wrong})
        expect(
            bool(refused),
            f"field {field!r} of {lab.host.Request.__name__} accepts anything: give it a type",
        )
        for wrong_body in refused:
            _refused(lab, wrong_body, field)
    return f"{len(body)} fields"


def graphs_match_the_trained_model(lab: Lab) -> str:
    """Every graph gives what the trained model gives, within its tolerance, at batch 1 and 7."""
    from modelyard.compress.parity import check_parity

    graphs = lab.family.graphs(lab["model"])
    expect(
        len({graph.name for graph in graphs}) == len(graphs) > 0,
        "graphs() needs graphs with names of their own",
    )
    worst = 0.0
    for graph in graphs:
        batch = {}
        for name, array in graph.example.items():
            # Rows of the example again and again: a graph must not depend on how many there are.
            batch[name] = np.resize(array, (BATCH, *array.shape[1:]))
        _well_formed(lab, graph, batch)
        gap = check_parity(dataclasses.replace(graph, example=batch), lab.native, lab.onnx)
        worst = max(worst, gap)
    counted = "1 graph" if len(graphs) == 1 else f"{len(graphs)} graphs"
    return f"{counted}, {worst:.1e} at most"


def answers_depend_on_the_request_alone(lab: Lab) -> str:
    """A batch of 7 answers as 7 single requests do, and in the order of the requests."""
    requests = lab.parsed(BATCH)
    singles = [lab.host.predict(lab.onnx, [request])[0] for request in requests]
    batches = {
        "a batch": lab.host.predict(lab.onnx, requests),
        "a reversed batch": lab.host.predict(lab.onnx, requests[::-1])[::-1],
    }
    for what, batch in batches.items():
        expect(len(batch) == BATCH, f"predict() gave {len(batch)} answers to {BATCH} requests")
        for single, together in zip(singles, batch, strict=True):
            found = difference(_json(single), _json(together))
            otherwise = f"{what} answers differently than its requests one by one: {found}"
            expect(not found, f"{otherwise}. No answer may depend on the rest of its batch")
    return f"batch of {BATCH}"


def answers_survive_json(lab: Lab) -> str:
    """Answers are Host.Response and come back from JSON the same."""
    for answer in lab.host.predict(lab.onnx, lab.parsed(BATCH)):
        expect(
            isinstance(answer, lab.host.Response),
            f"predict() gave a {type(answer).__name__}, not a Response",
        )
        json.dumps(_json(answer), allow_nan=False)
        back = lab.host.Response.model_validate_json(answer.model_dump_json(by_alias=True))
        expect(back == answer, f"an answer changes in JSON: {answer!r} to {back!r}")
    return lab.host.Response.__name__


def describe_gives_flat_rows_of_the_same_columns(lab: Lab) -> str:
    """The same columns each time; finite numbers, texts or None; a column does not mix numbers
    and texts."""
    requests = lab.parsed(50)
    answers = lab.host.predict(lab.onnx, requests)
    rows = [lab.host.describe(*pair) for pair in zip(requests, answers, strict=True)]
    expect(bool(rows[0]), "describe() gives no column: drift would have nothing to look at")
    for row in rows:
        expect(
            list(row) == list(rows[0]),
            f"describe() gives other columns: {list(row)}, before {list(rows[0])}",
        )
    for column in rows[0]:
        values = [row[column] for row in rows if row[column] is not None]
        for value in values:
            expect(
                _is_cell(value),
                f"describe(): column {column!r} holds {value!r} ({type(value).__name__}); allowed: "
                "finite numbers, texts and None, so write a flag as text",
            )
        kinds = {isinstance(value, str) for value in values}
        expect(len(kinds) < 2, f"describe(): column {column!r} holds numbers and texts")
    return f"{len(rows[0])} columns"


def evaluation_is_the_same_on_onnx(lab: Lab) -> str:
    """`evaluate` on the exported graphs gives the trained model's figures."""
    native = Evaluation.model_validate_json((lab["evaluation"] / "evaluation.json").read_text())
    onnx = lab.family.evaluate(lab.host, lab.onnx, lab["features"], "test")
    expect(onnx.metrics.keys() == native.metrics.keys(), "evaluate() reports other metrics on ONNX")
    worst = 0.0
    for name, value in native.metrics.items():
        size = max(1, abs(value))
        if name == native.main:
            # An error in the target's own unit may be far smaller than 1, and wrong nonetheless.
            size = max(abs(value), abs(native.baseline.get(name, 0))) or 1
        gap = abs(onnx.metrics[name] - value) / size
        # One example that falls to the other side of a threshold is no defect of a graph.
        allowed = max(METRIC_TOLERANCE, 1 / native.rows)
        expect(
            gap <= allowed,
            f"{name} is {value:.6g} on the trained model, {onnx.metrics[name]:.6g} on ONNX: "
            "evaluate() must take what it judges from `run`, and draw nothing unseeded",
        )
        worst = max(worst, gap)
    return f"{len(native.metrics)} metrics, {worst:.1e} at most"


def package_answers_without_training_libraries(lab: Lab) -> str:
    """With torch and its like impossible to import, the package opens and gives its golden
    answer."""
    golden = json.loads((lab["package"] / "golden.json").read_text())
    seen = ask("serve", str(lab["package"]))
    loaded = ", ".join(seen["loaded"])
    expect(not loaded, f"opening the package loads {loaded}: host.py and what it imports must not")
    found = difference(golden["response"], seen["response"])
    expect(not found, f"the package does not give its golden answer: {found}")
    return "golden answer" + (", explained" if seen["explanation"] else "")


def nothing_is_pickled(lab: Lab) -> str:
    """Features, model and package hold no pickle: a file that runs code when it is opened."""
    files = 0
    pickled = []
    for name in ("features", "model", "package"):
        for file in sorted(lab[name].rglob("*")):
            if not file.is_file():
                continue
            files += 1
            if _is_pickled(file):
                pickled.append(file.relative_to(lab.folder).as_posix())
    expect(not pickled, f"pickled: {', '.join(pickled)}. Write safetensors, ONNX, npy or JSON")
    return f"{files} files"


def _well_formed(lab: Lab, graph: Graph, batch: Arrays) -> None:
    rows = {len(array) for array in graph.example.values()}
    expect(
        len(rows) == 1 and rows.pop() >= 2,
        f"graph {graph.name!r}: its example needs one batch of 2 rows or more",
    )
    for name, array in graph.example.items():
        allowed = array.dtype in (np.float32, np.int64, np.bool_)
        expect(
            allowed,
            f"graph {graph.name!r}: input {name!r} is {array.dtype}; allowed: float32, int64, bool",
        )
    expected, seen = lab.native(graph.name, batch), lab.onnx(graph.name, batch)
    expect(
        expected.keys() == seen.keys(),
        f"graph {graph.name!r}: outputs {sorted(expected)} of the trained model are {sorted(seen)} on ONNX",
    )
    for name, array in seen.items():
        shapes = array.shape == expected[name].shape and array.shape[:1] == (BATCH,)
        expect(
            shapes,
            f"graph {graph.name!r}: output {name!r} has shape {array.shape} on ONNX, {expected[name].shape} "
            f"before; axis 0 must be the batch of {BATCH}",
        )


def _is_refused(lab: Lab, body: dict[str, Any], field: str, value: Any) -> bool:
    try:
        lab.host.Request.model_validate(body | {field: value})
    except ValidationError:
        return True
    return False


def _refused(lab: Lab, body: dict[str, Any], field: str) -> None:
    try:
        lab.host.Request.model_validate(body)
    except ValidationError as error:
        named: list[str] = []
        for complaint in error.errors(include_url=False):
            named += [*map(str, complaint["loc"]), complaint["msg"]]
        is_named = any(field in words for words in named)
        expect(is_named, f"the error for a wrong {field!r} does not name it: {error}")
    else:
        expect(False, f"{lab.host.Request.__name__} accepts an unknown field: set extra='forbid'")


def _json(answer: BaseModel) -> Any:
    return answer.model_dump(mode="json", by_alias=True)


def _is_cell(value: object) -> bool:
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        return False
    return isinstance(value, str) or math.isfinite(value)


def _is_pickled(file: Path) -> bool:
    if file.suffix in PICKLES:
        return True
    if zipfile.is_zipfile(file):
        return _any_pickle(zipfile.ZipFile(file).namelist())
    with file.open("rb") as stream:
        head = stream.read(256)
    # An array of objects (dtype `|O`) in a .npy file is a pickle behind its header.
    return head.startswith(b"\x93NUMPY") and b"'|O'" in head


def _any_pickle(names: Sequence[str]) -> bool:
    return any(Path(name).suffix in PICKLES for name in names)
