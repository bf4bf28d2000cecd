"""Why an image cannot be pulled. All causes last: the node tries again by itself, and until then
nothing starts."""

from __future__ import annotations

import re

from modelyard.doctor.finding import Object, Trouble, kubectl, newest_event, one_line, place_of

REASONS = frozenset(
    {
        "ErrImagePull",
        "ImagePullBackOff",
        "ErrImageNeverPull",
        "ImageInspectError",
        "InvalidImageName",
        "RegistryUnavailable",
    }
)
_NAMED = {
    "InvalidImageName": (
        "pull-name",
        "has an invalid name",
        "write it as REGISTRY/NAME:TAG, in lower case and without https://",
    ),
    "ErrImageNeverPull": (
        "pull-never",
        "is not on the node and must not be pulled",
        "load it onto the nodes, or set its pull policy to IfNotPresent",
    ),
}
# As whole words: a digest in the message may hold 401 anywhere.
_LIMIT = re.compile(r"\b(toomanyrequests|429|rate limit)\b")
_AUTH = re.compile(
    r"\b(unauthorized|authorization failed|access denied|forbidden|authentication required|credentials|401|403)\b"
)
_MISSING = re.compile(r"\b(not found|manifest unknown|name unknown)\b")
_AWAY = re.compile(
    r"\b(no such host|dial tcp|i/o timeout|connection refused|tls handshake|x509|eof|deadline exceeded|50[234])\b"
)


def _is_of_pulling(event: Object) -> bool:
    said = str(event.get("message", ""))
    return "pull" in said and not said.startswith("Back-off")


def pull_failed(
    pod: Object, image: str, reason: str, message: str, events: list[Object]
) -> Trouble:
    """Explains a container that waits for its image; what the runtime said may stand in an
    earlier event."""
    said = message
    if not said or said.startswith("Back-off"):
        # "Back-off pulling image" says that it failed; why, only the event before it says.
        failures = [one for one in events if _is_of_pulling(one)]
        event = newest_event(failures, "Failed")
        said = str(event["message"]) if event else said
    kind, why, fix = _judge(pod, image, reason, said.lower())
    # Of a long chain of errors the last one is the cause.
    detail = one_line(said.rpartition(": ")[2] if len(said) > 200 else said, 200)
    cause = f"image {image} {why}: {detail}" if detail else f"image {image} {why} ({reason})"
    return Trouble(kind, place_of(pod), cause, fix)


def _judge(pod: Object, image: str, reason: str, said: str) -> tuple[str, str, str]:
    """Kind, what is wrong, what to do."""
    if reason in _NAMED:
        return _NAMED[reason]
    if _LIMIT.search(said):
        why = "is refused for now by the registry's rate limit"
        return "pull-limit", why, "log in to the registry, or use a mirror"
    if "no match for platform" in said or "exec format error" in said:
        return (
            "pull-platform",
            "is not built for the node's processor",
            "build it for the node's architecture",
        )
    # A registry that hides what it holds says "denied … or may require authorization" for a wrong
    # name too.
    if _AUTH.search(said):
        return (
            "pull-auth",
            "needs credentials that the pod lacks or that are wrong",
            _secret_hint(pod),
        )
    if _MISSING.search(said):
        fix = "check name and tag; push it, or set MODELYARD_IMAGE or cluster.image (pipelines), image.tag (chart)"
        return "pull-missing", "is not in the registry", fix
    if _AWAY.search(said):
        why = "cannot be fetched, the node does not reach the registry"
        return (
            "pull-network",
            why,
            "check the node's network, proxy and DNS, or use a mirror that it reaches",
        )
    return "pull", "cannot be pulled", kubectl(pod, f"describe pod {pod['metadata']['name']}")


def _secret_hint(pod: Object) -> str:
    names = [one["name"] for one in pod.get("spec", {}).get("imagePullSecrets") or []]
    if names:
        secret = kubectl(pod, f"get secret {' '.join(names)}")
        return f"renew the password in its pull secrets: {secret}"
    create = kubectl(
        pod, "create secret docker-registry registry --docker-server=… --docker-username=…"
    )
    settings = "cluster.image_pull_secrets=[registry] (training) or global.imagePullSecrets=[registry] (chart)"
    return f"{create} --docker-password=…; then {settings}"
