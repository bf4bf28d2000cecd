"""Checks of the building half: config, data, training, figures."""

from __future__ import annotations

import json
import shutil
import statistics
import unittest
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel

from modelyard.contract.lab import Lab
from modelyard.errors import BadData, UsageError
from modelyard.family import Family
from modelyard.judging.compare import difference, expect
from modelyard.judging.evaluation import Evaluation, GateResult
from modelyard.settings.family import resolve
from modelyard.store.artifact import read_manifest

if TYPE_CHECKING:
    import torch

SPLITS = ("train", "validation", "test")
STEPS = 30
"""Optimizer steps on one batch within which the loss must fall."""
SHARED = 1e-3
"""Largest relative difference of a batch's loss from that of its parts."""
RETRAINED = 1e-4
"""Tolerance of answers after a second training, where the weights are not the same bit for bit."""


def config_is_valid_documented_and_survives_json(lab: Lab) -> str:
    """Defaults and `debug()` validate and come back from JSON; every setting has a docstring
    under it."""
    cls = lab.run.entry.Config
    expect(bool(lab.run.entry.title.strip()), "title is empty")
    debug = cls.debug()
    expect(isinstance(debug, cls), f"debug() is a {type(debug).__name__}, not a {cls.__name__}")
    for what, config in (("the defaults", cls()), ("debug()", debug)):
        expect(
            cls.model_validate_json(config.model_dump_json()) == config,
            f"{what} do not survive JSON",
        )
    settings = _settings(cls)
    silent = [name for name in settings if not _description(cls, name)]
    expect(not silent, f"settings without a docstring under them: {', '.join(silent)}")
    return f"{len(settings)} settings"


def misspelt_setting_is_refused(lab: Lab) -> str:
    """A wrong name is refused at the top and in every section, and named."""
    cls = lab.run.entry.Config
    sections = [name for name, kind in _fields(cls) if _is_section(kind)]
    layers: list[dict[str, Any]] = [{"mispelt": 1}]
    for name in sections:
        layers.append({name: {"mispelt": 1}})
    for layer in layers:
        try:
            resolve(cls, ("--set", layer))
        except UsageError as error:
            expect(
                "mispelt" in str(error), f"the error for {layer} does not name the setting: {error}"
            )
        else:
            expect(
                False,
                f"{cls.__name__} accepts {layer}: make the section a modelyard.settings.family.Settings",
            )
    return f"{len(sections)} sections"


def features_report_three_disjoint_splits(lab: Lab) -> str:
    """`rows` has train, validation and test, none empty; `dropped` counts by reason; no request
    is in two splits."""
    summary = lab.summary("features")
    rows, dropped = summary.get("rows", {}), summary.get("dropped")
    expect(
        set(rows) == set(SPLITS),
        f"features() must report rows of {', '.join(SPLITS)}; seen: {rows}",
    )
    expect(
        all(isinstance(count, int) and count > 0 for count in rows.values()),
        f"a split is empty: {rows}",
    )
    expect(
        isinstance(dropped, dict) and all(map(_is_count, dropped.values())),
        f"features() must report dropped as counts by reason ({{}} for none); seen: {dropped}",
    )
    before: set[str] = set()
    for split in SPLITS:
        # As text: bodies are dicts, which cannot be in a set.
        seen = {json.dumps(body, sort_keys=True) for body in _bodies(lab, split)}
        shared = seen & before
        # Data may hold the same example twice: a few are no sign that a split leaks.
        expect(
            len(shared) * 20 <= len(seen),
            f"{len(shared)} of {split}'s requests are in another split too. Draw the splits by "
            "what a request holds: kit.splits.draw(keys_of(requests as text, seed), shares)",
        )
        before |= seen
    return ", ".join(f"{rows[split]} {split}" for split in SPLITS)


def _is_count(value: Any) -> bool:
    return isinstance(value, int) and value >= 0


def features_are_the_same_again(lab: Lab) -> str:
    """The same raw data and config give the same files: what reuse and lineage rest on."""
    first, second = read_manifest(lab["features"]), read_manifest(lab.again("features"))
    changed = [name for name in sorted(first.files) if second.files.get(name) != first.files[name]]
    expect(
        first.digest == second.digest,
        f"features() gave other files the second time: {', '.join(changed)}. "
        "Seed what is drawn with config.seed, and write no time or set order",
    )
    return "bit for bit"


