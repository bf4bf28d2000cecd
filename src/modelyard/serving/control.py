"""What a service answers for itself, whatever package it serves: health, figures, feedback, a
swap."""

from __future__ import annotations

import functools
import math
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import anyio.to_thread
from pydantic import BaseModel, ConfigDict, Field, StringConstraints
from pydantic_core import to_json

from modelyard.errors import ModelyardError
from modelyard.serving.bodies import Parsed
from modelyard.serving.calls import Call, Reply, Route
from modelyard.serving.metrics import exposition
from modelyard.serving.problems import Reader, refuse
from modelyard.serving.work import Wanted

if TYPE_CHECKING:
    from modelyard.serving.app import Service
    from modelyard.serving.endpoints import Endpoints

_TEXT = b"text/plain; charset=utf-8"


_Label = Annotated[str, StringConstraints(max_length=1_000)]


class Feedback(BaseModel):
    """What the right answer was, known later."""

    model_config = ConfigDict(extra="forbid")

    id: str = Field(
        pattern=r"^[A-Za-z0-9._:-]{1,140}$",
        description="`x-request-id` of the answer; `<id>-<n>` in lists",
    )
    label: float | _Label = Field(description="The right answer", union_mode="left_to_right")


class LabelStatus(BaseModel):
    """What happened to one label of a list."""

    id: str
    status: Literal["taken", "replaced"] = Field(
        description="`replaced`: a later label of the list is of the same request, and counts"
    )


class FeedbackAnswer(BaseModel):
    """What happened to the labels."""

    taken: int = Field(description="How many will be written")
    labels: list[LabelStatus] | None = Field(None, description="Each of a list, in its order")


class Swap(BaseModel):
    """Which package should serve from now on."""

    model_config = ConfigDict(extra="forbid")

    package: str = Field(description="Folder of the package, where the service runs")
    breaking: bool = Field(
        default=False, description="Whether it may refuse requests that are answered now"
    )


class Control:
    """Each public method answers one route."""

    def __init__(self, service: Service) -> None:
        self._service = service
        self._feedback, self._swap = Reader(Feedback), Reader(Swap)
        health = Route("health", self.alive)
        self.routes = {
            "/livez": health,
            "/healthz": health,
            "/readyz": Route("health", self.ready),
            "/v2/health/live": Route("v2_health", self.live_v2),
            "/v2/health/ready": Route("v2_health", self.ready_v2),
            "/metrics": Route("metrics", self.metrics),
            "/feedback": Route("feedback", self.feedback, ("POST",)),
            "/admin/swap": Route("swap", self.swap, ("POST",)),
        }

    async def alive(self, call: Call) -> Reply:
        """The process lives."""
        return Reply(b"ok\n", media=_TEXT)

    async def ready(self, call: Call) -> Reply:
        """The model answers, and will continue to."""
        if call.draining:
            raise refuse(503, "the service is about to stop")
        return Reply(b"ok\n", media=_TEXT)

    async def live_v2(self, call: Call) -> Reply:
        """The process lives, as the Open Inference Protocol says it."""
        return Reply(to_json({"live": True}))

    async def ready_v2(self, call: Call) -> Reply:
        """What `/readyz` says, as the Open Inference Protocol says it."""
        return Reply(to_json({"ready": not call.draining}), 503 if call.draining else 200)

    async def metrics(self, call: Call) -> Reply:
        """Counters for Prometheus."""
        self._service.traffic.note()
        content, media = await anyio.to_thread.run_sync(exposition)
        return Reply(content, media=media.encode())

    async def feedback(self, call: Call) -> Reply:
        """Labels of requests that were answered before: one, or a list, of which all are taken or
        none."""
        ends = self._service.traffic.champion
        if ends.log is None:
            raise refuse(404, "predictions are not logged here, so no label has a row to go to")
        body = await call.json(ends.limits)
        labels, many = await ends.read_in_time(functools.partial(self._labels, ends), body, call)
        # Labels of one request that come at the same time could not be told apart when they are
        # read: of each request the last one counts.
        by_id = {label.id: label for label in labels}
        if not ends.log.feedback({id_: label.label for id_, label in by_id.items()}):
            raise refuse(
                503,
                "none of the labels was taken: too many rows wait to be written",
                headers=((b"retry-after", b"5"),),
            )
        answer = FeedbackAnswer(taken=len(by_id))
        if many:
            answer.labels = []
            for label in labels:
                was_taken = by_id[label.id] is label
                status: Literal["taken", "replaced"] = "taken" if was_taken else "replaced"
                answer.labels.append(LabelStatus(id=label.id, status=status))
        # Accepted, not done: the log writes later, in its own thread.
        return Reply(to_json(answer, exclude_none=True), 202)

    def _labels(self, ends: Endpoints, body: bytes, wanted: Wanted) -> tuple[list[Feedback], bool]:
        """The labels, and whether they came as a list."""
        parsed = Parsed(body, self._feedback)
        ends.check_number(parsed.values)
        examples = parsed.examples(wanted)
        labels = [example for example in examples if isinstance(example, Feedback)]
        for place, feedback in enumerate(labels):
            if isinstance(feedback.label, float) and not math.isfinite(feedback.label):
                index = place if parsed.many else None
                problem = "field 'label' must be a finite number or a text"
                raise refuse(400, problem, field="label", index=index)
        return labels, parsed.many

    async def swap(self, call: Call) -> Reply:
        """Another package takes over."""
        # Without one everybody who reaches the port could choose what answers.
        if not self._service.token:
            raise refuse(403, "swapping needs a token: set MODELYARD_TOKEN")
        ends = self._service.traffic.champion
        body = await call.json(ends.limits)
        parsed = await ends.read_in_time(
            lambda body, wanted: Parsed(body, self._swap).examples(wanted), body, call
        )
        if len(parsed) != 1 or not isinstance(parsed[0], Swap):
            raise refuse(400, "one package takes over: send an object")
        try:
            version = await self._service.take_over(Path(parsed[0].package), parsed[0].breaking)
        except ModelyardError as error:
            raise refuse(409, str(error), field="package") from None
        return Reply(to_json({"package": version}))
