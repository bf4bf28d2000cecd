"""A Kubernetes API over real HTTP, for tests of what talks to one."""
