"""Helm releases: deploy, smoke, roll back."""
