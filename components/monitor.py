"""monitor as a Kubeflow Pipelines component."""

from kfp import dsl

from components.common import component


@component
def monitor(
    settings: dict,
    verdict: dsl.Output[dsl.Artifact],
    report: dsl.Output[dsl.HTML],
) -> bool:
    """Compares what was served with what the champion was judged on; true when it should be
    trained again."""
    from modelyard.pipeline.step import copy_file, read_json, run_step

    run_step("monitor", settings, outputs={"verdict": verdict})
    copy_file(verdict.path, "report.html", report.path)
    return read_json(verdict.path, "verdict.json")["retrain"]
