"""Talking to a Kubernetes API: its client, what pods say, what it refuses."""
