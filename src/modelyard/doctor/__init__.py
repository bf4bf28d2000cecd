"""Why something on a cluster does not work, and what to type: pure functions of what the
Kubernetes API answers."""
