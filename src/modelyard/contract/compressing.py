"""Checks of a family's smaller variants."""

from __future__ import annotations

import json
from pathlib import Path
from typing import get_args

from modelyard.contract.lab import Lab
from modelyard.judging.compare import expect
from modelyard.packages.package import verify
from modelyard.packages.trust import Trust
from modelyard.packages.variant import BASE, Variant
from modelyard.runtimes.opening import open_variant
from modelyard.settings.export import VariantName
from modelyard.stages.further import add_variants
from modelyard.stages.run import Run

ROWS = 7


def variants_answer_or_say_why_not(lab: Lab) -> str:
    """Every variant that can be named opens, answers, and keeps the metric within what may be lost;
    or is left out with a reason."""
    names = [name for name in get_args(VariantName) if name not in ("auto", BASE)]
    config = lab.run.config.model_dump(mode="json")
    config["export"] |= {"variants": names, "latency_repeats": 5, "latency_seconds": 1.0}
    run = Run.of(lab.name, config, id=lab.run.id)
    package = verify(lab["package"], Trust().naming(lab.name))
    folder = lab.folder / "all-variants"
    info = add_variants(run, package, lab["features"], folder)

    measured = {variant.name: variant for variant in info.variants}
    left_out = {variant.name: variant for variant in info.left_out}
    for name in names:
        # Exactly one of the two.
        expect(
            (name in measured) != (name in left_out),
            f"{name} must be either measured or left out with a reason",
        )
        variant = measured.get(name) or left_out[name]
        expect(bool(variant.reason.strip()), f"{name} has a verdict without a reason")
    passed = []
    for name in names:
        # A variant that loses too much is measured and has no files.
        if name in measured and measured[name].graphs:
            passed.append(measured[name])
    assert info.choice is not None
    for variant in passed:
        loss = abs(variant.change or 0.0)
        worse = (variant.change or 0.0) < 0
        if _directions(lab)[info.gate.metric] == "min":
            worse = not worse
        expect(
            not worse or loss <= info.choice.max_loss,
            f"{variant.name} passed and loses {loss:.4g} of {info.gate.metric}, "
            f"allowed {info.choice.max_loss:.4g}",
        )
        _answers(lab, folder / "graphs", variant)
    failed = []
    for attempt in info.left_out:
        if attempt.verdict == "failed":
            failed.append(f"{attempt.name}: {attempt.reason}")
    expect(not failed, f"do not work: {'; '.join(failed)}")
    return ", ".join(variant.name for variant in passed) or f"{BASE} only"


def _answers(lab: Lab, graphs: Path, variant: Variant) -> None:
    run = open_variant(graphs, variant.name, variant.graphs)
    requests = lab.parsed(ROWS)
    answers = lab.host.predict(run, requests)
    expect(len(answers) == ROWS, f"{variant.name}: {len(answers)} answers to {ROWS} requests")
    for answer in answers:
        text = json.dumps(answer.model_dump(mode="json", by_alias=True), allow_nan=False)
        lab.host.Response.model_validate_json(text)


def _directions(lab: Lab) -> dict[str, str]:
    content = json.loads((lab["evaluation"] / "evaluation.json").read_text())
    directions: dict[str, str] = content["directions"]
    return directions
