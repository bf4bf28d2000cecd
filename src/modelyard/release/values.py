"""The values of a model's release, and those of the candidate that is judged before it."""

from __future__ import annotations

import copy
import hashlib
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

from modelyard.errors import UsageError
from modelyard.home import source_root
from modelyard.release.store import read_values
from modelyard.settings.family import merge
from modelyard.settings.serve import ServeSettings

Values = dict[str, Any]
NAME_LENGTH = 45
"""charts/model cuts the names of its objects there: a longer name would be another release's."""
SERVES_NOBODY: Mapping[str, Mapping[str, Any]] = {
    "gateway": {"enabled": False},
    "canary": {"enabled": False},
    "autoscaling": {"enabled": False},
    "keda": {"enabled": False},
    "disruption": {"enabled": False},
    "serviceMonitor": {"enabled": False},
    # Its only request is the package's own example: drift detection must not read that.
    "predictions": {"enabled": False},
    "service": {"type": "ClusterIP", "annotations": {}},
    "networkPolicy": {"sameNamespace": False, "namespaces": []},
    "termination": {"drainSeconds": 0},
}
"""What a candidate has not: ways to it, scaling, a log of predictions."""


def wanted_values(settings: ServeSettings, uri: str, digest: str) -> Values:
    """The values of a release: the file's, over them those of the settings, over them the package.

    A tolerance of the settings holds for the chart's test as well, unless the values name one for
    it.
    """
    values: Values = {}
    if settings.tolerance != ServeSettings.model_fields["tolerance"].default:
        values = {"tests": {"tolerance": settings.tolerance}}
    for more in (read_values(settings.values_file), settings.values):
        values = merge(values, more)
    return merge(values, {"package": {"uri": uri, "sha256": digest}})


def candidate_name(release: str) -> str:
    """`payments-candidate`; of a long name the beginning and a hash."""
    name = f"{release}-candidate"
    if len(name) <= NAME_LENGTH:
        return name
    digest = hashlib.sha256(release.encode()).hexdigest()[:8]
    # 19 characters are for the hash, `-candidate` and the dash between them and the beginning.
    return f"{release[: NAME_LENGTH - 19].rstrip('-')}-{digest}-candidate"


def candidate_values(
    values: Mapping[str, Any],
    release: str,
    serving: Mapping[str, Any] | None,
    selected: Collection[str],
) -> Values:
    """The same pod as `values` describe, once, where nothing sends requests to it.

    `serving` are the values of the release that serves; `selected` are labels by which Services of
    the namespace choose pods: the candidate has none of them.
    """
    own = copy.deepcopy(dict(values))
    own |= {"replicaCount": 1, "fullnameOverride": ""}
    for section, fields in SERVES_NOBODY.items():
        own[section] = {**(own.get(section) or {}), **fields}
    labels = own.get("podLabels") or {}
    own["podLabels"] = {name: value for name, value in labels.items() if name not in selected}
    own["serviceAccount"] = _account(values, release, serving)
    return own


def _account(
    values: Mapping[str, Any], release: str, serving: Mapping[str, Any] | None
) -> Mapping[str, Any]:
    """The very account of the release: a cloud trusts accounts by their names.

    The candidate makes it only where the release has not made it yet, and takes it along when it
    goes.
    """
    account = dict(values.get("serviceAccount") or {})
    made, name = _account_of(values, release)
    there = serving is not None and _account_of(serving, release) == (True, name)
    return {**account, "name": name, "create": made and not there}


def _account_of(values: Mapping[str, Any], release: str) -> tuple[bool, str]:
    """Whether a release makes its service account, and how that is called, as charts/model says."""
    account = values.get("serviceAccount") or {}
    made = bool(account.get("create", True))
    fullname = str(values.get("fullnameOverride") or release)[:NAME_LENGTH].removesuffix("-")
    return made, str(account.get("name") or (fullname if made else "default"))


def chart_of(settings: ServeSettings) -> str:
    """The chart of a model: the setting's, else modelyard's own.

    Raises:
        UsageError: the setting names a folder or a file that is not there.
    """
    if settings.chart is None:
        return str(source_root() / "charts" / "model")
    if "://" not in settings.chart and not Path(settings.chart).exists():
        raise UsageError(f"serve.chart {settings.chart}: there is no such folder or file")
    return settings.chart


def digest_of(values: Mapping[str, Any]) -> str:
    """Which package the values name; empty where they name none."""
    return str((values.get("package") or {}).get("sha256", ""))
