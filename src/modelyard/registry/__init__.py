"""Versions and the champion, tracking, and the model that a run starts from."""
