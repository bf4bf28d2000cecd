"""monitor as a Kubeflow Pipelines component."""

from kfp import dsl

from components.common import component


@component
def monitor(
    settings: dict,
    verdict: dsl.Output[dsl.Artifact],
    report: dsl.Output[dsl.HTML],
    metrics: dsl.Output[dsl.Metrics],
) -> bool:
    """Compares what was served with what the champion was judged on; true when it should be
    trained again.

    Args:
        settings: What prepare hands this step.

    Returns:
        verdict: verdict.json: what drifted, by how much.
        report: The same as a page.
        metrics: Rows compared, columns that drifted, and the largest effect.
        Output: Whether it should be trained again.
    """
    from modelyard.pipeline.step import read_json, run_step, show_file

    run_step("monitor", settings, outputs={"verdict": verdict})
    show_file(verdict, "report.html", report)
    found = read_json(verdict.path, "verdict.json")
    effects = [one["effect"] for one in found["columns"] if one["drifted"]]
    metrics.log_metric("rows", found["rows_current"])
    metrics.log_metric("drifted_columns", len(effects))
    metrics.log_metric("largest_effect", max(effects, default=0.0))
    return found["retrain"]
