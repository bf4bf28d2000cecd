"""Optimizers, schedules, precisions and what else the settings choose."""

from __future__ import annotations

import math
import shutil
from pathlib import Path

import pytest
import torch
from pydantic import ValidationError

from modelyard.errors import Interrupted, UsageError
from modelyard.settings.training import TrainingSettings
from modelyard.training import optimizers
from modelyard.training.engine import Engine, blocks
from modelyard.training.loop import Trainer, load_weights
from modelyard.training.schedules import LearningRate
from modelyard.training.throughput import operations, peak
from modelyard.training.world import Preemption, World
from tests.training.many import Blocks, Classes


def settings(**values: object) -> TrainingSettings:
    return TrainingSettings.model_validate(
        {"epochs": 10, "batch_size": 32, "learning_rate": 5e-3} | values
    )


def fit(folder: Path, family: Classes | None = None, **values: object) -> dict:
    return Trainer(3, settings(**values)).fit(family or Classes(), folder, folder)


RATES = {"sgd": 0.1, "lion": 1e-3, "schedule_free": 2e-2, "adafactor": 2e-2}


@pytest.mark.parametrize("optimizer", ["adamw", "sgd", "lion", "schedule_free", "adafactor"])
def test_every_optimizer_learns(optimizer, tmp_path):
    rate = RATES.get(optimizer, 5e-3)
    losses = fit(tmp_path, optimizer=optimizer, learning_rate=rate)["curves"]["loss"]["train"]
    assert losses[-1] < 0.6 * losses[0]


@pytest.mark.parametrize("optimizer", ["adamw", "sgd", "lion", "schedule_free", "adafactor"])
def test_every_optimizers_state_comes_back_whole(optimizer, tmp_path):
    """Two steps, a checkpoint, two more: the same as from the checkpoint in a fresh engine."""
    from modelyard.training.checkpoint import Checkpoints

    family, chosen = Classes(), settings(optimizer=optimizer, ema=0.8)
    rows = list(family.batches(tmp_path, "train", 1))[:4]
    torch.manual_seed(0)
    first = Engine(family, Blocks(), chosen, World())
    first.start(0)
    for batch in rows[:2]:
        first.step(batch, 1.0)
    saved = Checkpoints(str(tmp_path), World())
    saved.save(2, first.tensors(), {"engine": first.state()}, {}, {})
    torch.manual_seed(1)
    second = Engine(family, Blocks(), chosen, World())
    second.start(0)
    saved.fill(saved.last(), second.allocate(saved.shapes(saved.last())))
    second.load(saved.state(saved.last())["engine"])
    for engine in (first, second):
        for batch in rows[2:]:
            engine.step(batch, 1.0)
    for name, value in first.tensors().items():
        assert torch.equal(value, second.tensors()[name]), name


@pytest.mark.parametrize("optimizer", ["adamw", "adafactor"])
def test_steps_come_back_where_the_optimizer_counts_them(optimizer):
    """A fused kernel on a GPU reads them there; the device `meta` stands in for one."""
    model = torch.nn.Linear(3, 2, device="meta")
    made = optimizers.make(model, settings(optimizer=optimizer), 0)
    names = {weight: name for name, weight in model.named_parameters()}
    shapes = {"weight|step": (torch.Size([]), torch.float32)}
    device = optimizers.allocate(made, names, shapes)["weight|step"].device
    assert device.type == ("meta" if made.param_groups[0].get("fused") else "cpu")


def test_biases_and_norms_have_no_weight_decay():
    groups = optimizers.make(Blocks(), settings(weight_decay=0.3), 0).param_groups
    assert {one.ndim for one in groups[0]["params"]} == {2}
    assert groups[0]["weight_decay"] == 0.3
    assert {one.ndim for one in groups[1]["params"]} == {1}
    assert groups[1]["weight_decay"] == 0


