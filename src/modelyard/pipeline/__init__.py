"""A pipeline on this machine: compiled, run as processes, followed."""
