"""What a pod needs to be there before it can start."""

from __future__ import annotations

from collections.abc import Iterator

from modelyard.doctor.finding import Object


def secrets_of(spec: Object) -> set[str]:
    """Names of the Secrets that a pod's spec refers to and cannot do without."""
    return set(_secrets(spec))


def claims_of(pod: Object) -> set[str]:
    """Names of the PersistentVolumeClaims that a pod mounts."""
    volumes = pod.get("spec", {}).get("volumes") or []
    return {
        one["persistentVolumeClaim"]["claimName"]
        for one in volumes
        if "persistentVolumeClaim" in one
    }


def _secrets(spec: Object) -> Iterator[str]:
    for one in spec.get("imagePullSecrets") or []:
        yield one["name"]
    for container in [*(spec.get("initContainers") or []), *(spec.get("containers") or [])]:
        references = [one.get("secretRef") for one in container.get("envFrom") or []]
        references += [
            (one.get("valueFrom") or {}).get("secretKeyRef") for one in container.get("env") or []
        ]
        yield from (one["name"] for one in references if one and not one.get("optional"))
    for volume in spec.get("volumes") or []:
        secret = volume.get("secret")
        if secret and not secret.get("optional"):
            yield secret["secretName"]