def shares(steps: int = 100, **values: object) -> list[float]:
    """Of a training of ten epochs of ten steps."""
    rate = LearningRate(settings(**values), steps // 10)
    return [rate(step) for step in range(steps)]


def test_schedules_have_the_shapes_they_are_named_for():
    assert shares() == [1.0] * 100
    cosine = shares(schedule="cosine", floor=0.1)
    assert cosine[50] == pytest.approx(0.55)
    assert cosine[25] == pytest.approx(0.1 + 0.9 * 0.5 * (1 + math.cos(math.pi / 4)))
    assert cosine == sorted(cosine, reverse=True)
    assert shares(schedule="linear")[75] == pytest.approx(0.25)
    assert shares(schedule="step", period=3, decay=0.5)[::10] == pytest.approx(
        [1, 1, 1, 0.5, 0.5, 0.5, 0.25, 0.25, 0.25, 0.125]
    )
    cycle = shares(schedule="one_cycle")
    assert (cycle[0], cycle[30]) == (pytest.approx(0.04), pytest.approx(1.0))
    assert cycle[99] < 0.01
    restarts = shares(schedule="warm_restarts", period=5)
    assert restarts[0] == restarts[50] == 1
    assert restarts[25] == pytest.approx(0.5)


def test_warm_up_rises_to_the_full_rate_and_the_schedule_begins_there():
    warm = shares(schedule="cosine", warmup=0.1)
    assert warm[:10] == pytest.approx([step / 10 for step in range(1, 11)])
    assert warm[10] == 1
    assert warm[55] == pytest.approx(0.5)


def test_a_plateau_cuts_the_rate_after_its_period_and_remembers_it():
    rate = LearningRate(settings(schedule="plateau", period=2, decay=0.1), 10)
    for better in (True, False, True, False, False, False):
        rate.judged(better)
    assert rate(0) == pytest.approx(0.1)
    again = LearningRate(rate.settings, 10)
    again.load(rate.state())
    again.judged(better=False)
    assert again(0) == pytest.approx(0.01)


def test_the_rate_of_the_schedule_is_the_one_that_is_used(tmp_path):
    """With a rate that falls to nothing, the weights of the last steps hardly move."""
    curves = fit(tmp_path, schedule="linear", warmup=0.1)["curves"]["learning_rate"]["train"]
    assert max(curves) == pytest.approx(5e-3)
    assert curves[-1] < 2e-4


@pytest.mark.parametrize("precision", ["tf32", "bf16", "fp16"])
def test_low_precision_learns_nearly_as_well_and_keeps_full_weights(precision, tmp_path):
    full = fit(tmp_path)["curves"]["loss"]["validation"]
    low = fit(tmp_path, precision=precision)["curves"]["loss"]["validation"]
    assert min(low) == pytest.approx(min(full), rel=0.1)
    assert (low == full) == (precision == "tf32")  # CPUs have none
    assert load_weights(Blocks(), tmp_path).state_dict()["enter.weight"].dtype == torch.float32


def test_recomputed_blocks_give_the_same_losses_and_are_really_recomputed(tmp_path, monkeypatch):
    calls: list[torch.nn.Module] = []
    forward = torch.nn.GELU.forward
    monkeypatch.setattr(
        torch.nn.GELU, "forward", lambda self, x: calls.append(self) or forward(self, x)
    )
    plain = fit(tmp_path, epochs=2, patience=2)
    once = len(calls)
    assert fit(tmp_path, epochs=2, patience=2, recompute=True) == plain
    assert len(calls) - once > 1.3 * once  # validation is not


def test_recomputing_a_network_without_blocks_is_refused(tmp_path):
    class Flat(Classes):
        def model(self, assets):
            net = torch.nn.Sequential(torch.nn.Linear(12, 3))
            net.class_weights = torch.nn.Buffer(torch.ones(3), persistent=False)
            return net

    with pytest.raises(UsageError, match=r"no repeated blocks.*recompute=false"):
        fit(tmp_path, Flat(), recompute=True)


def test_blocks_are_found_once_and_whole():
    net = Blocks()
    assert blocks(torch.nn.ModuleDict({"deep": net})) == list(net.blocks)


def test_the_average_of_the_weights_is_what_is_judged_and_kept(tmp_path):
    """With a decay of nearly one the average stays where training began."""
    torch.manual_seed(3)
    start = Blocks().state_dict()
    fit(tmp_path, epochs=1, ema=0.999_999)
    kept = load_weights(Blocks(), tmp_path).state_dict()
    for name, value in start.items():
        torch.testing.assert_close(kept[name], value, atol=1e-4, rtol=1e-3)
    fit(tmp_path, epochs=1)
    moved = load_weights(Blocks(), tmp_path).state_dict()
    assert not torch.allclose(moved["leave.weight"], start["leave.weight"], atol=1e-3)


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("g++") is None, reason="torch.compile needs a C++ compiler")
def test_a_compiled_model_learns_the_same(tmp_path):
    plain = fit(tmp_path, epochs=1)["curves"]["loss"]["train"]
    assert fit(tmp_path, epochs=1, compile=True)["curves"]["loss"]["train"] == pytest.approx(
        plain, rel=1e-4
    )