def bad_data_is_named(lab: Lab) -> str:
    """An empty raw folder and a raw folder of empty files raise BadData; the second names a
    file."""
    empty, hollow = _fresh(lab, "bad-empty"), _fresh(lab, "bad-hollow")
    _refused(lab, empty)
    files = [file for file in (lab["dataset"] / "raw").rglob("*") if file.is_file()]
    for file in files:
        target = hollow / file.relative_to(lab["dataset"] / "raw")
        target.parent.mkdir(parents=True, exist_ok=True)
        target.touch()
    error = _refused(lab, hollow)
    named = any(file.name in str(error) for file in files)
    expect(named, f"BadData of empty files names none of them: {error}. Raise it with file=…")
    return str(error).replace(f"{hollow}/", "")


def same_seed_gives_the_same_model(lab: Lab) -> str:
    """A second training gives the same files; or, where the library does not promise that, the
    same answers."""
    again = lab.again("model")
    if read_manifest(again).digest == read_manifest(lab["model"]).digest:
        return "bit for bit"
    host, requests = lab.run.entry.open(again / "assets"), lab.parsed(20)
    first = lab.host.predict(lab.native, requests)
    second = host.predict(lab.family.native(again), requests)
    for one, other in zip(first, second, strict=True):
        found = difference(one.model_dump(mode="json"), other.model_dump(mode="json"), RETRAINED)
        expect(not found, f"a second training with the same seed answers differently: {found}")
    return f"answers within {RETRAINED:.0e}"


def figures_stand_beside_a_baseline(lab: Lab) -> str:
    """Metrics are finite, the baseline has the main one, and the debug run passes its gate."""
    result = Evaluation.model_validate_json((lab["evaluation"] / "evaluation.json").read_text())
    expect(
        result.split == "test" and result.rows > 0,
        f"judged {result.rows} {result.unit} of the {result.split} split",
    )
    expect(
        result.main in result.baseline,
        f"the baseline has no {result.main}; seen: {sorted(result.baseline)}",
    )
    for name, (low, high) in result.intervals.items():
        expect(
            low <= result.metrics[name] <= high,
            f"{name} {result.metrics[name]:.6g} lies outside its own interval: {low:.6g} to {high:.6g}",
        )
    for gain in result.gains:
        if gain.over != result.baseline_name:
            continue
        better = result.metrics[gain.metric] - result.baseline[gain.metric]
        if result.directions[gain.metric] == "min":
            better = -better
        agrees = abs(gain.value - better) <= 1e-9 * max(1, abs(better))
        expect(
            agrees and gain.low <= gain.high,
            f"the gain in {gain.metric} is {gain.words}, the metrics differ by {better:.6g}",
        )
    expect(bool(result.baseline_name.strip()), "baseline_name is empty: say what the baseline is")
    gate = GateResult.model_validate_json((lab["evaluation"] / "gate.json").read_text())
    expect(gate.passed, f"debug() does not pass its own gate: {gate.reason}")
    return (
        f"{gate.metric} {gate.value:.4g}, {result.baseline_name} {result.baseline[result.main]:.4g}"
    )


def loss_falls_on_a_repeated_batch(lab: Lab) -> str:
    """A torch family learns one training batch by heart."""
    _torch_only(lab)
    import torch

    torch.manual_seed(lab.run.config.seed)
    model = lab.family.model(lab["features"] / "assets").train()
    batch = _batch(lab, "train")
    optimizer = torch.optim.AdamW(model.parameters(), lr=lab.run.config.training.learning_rate)
    losses = []
    for _ in range(STEPS):
        loss = lab.family.loss(model, batch)
        expect(loss.ndim == 0, f"loss() has shape {tuple(loss.shape)}: return the mean, a scalar")
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        losses.append(loss.item())
    # Three steps each: dropout makes the loss of a single one noisy.
    first, last = statistics.fmean(losses[:3]), statistics.fmean(losses[-3:])
    expect(last < first, f"{STEPS} steps on one batch took the loss from {first:.4g} to {last:.4g}")
    return f"{first:.4g} to {last:.4g} in {STEPS} steps"


def same_epoch_gives_the_same_batches(lab: Lab) -> str:
    """A torch family's order follows from seed and epoch."""
    _torch_only(lab)
    import torch

    first = list(lab.family.batches(lab["features"], "train", 1))
    second = list(lab.family.batches(lab["features"], "train", 1))
    otherwise = "batches() gave another order the second time for the same epoch: seed it with config.seed and epoch"
    expect(len(first) == len(second), otherwise)
    for one, other in zip(first, second, strict=True):
        expect(one.keys() == other.keys(), otherwise)
        for name in one:
            expect(torch.equal(one[name], other[name]), otherwise)
    return f"{len(first)} batches"


