"""What a laptop can know of a run on a cluster before it is sent there."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from modelyard.errors import UsageError
from modelyard.home import IMAGE
from modelyard.settings.uri import is_git, is_remote, local_path

if TYPE_CHECKING:
    from modelyard.settings.family import FamilyConfig


def arguments_of(
    family: str, config: FamilyConfig, *, nodes: int, gpus: int, image: str | None = None
) -> dict[str, Any]:
    """The fields of the form of a family's pipeline for these settings; without an image its own."""
    from modelyard.cli.options import entry
    from modelyard.pipeline.form import filled

    found = entry(family)
    # With several nodes the steps stay as they are: the nodes read the settings themselves.
    one_node = nodes == 1
    own = {} if image is None else {"image": image}
    return own | {
        "family": family,
        **filled(found, config),
        "nodes": nodes,
        "gpus_per_node": gpus,
        "cpu": (config.cluster.cpu or "") if one_node else "",
        "memory": (config.cluster.memory or "") if one_node else "",
    }


def check_for_cluster(config: FamilyConfig, *, nodes: int, kind: str) -> None:
    """Refuses settings with which a run on a cluster would fail for certain.

    Raises:
        UsageError: data that no pod reaches, or a place that is missing.
    """
    uri = config.data.uri or ""
    if uri and not is_remote(uri):
        raise UsageError(_unreachable(uri))
    if uri.startswith("git+file:"):
        raise UsageError(
            f"data.uri {uri!r} is a repository on this machine. Push it, and name its URL"
        )
    if nodes > 1 and not config.cluster.scratch:
        raise UsageError(
            f"--nodes {nodes}: the nodes need a place that all of them reach. "
            "Type: --set cluster.scratch=s3://BUCKET/FOLDER, or a path on a shared volume"
        )
    if config.serve.release and not config.serve.packages:
        raise UsageError(
            f"serve.release {config.serve.release!r}: its pods need a place to fetch the package from. "
            "Type: --set serve.packages=s3://BUCKET"
        )
    log = config.monitor.log or ""
    if kind == "monitoring" and not is_remote(log):
        raise UsageError(
            f"monitor.log {log or 'is not set'}: a pod does not reach this machine's prediction log. "
            "Type: --set monitor.log=s3://BUCKET/FOLDER, where the service writes it"
        )


def check_image(family: str, image: str | None) -> None:
    """Refuses a family of one's own that the image of the steps does not hold.

    Raises:
        UsageError: no image is named, and modelyard's own has none but its families.
    """
    if ":" not in family or image or os.environ.get(IMAGE):
        return
    module = family.partition(":")[0].partition(".")[0]
    raise UsageError(
        f"family {family!r} is not in modelyard's own image. Type: --image REGISTRY/{module}:TAG, or set "
        f"{IMAGE}; a Dockerfile for it: modelyard new {module} --image (docs/own-image.md)"
    )


def _unreachable(uri: str) -> str:
    if is_git(uri):
        seen = "is not written as git+https://HOST/REPOSITORY.git#PATH"
    elif Path(local_path(uri)).expanduser().exists():
        seen = "is on this machine, which no pod reaches"
    else:
        seen = "is not there"
    return (
        f"data.uri {uri!r} {seen}. Type: --upload s3://BUCKET/FOLDER to bring it there; or name "
        "s3://…, gs://… or git+https://…#PATH (DVC: docs/data.md)"
    )


def uploaded(config: FamilyConfig, store: str) -> FamilyConfig:
    """The config with its local data brought to a store, below a folder named after their content.

    Raises:
        UsageError: there are none to bring, or the store is no URI.
        Unavailable: the store does not answer.
    """
    from modelyard.sources import local_data
    from modelyard.sources.upload import upload

    if not is_remote(store):
        raise UsageError(f"--upload {store!r} is no store. Type: --upload s3://BUCKET/FOLDER")
    path = local_data(config.data)
    if path is None:
        raise UsageError("--upload brings local data, and --data names none")
    data = config.data.model_copy(update={"uri": upload(path, store)})
    return config.model_copy(update={"data": data})
