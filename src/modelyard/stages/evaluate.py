"""evaluate: the trained model on the test split, next to its baseline."""

from __future__ import annotations

from modelyard.judging.evaluation import Evaluation, GateResult, figure, judge
from modelyard.stages.judged import evaluated
from modelyard.stages.run import Run, stage
from modelyard.store.artifact import In, Out, write_json

FEW = 20
"""From so many judged examples on, their number is not worth a word."""


@stage(reads=("gate", "seed", "evaluation"))
def evaluate(run: Run, features: In, model: In, evaluation: Out) -> str:
    """Judges the model, as its own library runs it, on the test split."""
    host = run.entry.open(model / "assets")
    result = evaluated(run, host, run.family.native(model), features, "test")
    gate = judge(run.config.gate, result)
    write_json(evaluation / "evaluation.json", result)
    write_json(evaluation / "gate.json", gate)
    return line_of(result, gate)


def line_of(result: Evaluation, gate: GateResult) -> str:
    """The stage's line: the gate's metric, what it stands next to, and what makes it unsure."""
    line = f"{gate.metric} {figure(gate.value)}"
    compared = []
    if gate.baseline is not None:
        compared.append(f"baseline {figure(gate.baseline)}")
    if gate.metric == result.main:
        compared += [f"{name} {figure(value)}" for name, value in result.rivals.items()]
    if compared:
        line += f" ({', '.join(compared)})"
    # The interval of the gain holds 0, and the gain itself is above it: of one below 0 the figures
    # say enough.
    if gate.gain is not None and gate.gain.low <= 0 < gate.gain.value:
        line += ", not better than the baseline beyond chance"
    if result.rows < FEW:
        line += f", on {result.rows} {result.unit} only"
    return line
