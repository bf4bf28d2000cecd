"""A run, and what every stage has in common: whole outputs, lineage, reuse by content, events."""

from __future__ import annotations

import functools
import hashlib
import importlib.util
import inspect
import json
import os
import secrets
import time
import traceback
from collections.abc import Callable, Iterable
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, get_args, get_origin, get_type_hints

from modelyard import events
from modelyard.cost.usage import Meter, measure
from modelyard.errors import MissingExtra, ModelyardError, refusal
from modelyard.family import Data, Entry, Family, Half, load
from modelyard.home import NO_RUN, REUSE
from modelyard.packages import signing
from modelyard.settings.carried import received
from modelyard.settings.family import FamilyConfig, config_hash, resolve
from modelyard.stages.closure import code_digest
from modelyard.store import artifact
from modelyard.store.artifact import Manifest, Origin
from modelyard.store.usage import Usage


@dataclass(frozen=True)
class Run:
    """One execution of a pipeline: what every stage is given in addition to its artifacts."""

    entry: Entry[Any]
    config: FamilyConfig
    """The resolved settings."""
    id: str = NO_RUN
    nodes: int = 1
    gpus_per_node: int = 0
    code_version: str = "unknown"

    @classmethod
    def of(cls, family: str, config: dict[str, Any] | None = None, **fields: Any) -> Run:
        """From what a pipeline passes: the family's name and its config as plain JSON."""
        entry = load(family)
        values = fields | {"code_version": fields.get("code_version") or code_version(entry)}
        return cls(entry, resolve(entry.Config, ("config", received(config or {}))), **values)

    @property
    def name(self) -> str:
        """The family's name."""
        return self.entry.name

    @functools.cached_property
    def family(self) -> Family[Any]:
        """The half that builds, imported when it is first used."""
        return self.entry.make(self.config)

    @functools.cached_property
    def reader(self) -> Data[Any]:
        """The half that reads data, imported when it is first used."""
        return self.entry.reader(self.config)

    def progress(self, stage: str) -> events.Throttle:
        """Tells how far a long job of `stage` is."""
        return events.Throttle(stage)


@dataclass(frozen=True)
class Done:
    """What a stage's function may return instead of only its headline."""

    headline: str
    data_revision: str | None = None
    """Set by the stage that fetches data; later artifacts take it from their inputs."""


@dataclass(frozen=True)
class Stage:
    """A step of the pipeline: a function of a run and of artifacts."""

    name: str
    reads: tuple[str, ...]
    """Sections of the config it depends on; `seed` counts as one."""
    function: Callable[..., Done | str | None]
    cached: bool
    outside: Callable[[Run], str | None] | None
    """What the stage depends on besides config, inputs and code, as text; None from it: no one
    can tell, so run."""
    halves: tuple[Half, ...]
    """Which of the family's classes it uses: their code is part of its key."""
    computes: bool
    """Whether it needs the packages that the family computes with."""
    inputs: tuple[str, ...]
    optional: frozenset[str]
    outputs: tuple[str, ...]

    @property
    def __doc__(self) -> str:  # type: ignore[override]
        return self.function.__doc__ or ""

    def __call__(self, run: Run, **paths: Path | str | None) -> str:
        """Runs the stage, or takes a finished one with the same key. Returns its headline.

        Raises:
            ModelyardError: what the person can fix; nothing has been written then.
        """
        given = {name: Path(path) for name, path in paths.items() if path is not None}
        started = time.time()
        events.emit("started", self.name)
        with measure(run.gpus_per_node) as meter:
            try:
                headline, saved = self._run(run, given, meter)
            # Ctrl-C too: who follows the events must see the stage end.
            except BaseException as error:
                refused = refusal(error)
                _tell_failure(self.name, refused or error, meter.stop())
                if refused is not None:
                    raise refused from error
                raise
        fields = {
            "seconds": time.time() - started,
            "headline": headline,
            "cost": _json(meter.stop()),
        }
        fields["outputs"] = {name: str(given[name]) for name in self.outputs}
        if saved is None:
            events.emit("finished", self.name, **fields)
        else:
            events.emit("reused", self.name, **fields, saved=_json(saved))
        return headline

    def _run(self, run: Run, paths: dict[str, Path], meter: Meter) -> tuple[str, Usage | None]:
        """The headline, and what a finished stage that was taken had cost; None where the stage
        was run."""
        if self.computes:
            check_requirements(run)
        parents = {}
        for name in self.inputs:
            if name in paths:
                parents[name] = artifact.read_manifest(paths[name])
        outside = self.outside(run) if self.outside else ""
        key = self.key(run, parents, outside)
        # Nothing that was made before is known to be the same where nobody can tell the outside.
        may_reuse = self.cached and outside is not None
        if may_reuse:
            headline = self._reuse(key, paths)
            if headline is not None:
                saved = artifact.read_manifest(paths[self.outputs[0]]).cost
                return headline, saved or Usage()
        done = self._make(run, key, parents, paths, meter)
        if may_reuse:
            self._remember(key, paths, done.headline)
        return done.headline, None

    def _make(
        self,
        run: Run,
        key: str,
        parents: dict[str, Manifest],
        paths: dict[str, Path],
        meter: Meter,
    ) -> Done:
        """Calls the function; its outputs appear together, sealed, or not at all."""
        made_from = list(parents.values())
        # Each output appears by a rename when the stack ends. Killed between two of them the stage
        # runs again, since its record is written after all (`_remember`).
        with ExitStack() as stack:
            work = {}
            for name in self.outputs:
                work[name] = stack.enter_context(artifact.create(paths[name]))
            arguments = {name: paths.get(name) for name in self.inputs} | work
            result = self.function(run, **arguments)
            done = result if isinstance(result, Done) else Done(result or "")
            origin = self._origin(run, key, made_from, meter.stop())
            if done.data_revision is not None:
                origin = origin.model_copy(update={"data_revision": done.data_revision})
            for name, folder in work.items():
                artifact.seal(folder, origin.model_copy(update={"kind": name}), made_from)
                # What is signed is the manifest, which sealing writes.
                if name == "package":
                    signing.sign(folder)
        return done

    def key(self, run: Run, parents: dict[str, Manifest], outside: str | None = "") -> str:
        """sha256 of all that the outputs follow from: stage, config sections, inputs' content,
        code."""
        # Where nobody can tell the outside, no other output may pass for this one.
        if outside is None:
            outside = secrets.token_hex(16)
        content = {
            "stage": self.name,
            "family": run.name,
            "config": config_hash(run.config, self.reads),
            "inputs": {name: manifest.digest for name, manifest in parents.items()},
            "code": self.code(run.entry),
            "outside": outside,
        }
        if self.name == "features" and (more := run.config.for_features()):
            content["more"] = more
        return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()

    def code(self, entry: Entry[Any]) -> str:
        """Digest of the code that the outputs follow from: the stage's, and the family's that it
        uses."""
        return code_digest([self.function.__module__, *map(entry.module_of, self.halves)])

    def _origin(self, run: Run, key: str, parents: list[Manifest], used: Usage) -> Origin:
        revisions = [parent.data_revision for parent in parents if parent.data_revision]
        return Origin(
            kind="",
            stage=self.name,
            run=run.id,
            family=run.name,
            key=key,
            config_hash=config_hash(run.config),
            code_version=run.code_version,
            data_revision=revisions[0] if revisions else None,
            created=artifact.now(),
            seconds=round(used.wall_seconds, 3),
            cost=used,
        )

    def _reuse(self, key: str, paths: dict[str, Path]) -> str | None:
        record = _record(self.name, key)
        if record is None or not record.is_file():
            return None
        known = json.loads(record.read_text())
        sources = {name: Path(known["outputs"][name]) for name in self.outputs}
        try:
            for source in sources.values():
                artifact.verify(source)
        except ModelyardError:  # removed or changed since: it is made again
            return None
        # All were verified before the first is copied: outputs are of one stage, or none.
        for name, source in sources.items():
            if source != paths[name].resolve():
                artifact.clone(source, paths[name])
        return str(known["headline"])

    def _remember(self, key: str, paths: dict[str, Path], headline: str) -> None:
        record = _record(self.name, key)
        if record is not None:
            outputs = {name: str(paths[name].resolve()) for name in self.outputs}
            artifact.write_json(record, {"headline": headline, "outputs": outputs})


