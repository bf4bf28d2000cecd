"""Training jobs: several processes on this machine, several nodes of a cluster."""
