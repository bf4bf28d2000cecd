"""The Starlette app of a package. /livez and /readyz are BentoML's."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import AsyncIterator, Iterator

from starlette.applications import Starlette
from starlette.routing import Route

from modelyard.package import Package
from modelyard.runtimes.onnx import available_cores
from modelyard.serving.endpoints import Endpoints, Limits
from modelyard.serving.prediction_log import PredictionLog
from modelyard.serving.settings import ServingSettings


def create_app(package: Package, log: PredictionLog | None, limits: Limits | None = None) -> Starlette:
    """The app over an opened package. Closing the app closes the log."""

    @contextlib.asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[None]:
        with _closing(log):
            yield

    return Starlette(routes=_routes(package, log, limits or Limits()), lifespan=lifespan)


def app_from_environment() -> Starlette:
    """The app that MODELYARD_PACKAGE names: opens the package when the server starts, not before."""

    @contextlib.asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[None]:
        settings = ServingSettings.from_environment()
        sys.setswitchinterval(0.0005)  # the log's thread must not hold a request up for Python's usual 5 ms
        package = Package(settings.package, threads=max(1, available_cores() // settings.workers))
        package.predict([package.golden()["request"]])  # the first call of a graph is slow: not a person's
        folder = settings.prediction_folder(package.info.family)
        log = PredictionLog(folder, package) if settings.log else None
        limits = Limits(settings.body_bytes, settings.examples)
        app.router.routes[:] = _routes(package, log, limits)
        with _closing(log):
            yield

    return Starlette(lifespan=lifespan)


def _routes(package: Package, log: PredictionLog | None, limits: Limits) -> list[Route]:
    ends = Endpoints(package, log, limits)
    return [
        Route("/predict", ends.route("predict", ends.predict, "POST"), methods=_ANY),
        Route("/explain", ends.route("explain", ends.explain, "POST"), methods=_ANY),
        Route("/v1/completions", ends.route("completions", ends.completions.completions, "POST"), methods=_ANY),
        Route("/v1/models", ends.route("models", ends.completions.models, "GET", "HEAD"), methods=_ANY),
        Route("/v1/models/{model:path}", ends.route("models", ends.completions.models, "GET", "HEAD"), methods=_ANY),
        Route("/package", ends.route("package", ends.package, "GET", "HEAD"), methods=_ANY),
        Route("/openapi.json", ends.route("openapi", ends.openapi, "GET", "HEAD"), methods=_ANY),
        Route("/metrics", ends.route("metrics", ends.metrics, "GET", "HEAD"), methods=_ANY),
        Route("/", ends.route("page", ends.page, "GET", "HEAD"), methods=_ANY),
        Route("/{path:path}", ends.route("unknown", ends.unknown), methods=_ANY),
    ]


_ANY = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"]
"""All methods reach the endpoint, so that a wrong one is answered and counted like any other refusal."""


@contextlib.contextmanager
def _closing(log: PredictionLog | None) -> Iterator[None]:
    try:
        yield
    finally:
        if log is not None:
            log.close()
