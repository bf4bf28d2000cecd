"""What a pod needs to be there before it can start."""

from __future__ import annotations

from collections.abc import Iterator

from modelyard.doctor.finding import Object


def secrets_of(spec: Object) -> set[str]:
    """Names of the Secrets that a pod's spec refers to and cannot do without."""
    return set(_secrets(spec))


def claims_of(pod: Object) -> set[str]:
    """Names of the PersistentVolumeClaims that a pod mounts."""
    found = set()
    for volume in pod.get("spec", {}).get("volumes") or []:
        if "persistentVolumeClaim" in volume:
            found.add(volume["persistentVolumeClaim"]["claimName"])
    return found


def _secrets(spec: Object) -> Iterator[str]:
    for one in spec.get("imagePullSecrets") or []:
        yield one["name"]
    for container in [*(spec.get("initContainers") or []), *(spec.get("containers") or [])]:
        # A whole Secret as variables, or one key of it; an optional one does not hold the pod up.
        references = [source.get("secretRef") for source in container.get("envFrom") or []]
        for variable in container.get("env") or []:
            references.append((variable.get("valueFrom") or {}).get("secretKeyRef"))
        for reference in references:
            if reference and not reference.get("optional"):
                yield reference["name"]
    for volume in spec.get("volumes") or []:
        secret = volume.get("secret")
        if secret and not secret.get("optional"):
            yield secret["secretName"]
