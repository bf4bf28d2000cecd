"""A detector of one machine goes on with another: what it keeps of the first."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
import torch

from modelyard.errors import BadData, UsageError
from modelyard.families.anomaly.config import AnomalyConfig
from modelyard.families.anomaly.family import Anomaly
from modelyard.families.anomaly.host import AnomalyHost
from modelyard.families.anomaly.neighbours import remembered
from modelyard.families.anomaly.networks import build
from modelyard.families.anomaly.schema import Schema, kind_of
from modelyard.store.base import FOLDER, carry
from modelyard.training.continual import continued
from modelyard.training.loop import load_weights
from modelyard.training.memory import Memory
from tests.training.going_on import features_of, judged, model_of

NAMES = ("speed", "current", "pressure", "flow")


def machine(folder: Path, seed: int, names: tuple[str, ...] = NAMES, mute: str = "") -> Path:
    """900 rows of sensors that follow one load; each machine has relations of its own. `mute` is
    constant."""
    folder.mkdir()
    rng = np.random.default_rng(seed)
    load = np.sin(np.arange(900) / 9) + 0.3 * rng.normal(size=900)
    gains = np.array([[1, 1, 1, 1], [1, -1, 1, -1]])[seed] * load[:, None] + 0.05 * rng.normal(
        size=(900, len(NAMES))
    )
    columns = dict(zip(NAMES, gains.T, strict=True)) | dict.fromkeys([mute], np.ones(900))
    lines = [
        ",".join(("time", *names)),
        *(
            ",".join((str(number), *(f"{columns[name][number]:.4f}" for name in names)))
            for number in range(900)
        ),
    ]
    (folder / "machine.csv").write_text("\n".join(lines) + "\n")
    return folder


def family(kind: str = "autoencoder", **changes: object) -> Anomaly:
    values: dict[str, dict[str, object]] = {
        "features": {"window": 6},
        "model": {
            "kind": kind,
            "hidden": (16,),
            "code": 2,
            "corruption": 0.0,
            "units": 12,
            "false_alarm_rate": 0.05,
        },
        "training": {"epochs": 20, "batch_size": 64, "learning_rate": 5e-3},
    }
    for name, value in changes.items():
        section, _, field = name.partition("__")
        values[section] = values.get(section, {}) | {field: value}
    return Anomaly(AnomalyConfig.model_validate(values))


def loss(one: Anomaly, model: Path, features: Path) -> float:
    """Mean reconstruction error of the calibration rows."""
    found = one.batches(features, "validation", 1)
    with torch.no_grad():
        net = load_weights(build(one.config, model / "assets"), model)
        return float(one.loss(net, found.take(found.order)))


@pytest.fixture(scope="module")
def raws(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    root = tmp_path_factory.mktemp("machines")
    return machine(root / "a", 0), machine(
        root / "b", 1, ("flow", "speed", "pressure", "current", "extra"), "extra"
    )


@pytest.fixture(scope="module")
def first(raws: tuple[Path, Path], tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    out, one = tmp_path_factory.mktemp("first"), family(continual__memory=60)
    features = features_of(one, raws[0], out / "features")
    return features, model_of(one, features, out / "model")


def test_columns_and_scales_are_the_earlier_ones_in_its_order(
    raws: tuple[Path, Path], first: tuple[Path, Path], tmp_path: Path
) -> None:
    features = features_of(family(), raws[1], tmp_path / "features", first[1])
    assert Schema.load(features / "assets").columns == Schema.load(first[0] / "assets").columns
    row = family().requests(features, "test", 1)[0]["values"]
    assert row["speed"] * row["current"] < 0
    assert row["speed"] * row["pressure"] > 0


def test_with_exemplars_the_first_machine_is_not_forgotten(
    raws: tuple[Path, Path], first: tuple[Path, Path], tmp_path: Path
) -> None:
    losses = {"before": loss(family(), first[1], first[0])}
    for replay in (0.0, 0.5):
        one = family(continual__replay=replay, continual__memory=60, continual__choose="herding")
        features = features_of(one, raws[1], tmp_path / f"{replay}", first[1])
        model = model_of(one, features, tmp_path / f"{replay}-model")
        losses[f"{replay}"] = loss(one, model, first[0])
        assert "probe_roc_auc" in judged(one, model, features).metrics
        memory = Memory.load(model / "memory.safetensors")
        assert (len(memory), memory.total) == (
            60,
            2 * Memory.load(first[1] / "memory.safetensors").total,
        )
    assert losses["0.5"] < 3 * losses["before"]
    assert losses["0.0"] > 5 * losses["0.5"]


@pytest.mark.parametrize("kind", ["lstm", "deepsvdd"])
def test_windows_and_the_centre_go_on_too(
    kind: str, raws: tuple[Path, Path], tmp_path: Path
) -> None:
    from safetensors.torch import load_file

    one = family(kind, continual__memory=10, training__epochs=2)
    model = model_of(one, features_of(one, raws[0], tmp_path / "fa"), tmp_path / "ma")
    features = features_of(one, raws[1], tmp_path / "fb", model)
    begun = continued(one, features, one.config.continual, 0).model(features / "assets")
    for name, value in load_file(model / "model.safetensors").items():
        assert torch.equal(begun.state_dict()[name], value)
    assert len(Memory.load(model_of(one, features, tmp_path / "mb") / "memory.safetensors")) == 10


def test_a_sensor_that_does_not_move_any_more_is_no_obstacle(
    raws: tuple[Path, Path], tmp_path: Path
) -> None:
    one = family("deepsvdd", training__epochs=2)
    model = model_of(one, features_of(one, raws[0], tmp_path / "fa"), tmp_path / "ma")
    stuck = machine(tmp_path / "stuck", 0, mute="flow")
    again = model_of(one, features_of(one, stuck, tmp_path / "fb", model), tmp_path / "mb")
    host = AnomalyHost(again / "assets")
    (answer,) = host.predict(
        one.native(again), [host.Request.model_validate({"values": dict.fromkeys(NAMES, 0.0)})]
    )
    assert np.isfinite(answer.score)  # type: ignore[attr-defined]


def test_a_missing_column_another_window_or_another_kind_does_not_go_on(
    raws: tuple[Path, Path], first: tuple[Path, Path], tmp_path: Path
) -> None:
    with pytest.raises(BadData, match="which the detector needs") as error:
        features_of(family(), machine(tmp_path / "raw", 0, NAMES[1:]), tmp_path / "f", first[1])
    assert error.value.column == "speed"
    with pytest.raises(UsageError, match=r"--set features\.window=6"):
        features_of(family(features__window=8), raws[1], tmp_path / "g", first[1])
    with pytest.raises(UsageError, match=r"--set model\.kind=autoencoder"):
        features_of(family("deepsvdd"), raws[1], tmp_path / "h", first[1])
    assert "fitted from scratch" in family("iforest").config.refuses_warm_start()
    assert not family("lstm").config.refuses_warm_start()


def test_columns_are_left_out_for_the_reason_that_is_true(
    raws: tuple[Path, Path], tmp_path: Path
) -> None:
    """The earlier network has its columns, even one that is stuck now, and no others."""
    one = family("deepsvdd", training__epochs=2)
    model = model_of(one, features_of(one, raws[0], tmp_path / "fa"), tmp_path / "ma")
    raw = machine(tmp_path / "raw", 1, (*NAMES, "extra"), "extra")
    lines = (raw / "machine.csv").read_text().splitlines()
    changed = [lines[0]]
    for number, line in enumerate(lines[1:]):
        *cells, _flow, _extra = line.split(",")
        changed.append(",".join([*cells, "1.0", str(number % 7)]))
    (raw / "machine.csv").write_text("\n".join(changed) + "\n")
    out = tmp_path / "fb"
    (out / "assets").mkdir(parents=True)
    carry(model, out / FOLDER)
    shutil.copytree(model / "assets", out / FOLDER / "assets")
    summary = one.features(raw, out)
    assert summary["left_out"] == ["extra"]
    assert "Left out: extra: the earlier model lacks it" in summary["notes"]
    assert not any("flow" in note for note in summary["notes"])
    assert "columns: constant over the training rows" not in summary["dropped"]


def test_half_of_the_rows_that_neighbours_keeps_stay_the_earlier_ones(
    raws: tuple[Path, Path], tmp_path: Path
) -> None:
    one = family("neighbours", model__most_rows=200)
    features = features_of(one, raws[0], tmp_path / "fa")
    model = model_of(one, features, tmp_path / "ma")
    again = features_of(one, raws[1], tmp_path / "fb", model)
    kept = remembered(model_of(one, again, tmp_path / "mb"))
    # Current and pressure move apart on the second machine only.
    earlier = kept[:, NAMES.index("current")] * kept[:, NAMES.index("speed")] > 0
    assert len(kept) == 200
    assert 70 < earlier.sum() < 130


def test_a_detector_of_before_is_continued_with_its_own_kind(
    raws: tuple[Path, Path], first: tuple[Path, Path], tmp_path: Path
) -> None:
    one = family("auto", training__epochs=1)
    features = features_of(one, raws[1], tmp_path / "f", first[1])
    assert kind_of(one.config, Schema.load(features / "assets")) == "autoencoder"
    assert AnomalyHost(model_of(one, features, tmp_path / "m") / "assets").detector.error_scale
