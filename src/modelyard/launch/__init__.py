"""How stages are started: a pipeline's step, a pipeline on this machine, a pipeline on a cluster."""
