"""A package is judged by a release of its own before it serves: the candidate."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from modelyard.doctor.inspect import Reader
from modelyard.doctor.schedule import NO_ROOM
from modelyard.errors import UsageError
from modelyard.kubernetes.refusals import message_of
from modelyard.release.helm import Helm, Say
from modelyard.release.judge import Judge
from modelyard.release.values import candidate_name, candidate_values
from modelyard.settings.serve import ServeSettings


class Candidate:
    """A second release of the same chart: one pod, to which nothing routes.

    A step that is terminated has about a second left, and helm dies with it: what it had begun to
    judge then is only here, and what serves was not touched.
    """

    def __init__(self, release: str, reader: Reader, settings: ServeSettings, say: Say) -> None:
        self.release, self.reader = release, reader
        self.helm = Helm(candidate_name(release), reader.namespace)
        self.judge = Judge(self.helm, reader, settings, say)

    def problem(
        self, package: Path, values: Mapping[str, Any], serving: Mapping[str, Any] | None
    ) -> str | None:
        """Why a package must not serve, or None; `serving` are the values of what serves now.

        The candidate is gone afterwards: it may hold the service account, or the GPU, of the
        release itself.
        """
        own = candidate_values(values, self.release, serving, self._selected())
        rollout = self.judge.rollout()
        try:
            problem = self.judge.upgrade(own, rollout) or self.judge.check(package, rollout)
        finally:
            self.remove()
        if problem and any(trouble.kind == NO_ROOM for trouble in rollout.seen):
            # A cluster for exactly one pod of this size has no room for a second one next to what
            # serves.
            problem += ". Where one more pod finds no room: serve.candidate=false"
        return problem

    def remove(self) -> None:
        """Uninstalls it, and does not wait for its pods to end."""
        self.helm.uninstall(wait=False)
        self._remove_test()

    def is_left(self) -> bool:
        """Whether there is one: a deploy is at work, or was stopped."""
        return bool(self.helm.history())

    def _selected(self) -> set[str]:
        """Labels by which Services of the namespace choose pods."""
        labels: set[str] = set()
        for service in self.reader.here("services"):
            labels.update(service.get("spec", {}).get("selector") or {})
        return labels

    def _remove_test(self) -> None:
        """The pod of helm test belongs to no release, and stays when its release goes."""
        from kubernetes.client import ApiException

        cluster, name = self.reader.cluster, f"{self.helm.release}-golden"
        try:
            cluster.call(
                f"deleting pod {name}",
                lambda: cluster.core.delete_namespaced_pod(name, self.reader.namespace),
            )
        except ApiException as error:
            if error.status != 404:
                raise UsageError(
                    f"deleting pod {self.reader.namespace}/{name}: {error.status}: "
                    f"{message_of(error)}"
                ) from None
