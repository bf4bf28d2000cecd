"""The pipelines: what is uploaded in the Kubeflow UI and what a laptop runs. `modelyard compile`
writes them."""
