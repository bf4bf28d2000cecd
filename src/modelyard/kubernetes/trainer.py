"""What Kubeflow Trainer calls its objects, and what ours are labelled with."""

from __future__ import annotations

GROUP, VERSION, PLURAL = "trainer.kubeflow.org", "v1alpha1", "trainjobs"
NODE = "node"
"""What Trainer calls the replicated job, and its container, that trains."""
RUN, FAMILY, PARENT = "modelyard/run", "modelyard/family", "modelyard/parent"
"""Labels: the run, the family, and the pod that made the job: `kubectl get trainjobs -l
modelyard/run=…`."""
TRAINING = "modelyard/training"
"""Label: of which training a job is an attempt; each has a name of its own."""
