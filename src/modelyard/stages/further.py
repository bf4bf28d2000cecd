"""Further variants of a package that exists: made, judged and timed together with those it holds."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from modelyard.compress.building import make_variants
from modelyard.compress.calibration import Recorded
from modelyard.compress.parity import check_likeness
from modelyard.compress.recipes import Source, Task
from modelyard.errors import BrokenArtifact, GateFailed, UsageError
from modelyard.host import Host
from modelyard.judging.evaluation import Evaluation, judge
from modelyard.packages import signing
from modelyard.packages.package import EVALUATION, INFO, PackageInfo, Verified
from modelyard.packages.variant import BASE, NATIVE, LeftOut, Variants
from modelyard.runtimes.types import Arrays, Graph
from modelyard.stages.judged import evaluated
from modelyard.stages.package import summary_of, write_card, write_reference
from modelyard.stages.run import Run
from modelyard.stages.variants import Compiled, calibration, compiled_of, judge_variants, opened
from modelyard.store import artifact


def add_variants(run: Run, package: Verified, features: Path, into: Path) -> PackageInfo:
    """Makes the variants that `export.variants` names from the package's onnx-fp32, and writes the
    package with them to `into`, whole or not at all.

    What it holds is judged and timed with them, so that all figures are of one run. Where another
    variant is chosen it is judged on the test split as well: the gate must be met.

    Raises:
        UsageError: these are not its features, or it holds no onnx-fp32.
        GateFailed: the variant that would be chosen misses the gate.
    """
    _check_features(package, features)
    with artifact.create(into) as work:
        for name in package.manifest.files:
            (work / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(package.path / name, work / name)
        info = _extended(run, package, features, work)
        artifact.write_json(work / INFO, info)
        _write_shown(work, info, features, package)
        origin = artifact.Origin(**package.manifest.model_dump())
        key = hashlib.sha256(info.version.encode()).hexdigest()
        origin = origin.model_copy(update={"key": key, "created": info.created})
        artifact.seal(work, origin, [package.manifest])
        # What is signed is the manifest, which sealing writes.
        signing.sign(work)
    return info


def _check_features(package: Verified, features: Path) -> None:
    digest = artifact.verify(features).digest
    if digest not in package.manifest.lineage:
        raise UsageError(
            f"{features} is not what {package.path} was made from: its digest {digest[:12]} is not in the "
            "package's lineage. Give the run's own: --features"
        )


def _extended(run: Run, package: Verified, features: Path, work: Path) -> PackageInfo:
    """Adds files of variants to `work`; what the package then says of itself."""
    from modelyard.compress.facts import facts_of

    old = package.info
    graphs = work / "graphs"
    host = run.entry.open(work / "assets")
    held = {variant.name: variant for variant in old.variants if variant.graphs}
    if BASE not in held:
        raise UsageError(
            f"{package.path} holds no {BASE}, which others are made from. Run it again"
        )
    # The trained model is not here: how far the base is from it was measured when it was.
    base = opened(graphs, BASE, held[BASE].graphs).compared(lambda _: held[BASE].max_difference)
    sources = []
    for graph, name in base.files.items():
        sources.append(Source(graph, graphs / name, facts_of(graphs / name)))
    recorded = calibration(run, host, features, base.runtime)
    task = Task(run.config.export, run.family.quantized, recorded, run.family.lengths)
    made, left_out = make_variants(sources, graphs, task, run.progress("export"))
    earlier = {}
    for name, variant in held.items():
        if name != BASE and name not in made:
            earlier[name] = variant.graphs
    likeness = partial(check_likeness, _examples(recorded()), base.runtime)
    others, not_opened = compiled_of(graphs, earlier | made, lambda _: likeness)

    native_sizes = [variant.bytes for variant in old.variants if variant.name == NATIVE]
    size = native_sizes[0] if native_sizes else base.size
    # The base stands in for the trained model: parity has shown that it answers the same.
    judged = judge_variants(run, host, features, base.runtime, size, [base, *others])
    left_out = [*left_out, *not_opened, *judged.left_out]
    variants = _merged(old, judged, left_out)
    with_files = {variant.name for variant in variants.variants if variant.graphs}
    for name in {*made, *earlier} - with_files:
        shutil.rmtree(graphs / name)
    return _info(run, package, host, features, work, variants, [base, *others])


def _examples(recorded: Recorded) -> list[Graph]:
    """Each graph with recorded calls of one shape as its example: an output needs several rows to
    have a spread."""
    examples = []
    for name, calls in recorded.items():
        by_shape: dict[Any, list[Arrays]] = {}
        for call in calls:
            shape = tuple(array.shape[1:] for array in call.values())
            by_shape.setdefault(shape, []).append(call)
        alike = max(by_shape.values(), key=len)
        example = {}
        for argument in alike[0]:
            example[argument] = np.concatenate([call[argument] for call in alike])
        examples.append(Graph(name, example, onnx=b""))
    return examples


def _merged(old: PackageInfo, judged: Variants, left_out: Sequence[LeftOut]) -> Variants:
    """The new figures; the trained model, which is not here, and variants without files keep
    theirs."""
    fresh = [variant for variant in judged.variants if variant.name != NATIVE]
    gone = {variant.name for variant in left_out}
    replaced = gone.union(variant.name for variant in fresh)
    kept = [variant for variant in old.variants if variant.name not in replaced]
    rows = sorted(kept, key=lambda variant: variant.name != NATIVE)
    for variant in fresh:
        if variant.rejected:
            variant = variant.model_copy(update={"graphs": {}})
        rows.append(variant)
    known = gone.union(variant.name for variant in rows)
    others = [variant for variant in old.left_out if variant.name not in known]
    return Variants(variants=rows, left_out=[*others, *left_out], choice=judged.choice)


def _info(
    run: Run,
    package: Verified,
    host: Host,
    features: Path,
    work: Path,
    variants: Variants,
    opened: Sequence[Compiled],
) -> PackageInfo:
    """The package's description; where another variant serves, judged on the test split again."""
    old, created = package.info, artifact.now()
    update = {
        "variants": variants.variants,
        "left_out": variants.left_out,
        "choice": variants.choice,
        "config": run.config.model_dump(mode="json"),
        "created": created,
        # Another package than before: answers and logs tell them apart.
        "version": hashlib.sha256(f"{old.version} {created} {variants}".encode()).hexdigest()[:12],
    }
    if variants.chosen.name != old.chosen.name:
        runtimes = {variant.name: variant.runtime for variant in opened}
        runtime = runtimes[variants.chosen.name]
        before = Evaluation.model_validate_json((work / EVALUATION).read_text())
        result = evaluated(run, host, runtime, features, "test", like=before)
        gate = judge(run.config.gate, result)
        if not gate.passed:
            raise GateFailed(
                f"gate not met by {variants.chosen.name}: {gate.reason}. Nothing changed"
            )
        artifact.write_json(work / EVALUATION, result)
        write_reference(run, host, runtime, features, work)
        update |= {"gate": gate, "metrics": result.metrics, "baseline": result.baseline}
    return old.model_copy(update=update)


def _write_shown(work: Path, info: PackageInfo, features: Path, package: Verified) -> None:
    """The card, of the new figures."""
    result = Evaluation.model_validate_json((work / EVALUATION).read_text())
    report = work / "training.json"
    if not report.is_file():
        raise BrokenArtifact(f"{package.path} holds no training.json. Run it again")
    training = json.loads(report.read_text())
    write_card(work, info, result, summary_of(features), training, package.manifest.lineage)
