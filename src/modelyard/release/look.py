"""Releases of models, looked over: what a stopped deploy left, and whether the champion serves."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress

from pydantic import ValidationError

from modelyard.doctor.finding import Finding
from modelyard.errors import ModelyardError
from modelyard.registry import versions as registry
from modelyard.release.helm import Say
from modelyard.release.noted import disagreement, serving_release
from modelyard.release.release import Releaser
from modelyard.settings.serve import ServeSettings


def release_findings(
    only: str | None, namespace: str | None, say: Say, *, fix: bool = False
) -> list[Finding]:
    """A row a release that the registry knows, or for the one that is called `only`; `fix` first
    puts right what a stopped deploy left there."""
    known = []
    try:
        for name, settings in _known():
            is_wanted = only in (None, settings.release) and namespace in (None, settings.namespace)
            if is_wanted:
                known.append((name, settings))
    except ModelyardError as error:
        if only is None:
            return [Finding("off", "releases", f"not looked at: {error}")]
        known = []
    if only is not None and not known:
        with suppress(ValidationError):  # a run's id is no release
            known.append(("", ServeSettings(release=only, namespace=namespace)))
    rows = []
    for name, settings in known:
        rows += _look_over(name, settings, say, fix)
    return rows


def _known() -> Iterator[tuple[str, ServeSettings]]:
    """Registered names with the release that each was brought to."""
    for name in registry.names():
        if (found := serving_release(name)) is not None:
            yield name, found.settings.model_copy(update={"namespace": found.namespace})


def _look_over(name: str, settings: ServeSettings, say: Say, fix: bool) -> list[Finding]:
    """`name` is the registered one; empty where the registry does not know the release."""
    what = f"release {settings.release}"
    try:
        releaser = Releaser(settings, say)
        what = releaser.called
        if fix:
            releaser.mend()  # waits to see whether who deploys is alive: clocks may differ
        elif holder := releaser.lease().at_work():
            return [Finding("ok", what, f"{holder} deploys to it now")]
        if left := releaser.half_done():
            place = f"--namespace {releaser.reader.namespace}"
            return [Finding("bad", what, left, f"modelyard doctor {releaser.name} {place} --fix")]
        digest = releaser.serves()
        if name and (differs := disagreement(name, what, digest)):
            return [Finding("warn", what, differs.seen.removeprefix(f"{what} "), differs.fix)]
    except ModelyardError as error:
        # A word that nobody brought a model to may be the id of a run.
        if name:
            return [Finding("off", what, f"not looked at: {error}")]
        return []
    champion = f"the champion of {name}, " if name else ""
    if digest:
        return [Finding("ok", what, f"serves {champion}package {digest[:12]}")]
    return []
