"""monitor: are the champion's requests still like the data it was judged on?"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

from modelyard import home
from modelyard.drift.alerts import cautions
from modelyard.drift.figures import publish
from modelyard.drift.notify import notify
from modelyard.drift.quality import labelled
from modelyard.drift.retrain import Memory, decide
from modelyard.drift.traffic import reference_of, require, served
from modelyard.drift.verdict import Verdict, Window, judge
from modelyard.errors import UsageError
from modelyard.packages.package import read_info
from modelyard.predictions.log import unlogged
from modelyard.predictions.newest import newest_since
from modelyard.registry import versions as registry
from modelyard.registry.tracking import has_ended
from modelyard.registry.version import Version
from modelyard.stages.run import Run, stage
from modelyard.store import artifact
from modelyard.store.artifact import In, Out, write_json

MEMORY = "modelyard.monitor"
"""Tag of a registered version that holds its `Memory`."""


@stage(reads=("monitor", "registry"), cached=False)
def monitor(run: Run, verdict: Out, package: In | None = None) -> str:
    """Compares logged predictions with the package's reference; writes `verdict.json` and
    `report.html`.

    Without a package it watches the champion. `verdict.retrain` says whether a retraining is due.
    """
    from modelyard.drift.report import write_report

    watched, version = _watched(run, package)
    if (family := read_info(watched).family) != run.name:
        raise UsageError(
            f"{watched} is a package of family {family!r}. Type: modelyard monitor {family}"
        )
    now, settings = datetime.now(UTC), run.config.monitor
    if settings.log is not None:
        require(settings.log)
    info = read_info(watched)
    host = run.entry.open(watched / "assets")
    hidden = unlogged(host)
    place = settings.log or home.predictions(run.name)
    reference = reference_of(watched, hidden)
    since = now - timedelta(hours=settings.window_hours)
    if settings.window_rows is not None:
        since = newest_since(place, since, info.version, settings.window_rows)
    current, seen = served(place, since, info.version, reference, hidden)
    labels = labelled(place, since, info.version, watched, host, settings.min_rows)
    found = judge(
        reference.columns,
        current.columns,
        settings,
        family=info.family,
        package=info.version,
        digest=artifact.read_manifest(watched).digest,
        window=Window(since=_stamp(since), until=_stamp(now)),
        seen=seen,
        labelled=labels,
    )
    called = registry.model_name(run)
    if version is not None:
        called += f"@{version.version}"
    # Of too few rows a share says nothing.
    said = cautions(reference.repeated, current.repeated, seen) if found.columns else []
    update = {"cautions": said, "model": called, "schedule": settings.schedule or ""}
    found = found.model_copy(update=update)
    found, before = _with_memory(found, version, run, datetime.fromisoformat(info.created), now)
    write_json(verdict / "verdict.json", found)
    write_report(verdict / "report.html", reference.sample, current.sample, found, settings)
    notify(found, before, run.id, settings.alert_link)
    publish(found, settings)
    reasons = [found.reason]
    if found.status == "drifted":
        reasons.append(found.retrain_reason)
    headline = "; ".join([*reasons, *found.asides()])
    if found.schedule:
        return f"{found.schedule}: {headline}"
    return headline


def _watched(run: Run, package: Path | None) -> tuple[Path, Version | None]:
    name = registry.model_name(run)
    if package is not None:
        return package, registry.find(name, artifact.read_manifest(package).digest)
    champion = registry.champion(name)
    if champion is None:
        raise UsageError(f"{name} has no champion to watch. Type: modelyard run {run.name}")
    return champion.path, registry.get(name, champion.version)


def _with_memory(
    found: Verdict, version: Version | None, run: Run, made: datetime, now: datetime
) -> tuple[Verdict, Memory]:
    """The verdict with what it says of a retraining, and what was remembered before it."""
    before = _memory(version)
    found, memory = decide(
        found,
        before,
        run=run.id,
        made=made,
        now=now,
        settings=run.config.monitor,
        ended=lambda requested: has_ended(run.name, requested),
        requested_since=lambda when: _requested_since(when, version),
    )
    # Writing takes the registry's client, seconds: not where only the run that looked is new.
    if version is not None and memory != before.model_copy(update={"run": run.id}):
        registry.set_tag(version, MEMORY, memory.model_dump_json())
    return found, before


def _memory(version: Version | None) -> Memory:
    text = version.tags.get(MEMORY) if version else None
    if text:
        return Memory.model_validate_json(text)
    return Memory()


def _requested_since(when: datetime, version: Version | None) -> int:
    """Retrainings that were requested for other versions of the same name."""
    if version is None:
        return 0
    requested = 0
    for other in registry.list_versions(version.name):
        if other.version != version.version:
            requested += _memory(other).since(when)
    return requested


def _stamp(time: datetime) -> str:
    return time.isoformat(timespec="milliseconds")