def parts_of_a_batch_add_up_to_it(lab: Lab) -> str:
    """Processes that share a torch family's batch get its examples; their losses, weighed, are
    its loss."""
    _torch_only(lab)
    import torch

    batches = lab.family.batches(lab["features"], "train", 1)
    rows = next(batches.rows())
    whole = batches.take(rows)
    # As three processes would share it: every third example.
    parts = [batches.take(rows[place::3]) for place in range(3)]
    for place, part in enumerate(parts):
        for name, tensor in whole.items():
            expect(
                torch.equal(part[name], tensor[place::3]),
                "batches().take() makes of an example what depends on the others: draw what is random by its number",
            )
    torch.manual_seed(lab.run.config.seed)
    model = lab.family.model(lab["features"] / "assets").eval()
    weights = total = 0.0
    with torch.no_grad():
        for part in parts:
            weight = float(lab.family.weight(model, part))
            weights += weight
            total += weight * lab.family.loss(model, part).item()
        expected = lab.family.loss(model, whole).item()
    mean = total / weights
    close = abs(mean - expected) <= SHARED * max(1.0, abs(expected))
    expect(
        close,
        f"the parts' losses by weight() give {mean:.6g}, the batch's loss is {expected:.6g}: "
        "weight() says over how many terms loss() is a mean",
    )
    return f"{len(rows)} examples in 3 parts: {mean:.6g}"


def weights_survive_the_file(lab: Lab) -> str:
    """Saved weights fit the network that the assets describe, fill all of it, and are the
    trained ones."""
    _torch_only(lab)
    import torch

    from modelyard.training.loop import WEIGHTS, load_weights

    if not (lab["model"] / WEIGHTS).is_file():
        raise unittest.SkipTest(f"its own fit() writes no {WEIGHTS}")
    torch.manual_seed(lab.run.config.seed)
    untrained = lab.family.model(lab["model"] / "assets").eval()
    # Loaded twice into networks with other initial weights: what the file does not hold differs.
    trained = load_weights(lab.family.model(lab["model"] / "assets"), lab["model"])
    again = load_weights(lab.family.model(lab["model"] / "assets"), lab["model"])
    batch = _batch(lab, "train")
    with torch.inference_mode():
        before = lab.family.loss(untrained, batch).item()
        after = lab.family.loss(trained, batch).item()
        other = lab.family.loss(again, batch).item()
    expect(
        after == other,
        f"the same weights give losses {after} and {other}: something of the network is not saved. "
        "Make it a parameter or a buffer, or part of the assets",
    )
    expect(
        after < before,
        f"the trained weights' loss is {after:.4g}, the untrained network's {before:.4g}",
    )
    return f"loss {before:.4g} untrained, {after:.4g} loaded"


def _torch_only(lab: Lab) -> None:
    if type(lab.family).loss is Family.loss:
        raise unittest.SkipTest("not trained by the shared torch loop: it defines no loss()")


def _batch(lab: Lab, split: Any) -> dict[str, torch.Tensor]:
    return next(iter(lab.family.batches(lab["features"], split, 1)))


def _bodies(lab: Lab, split: Any) -> list[dict[str, Any]]:
    return lab.family.requests(lab["features"], split)


def _fresh(lab: Lab, name: str) -> Path:
    folder = lab.folder / name
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    return folder


def _refused(lab: Lab, raw: Path) -> BadData:
    out = _fresh(lab, f"{raw.name}-out")
    (out / "assets").mkdir()
    state = "a raw folder of empty files" if any(raw.iterdir()) else "an empty raw folder"
    try:
        lab.family.features(raw, out)
    except BadData as error:
        return error
    except Exception as error:
        raise AssertionError(
            f"{state} raises {type(error).__name__} ({error}), not BadData"
        ) from error
    raise AssertionError(f"features() accepts {state}: raise BadData")


def _fields(cls: type[BaseModel]) -> list[tuple[str, Any]]:
    return [(name, field.annotation) for name, field in cls.model_fields.items()]


def _is_section(kind: Any) -> bool:
    return isinstance(kind, type) and issubclass(kind, BaseModel)


def _settings(cls: type[BaseModel], prefix: str = "") -> list[str]:
    """Dotted names of all settings below `cls`."""
    found: list[str] = []
    for name, kind in _fields(cls):
        if _is_section(kind):
            found += _settings(kind, f"{prefix}{name}.")
        else:
            found.append(prefix + name)
    return found


def _description(cls: type[BaseModel], name: str) -> str | None:
    *path, leaf = name.split(".")
    for part in path:
        section = cls.model_fields[part].annotation
        assert isinstance(section, type)
        cls = section
    return cls.model_fields[leaf].description