def test_a_score_of_the_family_can_choose_the_best_epoch(tmp_path):
    report = fit(tmp_path, metric="accuracy", patience=10)
    accuracies = report["curves"]["accuracy"]["validation"]
    assert report["best_epoch"] == accuracies.index(max(accuracies)) + 1


def test_an_unknown_metric_lists_those_there_are(tmp_path):
    with pytest.raises(
        UsageError, match=r"training\.metric 'acuracy'.*Did you mean 'accuracy'.*accuracy, loss"
    ):
        fit(tmp_path, metric="acuracy")


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"optimizer": "schedule_free", "schedule": "cosine"}, "schedule=constant"),
        ({"parallel": "fsdp2", "precision": "fp16"}, "precision=bf16"),
        ({"parallel": "fsdp2", "optimizer": "adafactor"}, "optimizer=adamw"),
        ({"accumulate": 64}, "more than batch_size"),
        ({"optimizer": "adam"}, "adamw"),
    ],
)
def test_settings_that_do_not_go_together_say_which_do(values, said):
    with pytest.raises(ValidationError, match=said):
        settings(**values)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("NVIDIA H100 PCIe", 756e12),
        ("NVIDIA H100 80GB HBM3", 989e12),
        ("NVIDIA GH200 480GB", 989e12),
        ("NVIDIA A100-SXM4-80GB", 312e12),
        ("NVIDIA L40S", 362e12),
        ("Tesla T4", None),
        ("NVIDIA RTX A1000 Laptop GPU", None),
        ("NVIDIA T400 4GB", None),
        ("NVIDIA L40", None),
        ("NVIDIA A10G", None),
    ],
)
def test_peaks_are_those_of_the_very_gpu(name, expected, monkeypatch):
    """`A100` begins `A1000`, which does a hundredth of it."""
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda device: name)
    assert peak(torch.device("cuda"), "bf16") == expected


def test_operations_are_those_of_the_products():
    """2 for each weight of a matrix and example, three times (forward, and twice that backward)."""
    from modelyard.training.engine import Objective

    net = Blocks()
    batch = next(iter(Classes().batches(Path(), "train", 1)))
    weights = sum(one.numel() for one in net.parameters() if one.ndim == 2)
    counted = operations(Objective(Classes(), net), batch)
    assert counted == 3 * 2 * 32 * weights


def test_sigterm_without_a_place_for_checkpoints_says_that_nothing_is_saved(tmp_path, monkeypatch):
    monkeypatch.setattr(Preemption, "requested", True, raising=False)
    monkeypatch.setattr(Preemption, "__init__", lambda self: None)
    with pytest.raises(Interrupted, match="nothing is saved") as stopped:
        fit(tmp_path)
    assert stopped.value.exit_code == 75
