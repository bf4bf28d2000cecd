"""Compressing models: recipes make variants of a trained model, a policy chooses the one that
serves."""