def stage(
    *,
    reads: Iterable[str],
    halves: tuple[Half, ...] = ("build", "host"),
    cached: bool = True,
    outside: Callable[[Run], str | None] | None = None,
    computes: bool = True,
) -> Callable[[Callable[..., Done | str | None]], Stage]:
    """Makes a stage of `function(run, <inputs: In>, <outputs: Out>) -> headline`.

    `reads` names the config sections it depends on, `halves` the family's classes. `cached=False`
    is for a stage that acts on the world; `outside` gives the state of what it reads there.
    `computes=False` is for one that runs without the packages that the config requires.
    """

    def decorate(function: Callable[..., Done | str | None]) -> Stage:
        hints = get_type_hints(function, include_extras=True)
        roles = {name: _role(hint) for name, hint in hints.items()}
        parameters = inspect.signature(function).parameters
        optional = [name for name in parameters if parameters[name].default is None]
        inputs = [name for name in parameters if roles.get(name) == "in"]
        outputs = [name for name in parameters if roles.get(name) == "out"]
        return Stage(
            name=function.__name__,
            reads=tuple(reads),
            function=function,
            cached=cached,
            outside=outside,
            halves=halves,
            computes=computes,
            inputs=tuple(inputs),
            optional=frozenset(optional),
            outputs=tuple(outputs),
        )

    return decorate


def check_requirements(run: Run) -> None:
    """Raises MissingExtra for the first package that the run's config needs and that is not
    installed."""
    needed = {**run.config.requires(), **run.config.compress.requires()}
    for module, extra in needed.items():
        if importlib.util.find_spec(module) is None:
            raise MissingExtra(f"family {run.name!r} with this config", extra)


@functools.cache
def code_version(entry: Entry[Any] | None = None) -> str:
    """Digest of the code of all stages, and of all that a family's classes use; of the stages only
    for None.

    Recorded with every artifact, and handed to every step of a pipeline: Kubeflow's cache follows it.
    """
    modules = ["modelyard.stages"]
    if entry is not None:
        halves: tuple[Half, ...] = ("data", "build", "host")
        modules += [entry.module, *map(entry.module_of, halves)]
    return code_digest(modules)


def _tell_failure(stage_name: str, error: BaseException, used: Usage) -> None:
    fields = {"kind": type(error).__name__, "message": str(error), "cost": _json(used)}
    if not isinstance(error, ModelyardError):
        fields["traceback"] = "".join(traceback.format_exception(error))
    events.emit("failed", stage_name, **fields)


def _json(used: Usage) -> dict[str, Any]:
    return used.model_dump(mode="json")


def _record(stage_name: str, key: str) -> Path | None:
    folder = os.environ.get(REUSE)
    if folder:
        return Path(folder) / f"{stage_name}-{key[:16]}.json"
    return None


def _role(hint: Any) -> str | None:
    """ "in" or "out" for `In`, `Out` and their optional forms, else None."""
    if get_origin(hint) is Annotated:
        return str(get_args(hint)[1])
    for inner in get_args(hint):
        if (role := _role(inner)) is not None:
            return role
    return None
