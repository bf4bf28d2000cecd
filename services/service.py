"""The BentoML service of every family.

    export BENTOML_DO_NOT_TRACK=True
    MODELYARD_PACKAGE=$PWD/runs/…/package bentoml serve service:Model --working-dir services

or from a bento, which carries its package as a model of BentoML's store: see `store.py`.

What BentoML shows of it follows from the package: `predict` takes and gives the models of the
package's own family. Requests are answered by modelyard's app, so that checks, limits, errors, the
prediction log and the counters are those of `modelyard serve`.
"""

import contextlib
import os
import sys
from pathlib import Path
from typing import Annotated, Any

import bentoml
import psutil
from bentoml.exceptions import BentoMLException, InvalidArgument, ServiceUnavailable
from bentoml.images import Image
from bentoml.models import BentoModel
from pydantic import BaseModel, TypeAdapter, WithJsonSchema

from modelyard import TELEMETRY_OFF, __version__
from modelyard.errors import ModelyardError, Unavailable
from modelyard.serving.app import app_from_environment
from modelyard.serving.calls import Call, Reply, Route
from modelyard.serving.launch import check
from modelyard.serving.settings import ServingSettings

UNTRACKED = "BENTOML_DO_NOT_TRACK"
DEEPEST = 8
"""References within references; a schema that refers to itself is written out so far."""


class Arguments(BaseModel):
    """What `--arg` takes; a bento keeps what it was built with."""

    model: str | None = None
    """Tag of the package in BentoML's model store. None: MODELYARD_PACKAGE names its folder."""


class Answers:
    """Hands every request to modelyard's app.

    BentoML's own route of an API would hold a body of any size, read it before it is known whether
    there is time for it, and answer a bad one in another form.
    """

    def __init__(self, app: Any, answers: Any) -> None:
        self.app, self.answers = app, answers

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """ASGI; the lifespan stays BentoML's, which calls `Model.open` and `Model.close`."""
        inner = self.app if scope["type"] == "lifespan" else self.answers
        await inner(scope, receive, send)


def refuse_reports() -> None:
    """Ends a command of BentoML that would report its use to BentoML's makers.

    The command reads whether it may before it loads a service, so that nothing here can tell it
    any more; an ordinary exit would be reported too.
    """
    is_command = "bentoml_cli" in sys.modules and "--do-not-track" not in sys.argv
    if is_command and UNTRACKED not in psutil.Process().environ():
        said = (
            f"error: BentoML would report this command to its makers. Type: export {UNTRACKED}=True"
        )
        print(said, file=sys.stderr, flush=True)
        os._exit(2)


refuse_reports()
stored = None
environ = dict(os.environ)
try:
    if (tag := bentoml.use_arguments(Arguments).model) is not None:
        stored = BentoModel(tag)
        environ["MODELYARD_PACKAGE"] = str(Path(stored.resolve().path) / "package")
    settings = ServingSettings.from_environment(environ)
    limits = settings.limits()
    # A broken package ends the command here, with its cause in a line.
    info = check(settings.package)
    host = settings.trust().family(info.family).open(settings.package / "assets")
except (BentoMLException, ModelyardError) as error:
    sys.exit(f"error: {error}")

app = app_from_environment(environ)
Request, Response = host.Request, host.Response
asked = TypeAdapter(list[Request]).json_schema()
answered = TypeAdapter(list[Response]).json_schema(mode="serialization")


def inlined(schema: Any, defined: dict[str, Any], depth: int = 0) -> Any:
    """A JSON schema without references: BentoML's OpenAPI refuses definitions that hold keys which
    it does not know, such as `examples`."""
    if isinstance(schema, list):
        return [inlined(one, defined, depth) for one in schema]
    if not isinstance(schema, dict):
        return schema
    if (reference := schema.get("$ref")) is not None:
        if depth == DEEPEST:
            return {}
        found = defined[reference.rpartition("/")[2]]
        return inlined(found, defined, depth + 1)
    return {name: inlined(one, defined, depth) for name, one in schema.items() if name != "$defs"}


Requests = Annotated[list[Request], WithJsonSchema(inlined(asked, asked.get("$defs", {})))]
Responses = Annotated[list[Response], WithJsonSchema(inlined(answered, answered.get("$defs", {})))]


@bentoml.service(
    name="modelyard",
    description=info.title,
    workers=settings.workers,
    image=Image(python_version="3.11", lock_python_packages=False).python_packages(
        f"modelyard[bento]=={__version__}"
    ),
    envs=[{"name": name, "value": value} for name, value in TELEMETRY_OFF.items()],
    # BentoML's limit stands behind the app's own, which says 504 first.
    traffic={"timeout": limits.deadline + 5},
    # The app counts, logs and traces its requests itself. BentoML's counters would make a new
    # series of each path that anyone asks for.
    metrics={"enabled": False},
    logging={"access": {"enabled": False}},
    tracing={"excluded_urls": ".*"},
)
class Model:
    """One package, whatever its family."""

    package = stored

    @bentoml.on_startup
    async def open(self) -> None:
        """Opens the package and warms it."""
        self._open = contextlib.AsyncExitStack()
        await self._open.enter_async_context(app.running())

    @bentoml.on_shutdown
    async def close(self) -> None:
        """Finishes what was accepted, and writes the rest of the prediction log."""
        await self._open.aclose()

    @bentoml.api(route="/predict")
    async def predict(self, examples: Requests, /) -> Responses:
        """Answers examples, in their order.

        Over HTTP the app answers this route itself; here it is asked by code in the same process.
        """
        try:
            return await app.traffic.champion.answer(examples)
        except Unavailable as error:
            raise ServiceUnavailable(str(error)) from None
        except ModelyardError as error:
            raise InvalidArgument(str(error)) from None


def described() -> bytes:
    """What BentoML's clients read before they ask: the routes, and what each takes and gives.

    With references: where they are written out, the client leaves fields out that it does not find,
    and a misspelt one would not be refused.
    """
    found = Model.schema()
    (route,) = found["routes"]
    route |= {"input": asked | {"root_input": True}, "output": answered}
    return TypeAdapter(dict[str, Any]).dump_json(found)


async def schema(call: Call) -> Reply:
    """The description, behind the same checks as every other path."""
    return Reply(content)


content = described()
app.more["/schema.json"] = Route("schema", schema)
Model.add_asgi_middleware(Answers, answers=app)
