"""package: all that serving needs, if the model meets its gate."""

from __future__ import annotations

import hashlib
import json
import shutil
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from modelyard import events
from modelyard.cost.report import paid
from modelyard.errors import GateFailed
from modelyard.host import TRUTHS, Host
from modelyard.judging.evaluation import Evaluation, GateResult, figure, judge
from modelyard.packages.package import PackageInfo
from modelyard.packages.variant import BASE, Variant, Variants
from modelyard.registry.tracking import track_failure
from modelyard.runtimes.opening import open_variant
from modelyard.runtimes.types import Runtime
from modelyard.stages.judged import evaluated
from modelyard.stages.run import Run, stage
from modelyard.store import artifact
from modelyard.store.artifact import In, Origin, Out, write_json
from modelyard.store.base import CARRIED, carry
from modelyard.store.tables import Row, read_parquet, write_parquet

NOT_PACKAGED = "not-packaged"
"""In place of a version, on the card of a model that misses its gate."""


@stage(reads=("gate", "monitor", "export", "continual", "seed", "evaluation"))
def package(run: Run, features: In, model: In, evaluation: In, graphs: In, package: Out) -> str:
    """Judges the chosen variant on the test split, holds it against the gate, and puts the
    package together."""
    variants = Variants.model_validate_json((graphs / "variants.json").read_text())
    packed = [variant for variant in variants.variants if _is_packed(run, variant)]
    chosen = variants.chosen
    shutil.copytree(model / "assets", package / "assets")
    if run.config.continual.carried:
        carry(model, package / CARRIED)
    for variant in packed:
        for file in variant.graphs.values():
            (package / "graphs" / file).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(graphs / file, package / "graphs" / file)
    host = run.entry.open(package / "assets")
    runtime = open_variant(package / "graphs", chosen.name, chosen.graphs)
    trained = Evaluation.model_validate_json((evaluation / "evaluation.json").read_text())
    result = evaluated(run, host, runtime, features, "test", like=trained)
    gate = judge(run.config.gate, result)
    if not gate.passed:
        info = _info(run, features, model, result, gate, _described(variants, ()))
        card = _card_of_refused(info, result, features, model, (evaluation, graphs))
        kept = _keep_refused(run, result, gate, card, (features, model, evaluation, graphs))
        search = f"modelyard tune {run.name} --trials 30, with the same --data"
        raise GateFailed(
            f"gate not met: {gate.reason}. Nothing was packaged; all figures: {kept or evaluation}. "
            f"To look for better settings: {search}; to choose some: modelyard families {run.name}"
        )
    write_json(package / "evaluation.json", result)
    shutil.copy2(model / "summary.json", package / "training.json")
    write_reference(run, host, runtime, features, package)
    info = _info(run, features, model, result, gate, _described(variants, packed))
    write_json(package / "package.json", info)
    trained_by = artifact.read_manifest(model)
    # Last: it shows what the other files hold.
    write_card(
        package,
        info,
        result,
        summary_of(features),
        summary_of(model),
        {**trained_by.lineage, trained_by.digest: trained_by},
        [artifact.read_manifest(evaluation), artifact.read_manifest(graphs)],
    )
    return f"{info.version}, {chosen.name}, {gate.metric} {figure(gate.value)}"


def _is_packed(run: Run, variant: Variant) -> bool:
    """Whether a variant's files go into the package: the one that serves, full precision as what
    serves where that does not load, and what was asked for by name."""
    if variant.rejected or not variant.graphs:
        return False
    return variant.chosen or variant.name in (BASE, *run.config.export.variants)


def _described(variants: Variants, packed: Sequence[Variant]) -> Variants:
    """The variants as the package shows them: those that it does not hold have no files."""
    shown = []
    for variant in variants.variants:
        if variant not in packed:
            variant = variant.model_copy(update={"graphs": {}})
        shown.append(variant)
    return variants.model_copy(update={"variants": shown})


