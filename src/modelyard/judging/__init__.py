"""What judging a model yields."""
