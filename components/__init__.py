"""One Kubeflow Pipelines component a stage. They declare inputs and outputs and call the stage;
nothing else."""
