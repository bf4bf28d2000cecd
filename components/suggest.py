"""suggest as a Kubeflow Pipelines component."""

from components.common import component


@component
def suggest(settings: dict, fixed: list, count: int, done: list[str]) -> list[str]:
    """Draws settings to try, from the results so far; the first ever are the starting settings."""
    from modelyard.tuning import batch

    with batch.plainly():
        return batch.suggest(settings["family"], settings["config"], fixed, count, done)
