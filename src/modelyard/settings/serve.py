"""The `serve` section: which Helm release serves a champion on a cluster."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

from pydantic import Field, field_validator

from modelyard.settings.base import NumberAsWritten, Settings, refuse_secret_variables
from modelyard.settings.cluster import Label


class ServeSettings(Settings):
    """How a champion is brought to a cluster: as a release of `charts/model`."""

    release: Label | None = None
    """Helm release that serves the model. None: the champion is only marked in the registry."""
    namespace: Label | None = None
    """Where the release is. None: the step's own namespace, or the kubeconfig's."""
    chart: str | None = None
    """Chart of a model: a folder, a packed chart, or `oci://…`. None: modelyard's own."""
    chart_version: str | None = None
    """Version of a chart from a registry."""
    values_file: str | None = None
    """YAML with the release's values: a file or an fsspec URI. What is in neither is the chart's
    default."""
    values: dict[str, Any] = Field(default_factory=dict)
    """Values over the file's, as `serve.values.replicaCount=3`; a text that looks like a number
    needs quotes, as in the file. No credentials: they are recorded with the model."""
    packages: str | None = None
    """URI below which packages are put for the pods to fetch: `s3://models`. They need read
    access to it."""
    candidate: bool = True
    """Whether one more pod, which serves nobody, judges a package before it serves. False, where
    the cluster has no room for it (a GPU, for instance): the package is judged in its place, and a
    step that is killed then leaves it there until the next deploy."""
    timeout_minutes: float = Field(default=15.0, gt=0)
    """Longest that the new pods may take until all of them are ready."""
    failing_minutes: float = Field(default=2.0, ge=0)
    """How long a new pod may show a failure before the release is rolled back. A pod that is not
    ready yet, or whose node is busy or being added, is waited for until `timeout_minutes`."""
    smoke: Literal["proxy", "helm", "off"] = "proxy"
    """How the package's own example is sent to the new pods: through the Kubernetes API's
    service proxy, by the chart's test pod (`helm test`: where callers need a token, or the API
    server may not reach pods), or not at all."""
    tolerance: float = Field(default=1e-3, ge=0)
    """Largest difference of a number of the answer, as a share of it."""

    @field_validator("packages", "values_file")
    @classmethod
    def _none_for_empty(cls, uri: str | None) -> str | None:
        return uri or None

    @field_validator("values", mode="before")
    @classmethod
    def _with_numbers(cls, values: Any) -> Any:
        """A chart's schema wants a number where `0.10` is one, as it is in `values_file`."""
        if isinstance(values, NumberAsWritten):
            return values.number
        if isinstance(values, Mapping):
            return {name: cls._with_numbers(inner) for name, inner in values.items()}
        if isinstance(values, list):
            return [cls._with_numbers(inner) for inner in values]
        return values

    @field_validator("values")
    @classmethod
    def _without_secret_variables(cls, values: dict[str, Any]) -> dict[str, Any]:
        """Raises ValueError for a variable with a credential: a chart's value names a Secret
        instead."""
        for name, inner in values.items():
            if name == "env" and isinstance(inner, dict):
                refuse_secret_variables(inner, "name a Secret in server.envFromSecrets instead")
            elif isinstance(inner, dict):
                cls._without_secret_variables(inner)
        return values
