"""The Open Inference Protocol, version 2, over REST, with its binary tensors.

Two kinds of model are offered. `<name>` takes the family's own requests and gives its own answers:
one tensor for each field, as its metadata declares, or instead of them one BYTES tensor `request`
of JSON documents; the answers come as BYTES `response`, and their plain fields as tensors of their
own. `<name>.<graph>` takes and gives the tensors of one ONNX graph as they are.
https://github.com/kserve/open-inference-protocol/blob/main/specification/protocol/inference_rest.md
"""

from __future__ import annotations

import functools
import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from pydantic import BaseModel
from pydantic_core import from_json, to_json

from modelyard import __version__
from modelyard.errors import BadData
from modelyard.home import slug
from modelyard.runtimes.opening import runtime_of
from modelyard.runtimes.types import Runtime
from modelyard.serving.bodies import parse, rendered
from modelyard.serving.calls import Call, Reply, Route
from modelyard.serving.codec import (
    BYTES,
    JSON_TEXT,
    Column,
    Inference,
    check,
    column_type,
    decode,
    encode,
)
from modelyard.serving.problems import Refusal, refuse
from modelyard.serving.work import Wanted, Watched

if TYPE_CHECKING:
    from modelyard.serving.endpoints import Endpoints

REQUEST, RESPONSE = "request", "response"
PLATFORMS = {"onnx": "onnxruntime_onnx", "tensorrt": "onnxruntime_onnx"}
"""What the protocol calls our runtimes."""
_HEADER = b"inference-header-content-length"


