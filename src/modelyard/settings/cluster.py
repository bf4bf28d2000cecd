"""The `cluster` section: how a training job runs on Kubernetes, with Kubeflow Trainer."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Literal

from pydantic import BeforeValidator, Field, field_validator

from modelyard.settings.base import Settings, refuse_secret_variables

Label = Annotated[str, Field(pattern=r"^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$")]
"""A name of Kubernetes: lower case letters, digits, dashes."""
Name = Annotated[str, Field(pattern=r"^[a-z0-9]([a-z0-9.-]{0,251}[a-z0-9])?$")]
"""The same with dots."""
Variable = Annotated[str, Field(pattern=r"^[A-Za-z_][A-Za-z0-9_]*$")]
"""Name of an environment variable."""
SecretKey = Annotated[str, Field(pattern=r"^[a-z0-9]([a-z0-9.-]*[a-z0-9])?/[A-Za-z0-9._-]+$")]
"""`SECRET/KEY`."""
Quantity = Annotated[str, Field(pattern=r"^[0-9]+(\.[0-9]+)?(Ki|Mi|Gi|Ti|k|M|G|T)?$")]
"""An amount as Kubernetes writes it: `512Mi`, `2Gi`."""
Cpus = Annotated[
    str,
    # YAML's `2` and `1.5` are numbers; a bool, though an int to Python, is no number of CPUs.
    BeforeValidator(lambda value: f"{value:g}" if type(value) in (int, float) else value),
    Field(pattern=r"^([1-9][0-9]*m|[0-9]*[1-9][0-9]*(\.[0-9]+)?|0\.[0-9]*[1-9][0-9]*)$"),
]
"""CPUs as Kubernetes writes them: `2`, `1.5`, `500m`."""


class Toleration(Settings):
    """A taint that the nodes may have."""

    key: str = ""
    """The taint's key; empty: every taint."""
    value: str = ""
    """The taint's value; empty: any."""
    effect: Literal["", "NoSchedule", "PreferNoSchedule", "NoExecute"] = ""
    """The taint's effect; empty: any."""


class ClusterSettings(Settings):
    """How training runs on a cluster, where it takes more than the pipeline's own step: a
    TrainJob."""

    runtime: Name = "torch-distributed"
    """ClusterTrainingRuntime of Kubeflow Trainer that the job is made from."""
    namespace: Label | None = None
    """Where the job runs. None: the step's own namespace, or the kubeconfig's."""
    image: str | None = None
    """Container image of the nodes; it holds modelyard and torch. None: that of the step which
    starts them, or MODELYARD_IMAGE outside a cluster."""
    image_pull_secrets: list[Name] = Field(default_factory=list)
    """Secrets with credentials of the image's registry."""
    env: dict[Variable, str] = Field(default_factory=dict)
    """Environment of the nodes. No credentials: it is recorded with the model."""
    env_from_secrets: dict[Variable, SecretKey] = Field(default_factory=dict)
    """Environment from secrets, as `{"AWS_SECRET_ACCESS_KEY": "SECRET/KEY"}`."""
    service_account: Name | None = None
    """Service account of the nodes' pods. None: the namespace's default."""
    queue: Name | None = None
    """Local queue of Kueue that admits the job. None: it starts at once."""
    scratch: str | None = None
    """Where the step and the nodes exchange features and model: `s3://…`, `gs://…`, or a path
    that all mount."""
    scratch_claim: Name | None = None
    """PersistentVolumeClaim that the nodes mount at `scratch`, where that is a path."""
    fs_group: int | None = Field(default=None, ge=1)
    """Group id that may write to mounted volumes. None: the storage's own permissions."""
    node_selector: dict[str, str] = Field(default_factory=dict)
    """Labels that the nodes must have."""
    tolerations: list[Toleration] = Field(default_factory=list)
    """Taints that the nodes may have."""
    gpu_resource: str = Field(default="nvidia.com/gpu", pattern=r"^[a-z0-9.-]+/[A-Za-z0-9._-]+$")
    """What a GPU is called on the cluster; for a slice of one, `nvidia.com/mig-1g.10gb`."""
    cpu: Cpus | None = None
    """CPUs of a node. None: the family's."""
    memory: Quantity | None = None
    """Memory of a node. None: the family's."""
    shm: Quantity | None = None
    """Size of /dev/shm; it counts as memory of the pod. None: the family's."""
    timeout_hours: float = Field(default=24.0, gt=0)
    """Longest that one attempt may train, from its start."""
    schedule_minutes: float = Field(default=30.0, gt=0)
    """How long pods may wait for a place on a node; time in a queue does not count."""
    pull_minutes: float = Field(default=5.0, gt=0)
    """How long failing to pull the image, or to find a secret, may last."""
    restarts: int = Field(default=3, ge=0)
    """How many times a job that was preempted or evicted is started again; it resumes from its last
    checkpoint."""
    keep_job: Literal["never", "failed", "always"] = "never"
    """Which ended jobs stay on the cluster. One that failed may hold its nodes until
    `timeout_hours` is over."""

    def machine(self, resources: Mapping[str, str]) -> dict[str, str]:
        """`cpu`, `memory` and `shm`: these settings', else those of a family's `resources`."""
        own = {"cpu": self.cpu, "memory": self.memory, "shm": self.shm}
        given = {name: amount for name, amount in own.items() if amount is not None}
        return {**resources, **given}

    @field_validator("env", "env_from_secrets")
    @classmethod
    def _not_trainers_own(cls, env: dict[str, str]) -> dict[str, str]:
        """Raises ValueError for a variable that Kubeflow Trainer sets itself."""
        if reserved := sorted(name for name in env if name.startswith("PET_")):
            raise ValueError(f"{reserved[0]} is set by Kubeflow Trainer itself")
        return env

    @field_validator("env")
    @classmethod
    def _without_secret_variables(cls, env: dict[str, str]) -> dict[str, str]:
        """Raises ValueError for a variable with a credential."""
        refuse_secret_variables(env, "name a Secret in cluster.env_from_secrets instead")
        return env

    @field_validator("scratch")
    @classmethod
    def _none_for_empty(cls, scratch: str | None) -> str | None:
        # A pipeline's form sends an empty text for a field that is left open.
        return scratch or None
