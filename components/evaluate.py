"""evaluate as a Kubeflow Pipelines component."""

from kfp import dsl

from components.common import component


@component
def evaluate(
    settings: dict,
    features: dsl.Input[dsl.Dataset],
    model: dsl.Input[dsl.Model],
    evaluation: dsl.Output[dsl.Artifact],
    metrics: dsl.Output[dsl.Metrics],
    curves: dsl.Output[dsl.ClassificationMetrics],
):
    """Judges the model on the test split, next to its baseline.

    Args:
        settings: What prepare hands this step.
        features: What features wrote.
        model: What train wrote.

    Returns:
        evaluation: evaluation.json: metrics with intervals, those of the baseline, the gate.
        metrics: The same metrics, for the page of the run.
        curves: ROC curve and confusion matrix, where the model answers with classes.
    """
    from modelyard.pipeline.step import read_evaluation, run_step

    inputs = {"features": features, "model": model}
    run_step("evaluate", settings, inputs=inputs, outputs={"evaluation": evaluation})
    result = read_evaluation(evaluation.path)
    for name, value in result.metrics.items():
        metrics.log_metric(name, value)
    if result.roc:
        curves.log_roc_curve(
            result.roc.false_positive_rate, result.roc.true_positive_rate, result.roc.thresholds
        )
    if result.confusion:
        curves.log_confusion_matrix(result.confusion.labels, result.confusion.matrix)
