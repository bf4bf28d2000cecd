"""Resources of a whole cluster, beside those that training needs."""

from __future__ import annotations

from tests.standin.server import SERVICE, Api
from tests.standin.store import Kind, Object

NODE = Kind("", "v1", "nodes", "Node", namespaced=False)
NAMESPACE = Kind("", "v1", "namespaces", "Namespace", namespaced=False)
POD = Kind("", "v1", "pods", "Pod")
EVENT = Kind("", "v1", "events", "Event")
SECRET = Kind("", "v1", "secrets", "Secret")
QUOTA = Kind("", "v1", "resourcequotas", "ResourceQuota")
CLAIM = Kind("", "v1", "persistentvolumeclaims", "PersistentVolumeClaim")
DEPLOYMENT = Kind("apps", "v1", "deployments", "Deployment")
REPLICA_SET = Kind("apps", "v1", "replicasets", "ReplicaSet")
JOB = Kind("batch", "v1", "jobs", "Job")
WORKLOAD = Kind("kueue.x-k8s.io", "v1beta1", "workloads", "Workload")
BUILT_IN = (
    NODE,
    SERVICE,
    QUOTA,
    CLAIM,
    DEPLOYMENT,
    REPLICA_SET,
    JOB,
    Kind("", "v1", "configmaps", "ConfigMap"),
    Kind("", "v1", "serviceaccounts", "ServiceAccount"),
    Kind("policy", "v1", "poddisruptionbudgets", "PodDisruptionBudget"),
    Kind("networking.k8s.io", "v1", "networkpolicies", "NetworkPolicy"),
    Kind("autoscaling", "v2", "horizontalpodautoscalers", "HorizontalPodAutoscaler"),
)
EXTENSIONS = {
    "trainer": (
        Kind("trainer.kubeflow.org", "v1alpha1", "trainjobs", "TrainJob"),
        Kind(
            "trainer.kubeflow.org",
            "v1alpha1",
            "clustertrainingruntimes",
            "ClusterTrainingRuntime",
            namespaced=False,
        ),
    ),
    "jobset": (Kind("jobset.x-k8s.io", "v1alpha2", "jobsets", "JobSet"),),
    "kueue": (WORKLOAD,),
    "gateway": (Kind("gateway.networking.k8s.io", "v1", "httproutes", "HTTPRoute"),),
    "keda": (Kind("keda.sh", "v1alpha1", "scaledobjects", "ScaledObject"),),
}


class Cluster:
    """A cluster that a test fills by hand."""

    def __init__(self, api: Api, namespace: str) -> None:
        self.api, self.namespace = api, namespace
        api.store.register(*BUILT_IN)
        api.store.defaults.append(_defaults)

    def install(self, *extensions: str) -> None:
        """Adds custom resources by the names in EXTENSIONS."""
        for name in extensions:
            self.api.store.register(*EXTENSIONS[name])

    def add(
        self, kind: Kind, name: str, *, labels: dict[str, str] | None = None, **fields: object
    ) -> Object:
        """Makes an object."""
        metadata = {"name": name, "labels": labels or {}, **fields.pop("metadata", {})}  # type: ignore[dict-item]
        namespace = self.namespace if kind.namespaced else ""
        return self.api.store.create(kind, namespace, {"metadata": metadata, **fields})

    def event(self, about: Object, reason: str, message: str) -> Object:
        """An event about an object, as the cluster's controllers write it."""
        metadata = about["metadata"]
        involved = {
            "kind": about["kind"],
            "name": metadata["name"],
            "namespace": self.namespace,
            "uid": metadata["uid"],
        }
        stamp = f"2026-10-01T10:00:{len(self.api.store.find(EVENT, self.namespace)):02d}Z"
        name = f"{metadata['name']}.{len(self.api.store.objects)}"
        return self.add(
            EVENT,
            name,
            involvedObject=involved,
            reason=reason,
            message=message,
            type="Warning",
            lastTimestamp=stamp,
        )


def _defaults(kind: Kind, thing: Object) -> None:
    """As `SetDefaults_Deployment` and the Service's allocator do; helm waits for some of it."""
    if kind == SERVICE:
        thing["spec"].setdefault("clusterIP", "10.96.0.10")
    if kind == DEPLOYMENT:
        thing.setdefault("spec", {}).setdefault("replicas", 1)
    if kind == POD:
        status = thing.get("status", {})
        for one in [*status.get("initContainerStatuses", []), *status.get("containerStatuses", [])]:
            one |= {"image": "", "imageID": "", "restartCount": 0, "ready": False} | one