class V2:
    """The endpoints below /v2, over those of the package."""

    def __init__(self, ends: Endpoints) -> None:
        self._ends, self._package = ends, ends.opened
        self.name = slug(self._package.info.family)
        fields = ends.read.fields
        self._inputs = [
            Column(name, column_type(schema), (None,)) for name, schema in fields.items()
        ]
        schema = self._package.host.Response.model_json_schema(mode="serialization", by_alias=True)
        # The whole answer, and each of its plain fields.
        self._outputs = [Column(RESPONSE, BYTES, (None,))]
        for name, own in schema.get("properties", {}).items():
            column = Column(name, column_type(own), (None,))
            if name != RESPONSE and column.kind != JSON_TEXT:
                self._outputs.append(column)
        self._graphs = self._signatures()

    def route(self, path: str) -> Route | None:
        """What answers a path below /v2; None where there is nothing."""
        parts = path.strip("/").split("/")[1:]
        if not parts:
            return Route("v2", self._server)
        # models/NAME[/versions/VERSION][/ready or /infer]
        match parts:
            case ["models", name, "versions", version, *rest] if version:
                pass
            case ["models", name, *rest]:
                version = ""
            case _:
                return None
        match rest:
            case []:
                metadata = functools.partial(self._on, self._metadata, name, version)
                return Route("v2_model", metadata)
            case ["ready"]:
                ready = functools.partial(self._on, self._ready, name, version)
                return Route("v2_ready", ready)
            case ["infer"]:
                infer = functools.partial(self._on, self._infer, name, version)
                return Route("v2_infer", infer, ("POST",))
        return None

    def _signatures(self) -> dict[str, tuple[list[Column], list[Column]]]:
        signature = getattr(self._package.run, "signature", None)
        if signature is None:
            # A runtime that does not tell what it takes: its graphs are not offered.
            return {}
        found = {}
        for graph in self._package.variant.graphs:
            takes, gives = signature(graph)
            inputs = [Column.of(tensor) for tensor in takes]
            outputs = [Column.of(tensor) for tensor in gives]
            found[f"{self.name}.{graph}"] = inputs, outputs
        return found

    async def _on(self, answer: Any, name: str, version: str, call: Call) -> Reply:
        if name != self.name and name not in self._graphs:
            raise refuse(
                404,
                f"model {name!r} is not served here; allowed: {', '.join([self.name, *self._graphs])}",
            )
        if version not in ("", self._package.info.version):
            raise refuse(
                404,
                f"version {version!r} is not served here; allowed: {self._package.info.version}",
            )
        reply: Reply = await answer(call, name)
        return reply

    async def _server(self, call: Call) -> Reply:
        return Reply(
            to_json(
                {"name": "modelyard", "version": __version__, "extensions": ["binary_tensor_data"]}
            )
        )

    async def _ready(self, call: Call, name: str) -> Reply:
        status = 503 if call.draining else 200
        return Reply(to_json({"name": name, "ready": not call.draining}), status)

    async def _metadata(self, call: Call, name: str) -> Reply:
        # Either the fields or `request`: a client sends all that is declared, so only one of the
        # two is.
        inputs, outputs = self._graphs.get(
            name, (self._inputs or [Column(REQUEST, BYTES, (None,))], self._outputs)
        )
        runtime = runtime_of(self._package.variant.name)
        metadata: dict[str, Any] = {
            "name": name,
            "versions": [self._package.info.version],
            "platform": PLATFORMS.get(runtime, runtime),
            "parameters": {"device": str(self._package.place)},
        }
        metadata |= {
            "inputs": [column.metadata() for column in inputs],
            "outputs": [column.metadata() for column in outputs],
        }
        return Reply(to_json(metadata))

    async def _infer(self, call: Call, name: str) -> Reply:
        call.check_asked()
        body = await call.body(self._ends.limits)
        if name in self._graphs:
            return await self._infer_graph(body, call, name)
        read = functools.partial(self._parsed, call.headers.get(_HEADER))
        inference, examples = await self._ends.read_in_time(read, body, call)
        answers = await self._ends.answers(examples, call, many=len(examples) > 1)
        documents = [rendered(answer, number) for number, answer in enumerate(answers)]
        self._ends.record(call, examples, answers)
        return encode(
            inference, self._columns(documents), name, self._package.info.version, call.id
        )

    async def _infer_graph(self, body: bytes, call: Call, name: str) -> Reply:
        expires = call.expires(self._ends.limits.deadline)
        wanted = functools.partial(call.is_wanted, expires)
        work = functools.partial(
            self._run_graph, body, call.headers.get(_HEADER), name, call.id, wanted
        )
        return await self._ends.aside.run(work, expires)

    def _run_graph(
        self, body: bytes, header: bytes | None, name: str, call: str, wanted: Wanted
    ) -> Reply:
        """A graph's outputs for a caller's own tensors; all of it in a thread, since each step
        may take long."""
        inference = decode(body, header)
        inputs, outputs = self._graphs[name]
        # Before the graph is run: an output that is not there costs no work.
        inference.wanted([column.name for column in outputs])
        arrays = check(inference.inputs, inputs)
        graph = name.removeprefix(f"{self.name}.")
        try:
            self._package.host.check_arrays(graph, arrays)
        except BadData as error:
            raise refuse(400, str(error), field=error.column) from None
        found = self._run(graph, arrays, Watched(self._package.run, wanted))
        return encode(inference, found, name, self._package.info.version, call)

    def _run(
        self, graph: str, arrays: dict[str, np.ndarray], run: Runtime
    ) -> dict[str, np.ndarray]:
        """Axis 0 is the batch: a long one goes in slices, so that memory is bounded and a late
        one ends."""
        rows = {len(array) if array.ndim else 0 for array in arrays.values()}
        most = self._ends.limits.batch_rows
        slices = [arrays]
        # Tensors of different lengths are no batch: they go as they are.
        if len(rows) == 1 and (count := rows.pop()) > most:
            slices = []
            for start in range(0, count, most):
                part = {name: array[start : start + most] for name, array in arrays.items()}
                slices.append(part)
        try:
            parts = [run(graph, part) for part in slices]
        except RuntimeError as error:
            # As ONNX Runtime's own errors are, for sizes that do not go together.
            said = " ".join(str(error).split())[:300]
            raise refuse(400, f"the graph does not take these tensors: {said}") from None
        if len(parts) == 1:
            return parts[0]
        joined = {}
        for name in parts[0]:
            joined[name] = np.concatenate([part[name] for part in parts])
        return joined

    def _parsed(
        self, header: bytes | None, body: bytes, wanted: Wanted
    ) -> tuple[Inference, list[BaseModel]]:
        inference = decode(body, header)
        values = self._documents(inference.inputs)
        self._ends.check_number(values)
        return inference, self._ends.read(values, len(values) > 1, wanted)

    def _documents(self, tensors: dict[str, np.ndarray]) -> Sequence[Any]:
        """Request documents from tensors: whole ones, or one field a tensor."""
        for tensor in tensors.values():
            self._ends.check_number(range(tensor.size))
        if set(tensors) == {REQUEST} and tensors[REQUEST].dtype == object:
            try:
                return [parse(document) for document in tensors[REQUEST].ravel().tolist()]
            except Refusal as refused:
                said = f"tensor 'request' must hold JSON documents: {refused}"
                raise refuse(refused.status, said, field=REQUEST) from None
        counts = {tensor.size for tensor in tensors.values()}
        if len(counts) > 1:
            raise refuse(
                400, f"the tensors have {sorted(counts)} values; each must have one a request"
            )
        kinds = {column.name: column.kind for column in self._inputs}
        # A name that is no field is passed on with its values: the reader refuses it as unknown.
        columns = []
        for name, tensor in tensors.items():
            kind = kinds.get(name, "")
            columns.append([_value(value, kind, name) for value in tensor.reshape(-1).tolist()])
        rows = zip(*columns, strict=True)
        return [dict(zip(tensors, row, strict=True)) for row in rows]

    def _columns(self, documents: list[bytes]) -> dict[str, np.ndarray]:
        found = {RESPONSE: np.array(documents, object)}
        answers = [from_json(document) for document in documents]
        for column in self._outputs[1:]:
            values = [answer.get(column.name) for answer in answers]
            found[column.name] = column.array(values)
        return found


def _value(value: Any, kind: str, name: str) -> Any:
    """One element of a field's tensor as JSON has it: text of BYTES, None of NaN."""
    if isinstance(value, float) and math.isnan(value):
        return None
    if not isinstance(value, bytes):
        return value
    try:
        if kind == JSON_TEXT:
            return from_json(value)
        return value.decode()
    except ValueError as error:
        raise refuse(400, f"tensor {name!r}: {error}", field=name) from None
