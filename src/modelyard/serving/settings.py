"""Settings of a serving process: environment variables, so that a container and a laptop say it
alike."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from pydantic import Field, SecretStr, ValidationError

from modelyard import home
from modelyard.errors import UsageError
from modelyard.packages.signing import PUBLIC_KEY
from modelyard.packages.trust import FAMILIES, Trust
from modelyard.runtimes.devices import Place, place_of
from modelyard.settings.base import refuse_credentials
from modelyard.settings.family import Settings


def variable(name: str) -> str:
    """The environment variable of a setting."""
    return f"MODELYARD_{name.upper()}"


@dataclass(frozen=True)
class Limits:
    """What one request may ask for, and how many may wait."""

    body_bytes: int = 16 * 2**20
    examples: int = 1_000
    queue: int = 2_000
    """Most examples that wait for the model."""
    streams: int = 64
    """Most answers that are streamed at once."""
    deadline: float = 30.0
    """Seconds after which a request is answered with 504."""
    batch_rows: int = 256
    batch_seconds: float = 0.1
    """Longest that a batch of several may take, by the warm-up."""
    batch_wait: float = 0.002
    cache_bytes: int = 0
    tolerance: float = 1e-3
    token: str = field(default="", repr=False)


class ServingSettings(Settings):
    """Settings of a service. `from_environment` reads each from the variable of its name in
    capitals, after `MODELYARD_`."""

    package: Path
    """The package to serve."""
    follow: str | None = None
    """What names the package that should serve from now on: a file that holds a package's path, or
    `champion:NAME` of the registry. When it names another one, that one takes over."""
    follow_seconds: float = Field(default=2.0, gt=0)
    """How often `follow` is looked at, s; a registry on a server at most every 30."""
    candidate: Path | None = None
    """A package that answers `share` of the requests, chosen by their ids."""
    share: float = Field(default=0.1, ge=0, le=1)
    """Part of the requests that the candidate answers."""
    shadow: Path | None = None
    """A package that gets the requests of `/predict` too; its answers are logged and never sent."""
    predictions: str | None = None
    """Folder or URI of the prediction log. None: `runs/predictions/<family>`."""
    log: bool = True
    """Whether predictions are logged; `off` switches it off."""
    sample: float = Field(default=1.0, ge=0, le=1)
    """Part of the requests that are logged."""
    log_requests: bool = False
    """Whether the log holds each request as it came too, but for sensitive fields: with their labels
    a retraining can learn from them."""
    workers: int = Field(default=1, ge=1)
    """Processes that answer."""
    worker: int = Field(default=0, ge=0)
    """Which of them this one is, from 0; `modelyard serve` sets it."""
    device: str = "auto"
    """Where the model computes: `auto`: a GPU where one can be used; `cpu`; `cuda`: a GPU, workers
    take them in turn; `cuda:1`: the second one. A GPU that is asked for and cannot be used ends the
    start."""
    engines: Path | None = None
    """Folder where TensorRT keeps what it has built. None: `runs/engines`."""
    tolerance: float = Field(default=1e-3, ge=0)
    """Largest difference of a number between a package's own answer and the one that it gives on a
    GPU, or before it takes over, as a share of it."""
    max_body_bytes: int = Field(default=16 * 2**20, ge=1)
    """Largest request body, bytes; a larger one is answered with 413."""
    max_examples: int = Field(default=1_000, ge=1)
    """Most examples in one request."""
    queue: int = Field(default=2_000, ge=1)
    """Most examples that wait for the model; more are answered with 503."""
    streams: int = Field(default=64, ge=1)
    """Most answers that are streamed at once; more are answered with 503."""
    deadline_ms: float = Field(default=30_000.0, gt=0)
    """Longest a request may take, ms, then it is answered with 504; a caller's `x-deadline-ms`
    may be shorter."""
    batch_rows: int = Field(default=256, ge=1)
    """Most examples that go to the model together; the warm-up finds how many are worth it. 1:
    no batches."""
    batch_ms: float = Field(default=100.0, gt=0)
    """Longest that a batch of several may take, ms, by the warm-up."""
    batch_wait_ms: float = Field(default=2.0, ge=0)
    """Longest that a batch waits for callers that just had their answer, ms."""
    cache_bytes: int = Field(default=0, ge=0)
    """Room for answers to bodies that came before, bytes. 0: none is kept."""
    token: SecretStr | None = None
    """Callers must send `authorization: Bearer <token>`; health and metrics stay open."""
    token_file: Path | None = None
    """A file that holds the token, as secrets are mounted."""
    drain_ms: float = Field(default=300.0, ge=0)
    """After SIGTERM: how long new requests are still answered, each on a connection that is then
    closed, ms."""
    families: str = ""
    """Families from outside modelyard (`module:Class`, with commas between) whose code a package
    may name."""
    public_key_file: Path | None = None
    """PEM file with public keys; a package that none of them has signed is not served."""
    breaking_swaps: bool = False
    """Whether a package may take over that refuses requests which the one before it answers."""
    stop_ms: float = Field(default=15_000.0, ge=100)
    """After that: longest that accepted requests and streams may still take, ms; then each ends
    with an error of its own."""
    log_format: Literal["text", "json"] = "text"
    """Lines of the service's own log."""
    access_log: bool = False
    """Whether each request is a line of it."""

    @classmethod
    def from_environment(cls, environ: Mapping[str, str] = os.environ) -> ServingSettings:
        """Reads the environment.

        Raises:
            UsageError: MODELYARD_PACKAGE is not set, or a value is not allowed.
        """
        given = {}
        for name in cls.model_fields:
            value = environ.get(variable(name))
            if not value:  # an empty variable is as good as none: charts write them
                continue
            if name != "token":
                refuse_credentials(value, variable(name))
            given[name] = value
        if "package" not in given:
            raise UsageError(
                "MODELYARD_PACKAGE is not set: which package to serve? Type: modelyard serve PACKAGE"
            )
        try:
            return cls.model_validate(given)
        except ValidationError as error:
            first = error.errors(include_url=False)[0]
            name = str(first["loc"][0])
            # The message goes to logs, where a token does not belong.
            if name == "token":
                seen = ""
            else:
                seen = f" = {first['input']!r}"
            raise UsageError(f"{variable(name)}{seen}: {first['msg']}") from None

    def trust(self) -> Trust:
        """What packages may name, and whose signatures count."""
        given = {FAMILIES: self.families}
        if self.public_key_file is not None:
            given[PUBLIC_KEY] = str(self.public_key_file)
        return Trust.from_environment(given)

    def prediction_place(self, family: str) -> Path | str:
        """Where the predictions of `family` are logged."""
        if self.predictions is not None and "://" in self.predictions:
            return self.predictions
        return Path(self.predictions or home.predictions(family)).resolve()

    def place(self) -> Place:
        """The device that the model computes on.

        Raises:
            UsageError: there is no such device. Unavailable: a GPU is asked for, and none can be
                used.
        """
        engines = self.engines or home.home() / "engines"
        return place_of(self.device, engines=engines.resolve(), worker=self.worker)

    def secret(self) -> str:
        """The token, from the setting or its file; empty where none is required.

        Raises:
            UsageError: the file cannot be read, or is empty: a service must not open because a
            secret is missing.
        """
        if self.token is not None:
            return self.token.get_secret_value()
        if self.token_file is None:
            return ""
        try:
            secret = self.token_file.read_text().strip()
        except OSError as error:
            raise UsageError(
                f"MODELYARD_TOKEN_FILE: {self.token_file} cannot be read: {error.strerror}"
            ) from None
        if not secret:
            raise UsageError(f"MODELYARD_TOKEN_FILE: {self.token_file} is empty")
        return secret

    def limits(self) -> Limits:
        """What one request may ask for."""
        return Limits(
            body_bytes=self.max_body_bytes,
            examples=self.max_examples,
            queue=self.queue,
            streams=self.streams,
            deadline=self.deadline_ms / 1e3,
            batch_rows=self.batch_rows,
            batch_seconds=self.batch_ms / 1e3,
            batch_wait=self.batch_wait_ms / 1e3,
            cache_bytes=self.cache_bytes,
            tolerance=self.tolerance,
            token=self.secret(),
        )
