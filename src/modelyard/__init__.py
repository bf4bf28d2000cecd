"""modelyard: any family of models, from versioned data to a served, watched, self-retraining
model."""

__version__ = "0.1.0"
