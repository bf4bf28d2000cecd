"""Which package answers which request, and how another takes over between two of them."""

from __future__ import annotations

import asyncio
import logging
import time
import zlib
from pathlib import Path

from modelyard.errors import ModelyardError, UsageError
from modelyard.packages.package import Package
from modelyard.packages.trust import Trust
from modelyard.predictions.log import PredictionLog
from modelyard.serving import takeover
from modelyard.serving.bodies import Parsed
from modelyard.serving.calls import Call
from modelyard.serving.endpoints import Endpoints
from modelyard.serving.problems import Refusal
from modelyard.serving.settings import Limits
from modelyard.serving.work import Fault

log = logging.getLogger("modelyard.serving")

MIRRORED = 256
"""Most requests that wait for a shadow; more are not shown to it."""


class Traffic:
    """The champion, a candidate that answers a share, and a shadow that answers
    nobody."""

    def __init__(
        self,
        champion: Endpoints,
        *,
        candidate: Endpoints | None = None,
        share: float = 0.0,
        shadow: Endpoints | None = None,
        threads: int | None = None,
        trust: Trust | None = None,
        breaking: bool = False,
    ) -> None:
        self.champion, self.candidate, self.shadow = champion, candidate, shadow
        self._share, self._threads = share if candidate else 0.0, threads
        self._trust, self._breaking = trust, breaking
        self._mirrored: set[asyncio.Task[None]] = set()
        self._swapping = asyncio.Lock()
        champion.keeps_bodies = champion.keeps_bodies or shadow is not None
        for role, ends in (("champion", champion), ("candidate", candidate), ("shadow", shadow)):
            if ends is not None:
                ends.metrics.serving(role)

    def choose(self, call: Call) -> Endpoints:
        """Who answers: the same for the same request id."""
        if self.candidate is None or call.method != "POST":
            return self.champion
        # Not hash(), which is salted in each process: all workers must choose alike.
        if zlib.crc32(call.id.encode()) < self._share * 2**32:
            return self.candidate
        return self.champion

    def mirror(self, call: Call) -> None:
        """Shows the shadow a request that was answered; nobody waits for what it says."""
        if self.shadow is None or len(self._mirrored) >= MIRRORED:
            return
        task = asyncio.get_running_loop().create_task(self._ask(self.shadow, call))
        # Held here, since the loop itself has only weak references to tasks.
        self._mirrored.add(task)
        task.add_done_callback(self._mirrored.discard)

    async def swap(self, path: Path, breaking: bool = False) -> str:
        """Opens a package next to the one that serves and lets it take over; returns its version.

        Raises:
            ModelyardError: it is broken, of another family, refuses requests that are answered now
                (unless `breaking` lets it), or fails on its own example; the old one stays.
        """
        async with self._swapping:
            old = self.champion
            # In a thread: opening takes seconds, in which the old one must still answer.
            try:
                new = await asyncio.get_running_loop().run_in_executor(
                    None, self._open, path, breaking
                )
            except ModelyardError as error:
                old.metrics.swap("refused")
                said = f"{path} does not take over: {error}"
                # A path need not be UTF-8; who collects the logs may take nothing else.
                log.warning("%s", said.encode(errors="backslashreplace").decode())
                raise
            if new is not old:
                new.keeps_bodies = old.keeps_bodies
                self.champion = new
                old.metrics.serving("none")
                new.metrics.serving("champion")
                new.metrics.swap("taken")
                log.info(
                    "package %s takes over from %s",
                    new.opened.info.version,
                    old.opened.info.version,
                )
            return new.opened.info.version

    async def settle(self) -> None:
        """Waits for what the shadow was shown."""
        if self._mirrored:
            await asyncio.wait(self._mirrored, timeout=5)

    def note(self) -> None:
        """Brings gauges up to date."""
        for ends in (self.champion, self.candidate, self.shadow):
            if ends is not None:
                ends.metrics.note()

    def _open(self, path: Path, breaking: bool) -> Endpoints:
        old = self.champion
        allowed = breaking or self._breaking
        package = takeover.opened(
            path, old.opened, breaking=allowed, threads=self._threads, trust=self._trust
        )
        if package is old.opened:
            return old
        new = opened(package, old.log, old.limits)
        takeover.check_answer(package, old.limits.tolerance)
        return new

    async def _ask(self, shadow: Endpoints, call: Call) -> None:
        try:
            examples = Parsed(call.content, shadow.read).examples()
            shown = time.perf_counter()
            answers = await shadow.lanes.submit(
                examples, shown + shadow.limits.deadline, None, None
            )
        except (Refusal, Fault) as error:
            log.warning(
                "the shadow %s does not answer request %s: %s",
                shadow.opened.info.version,
                call.id,
                error,
            )
            return
        except Exception:
            log.exception("the shadow %s failed on request %s", shadow.opened.info.version, call.id)
            return
        if shadow.log is not None:
            taken = (time.perf_counter() - shown) * 1e3
            shadow.log.add(
                call.id, call.time, taken, examples, answers, size=call.size, package=shadow.opened
            )


def opened(package: Package, log: PredictionLog | None, limits: Limits) -> Endpoints:
    """A package's endpoints, warm.

    Raises:
        UsageError: the package fails on its own example.
    """
    try:
        return Endpoints(package, log, limits)
    except ModelyardError:
        raise
    except Exception as error:
        said = f"{type(error).__name__}: {error}"
        raise UsageError(f"{package.path} fails on its own example: {said}") from error
