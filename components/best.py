"""best as a Kubeflow Pipelines component."""

from kfp import dsl

from components.common import component


@component
def best(
    settings: dict,
    fixed: list,
    first: list[str],
    second: list[str],
    search: dsl.Output[dsl.Artifact],
    page: dsl.Output[dsl.HTML],
) -> dict:
    """Writes the best settings, all trials and a page of pictures; the output is the config to
    train with."""
    from pathlib import Path

    from modelyard.pipeline.step import show_file
    from modelyard.tuning import batch

    Path(search.path).mkdir(parents=True, exist_ok=True)
    with batch.plainly():
        family, start = settings["family"], settings["config"]
        config = batch.best(family, start, fixed, [*first, *second], Path(search.path))
    show_file(search, "tune.html", page)
    return config
