"""On a real cluster: the charts, Kubeflow Pipelines, Kubeflow Trainer. docs/runbook.md says how
to run them."""
