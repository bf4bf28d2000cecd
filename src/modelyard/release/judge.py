"""Whether what a release runs is ready, and answers as its package does."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from modelyard.doctor.inspect import Reader
from modelyard.packages.package import read_info
from modelyard.release.helm import Helm, Say, serving
from modelyard.release.smoke import Rollout, ask_golden, cause_of
from modelyard.release.values import chart_of
from modelyard.settings.serve import ServeSettings


class Judge:
    """Brings a package to one Helm release and judges its pods."""

    def __init__(self, helm: Helm, reader: Reader, settings: ServeSettings, say: Say) -> None:
        self.helm, self.reader, self.settings, self.say = helm, reader, settings, say
        self.called = f"release {helm.namespace}/{helm.release}"

    def rollout(self) -> Rollout:
        """Watches the pods that come from now on."""
        return Rollout(self.reader, self.helm.release, self.settings.failing_minutes)

    def upgrade(self, values: Mapping[str, Any], rollout: Rollout) -> str | None:
        """Installs or upgrades, and waits until the pods are ready; what keeps them from it, or
        None. Helm puts back what it could not finish."""
        settings = self.settings
        problem = self.helm.upgrade(
            chart_of(settings), settings.chart_version, values, settings.timeout_minutes, rollout
        )
        # Of a time-out helm says nothing more, and it removes the pods that could: what was seen of
        # them meanwhile is the cause.
        if problem and "timed out" in problem and rollout.seen:
            return cause_of(rollout.seen[0])
        return problem

    def check(self, package: Path, rollout: Rollout) -> str | None:
        """Whether all pods are ready and answer as the package does; what is wrong, or None."""
        settings = self.settings
        if problem := rollout.wait(settings.timeout_minutes * 60):
            return problem
        if rollout.at_zero():
            self.say(f"{self.called}: it is scaled to zero, so that no pod can be tested")
            return None
        if settings.smoke == "helm":
            return self.test()
        if settings.smoke == "proxy":
            return self._ask(package)
        return None

    def _ask(self, package: Path) -> str | None:
        """The package's own example through the API; where that is closed, by the chart's own
        test."""
        golden, version = golden_of(package), read_info(package).version
        tolerance = self.settings.tolerance
        try:
            return ask_golden(self.reader, self.helm.release, golden, version, tolerance)
        except (PermissionError, TimeoutError) as closed:
            self.say(
                f"{self.called}: cannot ask through the API: {closed}. Asking by helm test instead"
            )
            problem = self.test()
            if problem:
                return f"cannot ask through the API: {closed}. Nor by helm test: {problem}"
            return None

    def test(self) -> str | None:
        """The chart's own test pod; what it said last, where it failed."""
        now = serving(self.helm.history())
        values = self.helm.values(now.revision) if now else {}
        if not (values.get("tests") or {}).get("enabled", True):
            return (
                "the release's values have tests.enabled=false, so that helm test asks nothing: "
                "set it to true"
            )
        problem = self.helm.test(self.settings.timeout_minutes)
        pod = re.search(r"\bpod (\S+) failed", problem or "")
        if pod is None:
            return problem
        said = self.reader.cluster.last_line(pod[1], "golden", previous=False)
        return f"{problem}: {said}" if said else problem


def golden_of(package: Path) -> dict[str, Any]:
    """The package's own example and its answer."""
    golden: dict[str, Any] = json.loads((package / "golden.json").read_text())
    return golden
