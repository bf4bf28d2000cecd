"""The recurring runs of a platform release in Kubeflow Pipelines.

A recurring run owns the workflows that it started: deleting it ends them, and Kubeflow calls their runs
RUNNING for ever. It cannot be changed either. So one that is as the plan wants it is left alone; one
that differs is disabled, replaced, and deleted when none of its runs goes on. Which release a recurring
run belongs to stands in its description; others are never touched.
"""

from __future__ import annotations

import hashlib
import json
import re
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from modelyard.errors import UsageError

if TYPE_CHECKING:
    from kfp import Client

SETTLE = 15.0
"""Seconds after which Kubeflow Pipelines knows a run that began just before its schedule was disabled."""
PAGE = 100
ENDED = frozenset({"SUCCEEDED", "FAILED", "SKIPPED", "CANCELED"})
_MARK = re.compile(
    r"^modelyard release (?P<owner>\S+), schedule (?P<name>\S+), content (?P<content>[0-9a-f]{12})$"
)
_FIELDS = ((0, 59), (0, 59), (0, 23), (1, 31), (1, 12), (0, 7))
"""Least and largest number of each field of a cron expression, seconds first."""
_NAMES = r"(?:sun|mon|tue|wed|thu|fri|sat|jan|feb|mar|apr|may|jun|jul|aug|sep|oct|nov|dec)"
_PART = re.compile(
    rf"^(?:\*|\?|(?:\d+|{_NAMES})(?:-(?:\d+|{_NAMES}))?)(?:/[1-9]\d*)?$", re.IGNORECASE
)


@dataclass(frozen=True)
class Wanted:
    """A recurring run as the plan wants it."""

    name: str
    title: str
    """Its name on the page."""
    cron: str
    pipeline: str
    version: str
    content: str
    """Sum over the pipeline that it runs, the same when that is registered again."""
    parameters: dict[str, Any]
    enabled: bool
    account: str | None

    @property
    def digest(self) -> str:
        """Changes with all that a person would call a change of the schedule."""
        values = asdict(self)
        for name in ("pipeline", "version"):
            del values[name]  # ids, which a pipeline that is registered again gets anew
        return hashlib.sha256(json.dumps(values, sort_keys=True).encode()).hexdigest()[:12]


@dataclass(frozen=True)
class Job:
    """A recurring run of this release."""

    id: str
    title: str
    name: str
    content: str
    enabled: bool


class Schedules:
    """The recurring runs of one release in one experiment."""

    def __init__(self, client: Client, experiment: str, owner: str, settle: float = SETTLE) -> None:
        """`owner` is `NAMESPACE/RELEASE`."""
        self.client, self.experiment, self.owner, self.settle = client, experiment, owner, settle

    def follow(self, wanted: list[Wanted]) -> None:
        """Makes what is missing and retires what the plan no longer has."""
        there = self._own()
        kept: set[str] = set()
        for one in wanted:
            kept.add(self._kept(one, [job for job in there if job.name == one.name]))
        self._retire([job for job in there if job.id not in kept])
        self._name_strays({one.title for one in wanted})

    def remove(self) -> None:
        """Retires all of them."""
        self._retire(self._own())

    def _kept(self, wanted: Wanted, there: list[Job]) -> str:
        """The id of the recurring run that is as wanted, made where there is none."""
        same = [job for job in there if job.content == wanted.digest]
        same.sort(key=lambda job: job.enabled != wanted.enabled)
        if not same:
            return self._make(wanted)
        # One that an upgrade or an uninstall had disabled because its run went on, or a person on the
        # page: the values say which it is to be.
        if wanted.enabled and not same[0].enabled:
            self.client.enable_recurring_run(same[0].id)
            print(f"{wanted.title}: enabled again")
        elif same[0].enabled and not wanted.enabled:
            self.client.disable_recurring_run(same[0].id)
            print(f"{wanted.title}: disabled")
        return same[0].id

    def _make(self, wanted: Wanted) -> str:
        mark = f"modelyard release {self.owner}, schedule {wanted.name}, content {wanted.digest}"
        made = self.client.create_recurring_run(
            self.experiment,
            wanted.title,
            description=mark,
            cron_expression=wanted.cron,
            pipeline_id=wanted.pipeline,
            version_id=wanted.version,
            params=wanted.parameters,
            no_catchup=True,
            enabled=wanted.enabled,
            service_account=wanted.account,
        )
        print(f"{wanted.title}: {wanted.cron}")
        return str(made.recurring_run_id)

    def _retire(self, jobs: list[Job]) -> None:
        """Disables recurring runs, and deletes those of which no run goes on."""
        working = [job for job in jobs if job.enabled]
        for job in working:
            self.client.disable_recurring_run(job.id)
        if working:
            time.sleep(self.settle)
        unfinished = self._unfinished() if jobs else {}
        for job in jobs:
            if job.id in unfinished:
                left = ", ".join(unfinished[job.id])
                print(f"{job.title} ({job.id}): disabled; its run {left} goes on and is left")
            else:
                self.client.delete_recurring_run(job.id)
                print(f"{job.title} ({job.id}): removed")

    def _own(self) -> list[Job]:
        found = []
        for one in self._all():
            mark = _MARK.match(one.description or "")
            if mark is not None and mark["owner"] == self.owner:
                enabled = str(one.status or one.mode).upper().startswith("ENABLE")
                name, content = mark["name"], mark["content"]
                found.append(Job(one.recurring_run_id, one.display_name, name, content, enabled))
        return found

    def _name_strays(self, titles: set[str]) -> None:
        """Names recurring runs that are called as ours and bear no mark: an older chart made them."""
        for one in self._all():
            if one.display_name in titles and not _MARK.match(one.description or ""):
                print(
                    f"{one.display_name} ({one.recurring_run_id}): bears no release's mark and is left; "
                    "where an older chart made it, delete it on the page when its run has ended"
                )

    def _all(self) -> Iterator[Any]:
        token = ""
        while True:
            page = self.client.list_recurring_runs(
                page_token=token, page_size=PAGE, experiment_id=self.experiment
            )
            yield from page.recurring_runs or []
            token = page.next_page_token or ""
            if not token:
                return

    def _unfinished(self) -> dict[str, list[str]]:
        """Runs that have not ended, by the recurring run that started them."""
        found: dict[str, list[str]] = {}
        token = ""
        while True:
            page = self.client.list_runs(
                page_token=token, page_size=PAGE, experiment_id=self.experiment
            )
            for run in page.runs or []:
                if run.recurring_run_id and run.state not in ENDED:
                    found.setdefault(run.recurring_run_id, []).append(run.run_id)
            token = page.next_page_token or ""
            if not token:
                return found


def check_cron(where: str, cron: str) -> None:
    """Refuses an expression that Kubeflow's scheduler would not take.

    Raises:
        UsageError: it is not six fields, or one of them is out of its range.
    """
    fields = cron.split()
    wrong = len(fields) != len(_FIELDS)
    for text, (least, largest) in zip(fields, _FIELDS, strict=False):
        for part in text.split(","):
            numbers = [int(one) for one in re.findall(r"\d+", part.partition("/")[0])]
            inside = all(least <= number <= largest for number in numbers)
            wrong = wrong or not _PART.match(part) or not inside
    if wrong:
        raise UsageError(
            f"{where} = {cron!r} is no cron expression of six fields, seconds first. "
            "Write 0 30 6 * * * for half past six each day"
        )