def _info(
    run: Run,
    features: Path,
    model: Path,
    result: Evaluation,
    gate: GateResult,
    variants: Variants,
) -> PackageInfo:
    made, created = artifact.read_manifest(model), artifact.now()
    data, training = summary_of(features), summary_of(model)
    # The same data and settings give the same weights: the run and the time tell such packages,
    # and the predictions that each logs, from each other.
    identity = f"{made.digest} {run.id} {created}"
    return PackageInfo(
        family=run.name,
        title=run.entry.title,
        target=str(data.get("target", "")),
        positive=str(data.get("positive", "")),
        warnings=[*data.get("warnings", ()), *training.get("warnings", ())],
        run=run.id,
        version=hashlib.sha256(identity.encode()).hexdigest()[:12],
        created=created,
        code_version=run.code_version,
        data_revision=made.data_revision,
        config=run.config.model_dump(mode="json"),
        variants=variants.variants,
        left_out=variants.left_out,
        choice=variants.choice,
        gate=gate,
        metrics=result.metrics,
        baseline=result.baseline,
        monitor=run.config.monitor,
    )


def write_reference(run: Run, host: Host, runtime: Runtime, features: Path, package: Path) -> None:
    """Described test examples with their answers: unseen in training, so scores are spread as in
    production."""
    bodies, truths = run.reader.reference(features, run.reader.most_reference)
    requests = [host.Request.model_validate(body) for body in bodies]
    answers = host.predict(runtime, requests)
    rows: list[Row] = []
    for request, answer in zip(requests, answers, strict=True):
        rows.append(host.describe(request, answer))
    write_parquet(rows, package / "reference.parquet")
    if truths is not None:
        write_json(package / TRUTHS, truths)
    # Asked alone, as a smoke test asks it: dynamic int8 quantizes the activations of a batch together.
    (answer,) = host.predict(runtime, requests[:1])
    golden = {"request": bodies[0], "response": answer.model_dump(mode="json", by_alias=True)}
    write_json(package / "golden.json", golden)


def write_card(
    package: Path,
    info: PackageInfo,
    result: Evaluation,
    data: dict[str, Any],
    training: dict[str, Any],
    lineage: Mapping[str, Origin],
    others: Sequence[Origin] = (),
) -> None:
    """Writes the card of a package whose other files are there; `data` and `training` are the
    stages' summaries."""
    from modelyard.card import render

    reference = read_parquet(package / "reference.parquet")
    card = render(
        info,
        result,
        data=data,
        training=training,
        lineage=lineage,
        reference=reference,
        others=others,
    )
    artifact.write_text(package / "card.html", card)


def _card_of_refused(
    info: PackageInfo, result: Evaluation, features: Path, model: Path, others: Sequence[Path]
) -> str:
    """The card of a model that misses its gate: without a version, and with nothing to serve."""
    from modelyard.card import render

    trained_by = artifact.read_manifest(model)
    return render(
        info.model_copy(update={"version": NOT_PACKAGED}),
        result,
        data=summary_of(features),
        training=summary_of(model),
        lineage={**trained_by.lineage, trained_by.digest: trained_by},
        reference={},
        others=[artifact.read_manifest(folder) for folder in others],
    )


def _keep_refused(
    run: Run, result: Evaluation, gate: GateResult, card: str, made: Sequence[Path]
) -> Path | None:
    """Tracks the run with its card, and keeps the card in the run's folder, where there is one."""
    manifests = [artifact.read_manifest(folder) for folder in made]
    cost = paid(run.id, manifests, run.config.cost)
    (_, model, *_) = made
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "card.html"
        artifact.write_text(file, card)
        track_failure(run, result, gate, training=summary_of(model), cost=cost, files=[file])
    followed = events.folder()
    if followed is None:
        return None
    artifact.write_text(followed / "card.html", card)
    return followed / "card.html"


def summary_of(folder: Path) -> dict[str, Any]:
    """What the features or the train stage reported."""
    summary: dict[str, Any] = json.loads((folder / "summary.json").read_text())
    return summary
