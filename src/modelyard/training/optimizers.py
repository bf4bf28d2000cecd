"""Optimizers by name, with their weight decay groups, and their state as flat tensors."""

from __future__ import annotations

from typing import Any

import torch

from modelyard.settings.training import TrainingSettings

BETA_2 = {"adamw": 0.999, "lion": 0.99, "schedule_free": 0.999}


def make(
    model: torch.nn.Module, settings: TrainingSettings, warmup_steps: int
) -> torch.optim.Optimizer:
    """The optimizer of `settings` over the model's trained weights; those of fewer than two axes
    have no decay."""
    # Decay is for matrices and kernels: biases and gains of norms are not what overfits.
    decaying, others = [], []
    for parameter in model.parameters():
        if not parameter.requires_grad:
            continue
        if parameter.ndim >= 2:
            decaying.append(parameter)
        else:
            others.append(parameter)
    groups: list[dict[str, Any]] = []
    if decaying:
        groups.append({"params": decaying, "weight_decay": settings.weight_decay})
    if others:
        groups.append({"params": others, "weight_decay": 0.0})
    rate, momentum = settings.learning_rate, settings.momentum
    betas = (momentum, BETA_2.get(settings.optimizer, 0.999))
    if settings.optimizer == "adamw":
        return torch.optim.AdamW(groups, lr=rate, betas=betas, fused=True)
    if settings.optimizer == "sgd":
        return torch.optim.SGD(groups, lr=rate, momentum=momentum)
    if settings.optimizer == "adafactor":
        return torch.optim.Adafactor(groups, lr=rate)
    if settings.optimizer == "lion":
        from lion_pytorch import Lion

        lion: torch.optim.Optimizer = Lion(groups, lr=rate, betas=betas)
        return lion
    from schedulefree import AdamWScheduleFree

    averaging: torch.optim.Optimizer = AdamWScheduleFree(
        groups, lr=rate, betas=betas, warmup_steps=warmup_steps
    )
    return averaging


def numbers(optimizer: torch.optim.Optimizer) -> list[dict[str, Any]]:
    """The groups' plain numbers: Schedule-Free keeps its averaging weights there."""
    found = []
    for group in optimizer.param_groups:
        plain = {key: value for key, value in group.items() if isinstance(value, (int, float))}
        found.append(plain)
    return found


def load_numbers(optimizer: torch.optim.Optimizer, saved: list[dict[str, Any]]) -> None:
    """Puts them back."""
    for group, values in zip(optimizer.param_groups, saved, strict=True):
        group.update(values)


def tensors(
    optimizer: torch.optim.Optimizer, names: dict[torch.Tensor, str]
) -> dict[str, torch.Tensor]:
    """State by `<weight's name>|<state's name>`; `names` are those of all trained weights."""
    found = {}
    for parameter, state in optimizer.state.items():
        for key, value in state.items():
            if isinstance(value, torch.Tensor):
                found[f"{names[parameter]}|{key}"] = value
    return found


def allocate(
    optimizer: torch.optim.Optimizer,
    names: dict[torch.Tensor, str],
    shapes: dict[str, tuple[torch.Size, Any]],
) -> dict[str, torch.Tensor]:
    """Gives the optimizer empty state of the saved `shapes` (and dtypes), to be filled in place;
    the same by name.

    State of a weight's own shape is sharded as the weight is.
    """
    by_name = {name: parameter for parameter, name in names.items()}
    fused: set[torch.Tensor] = set()
    for group in optimizer.param_groups:
        if group.get("fused"):
            fused.update(group["params"])
    for key, (shape, dtype) in shapes.items():
        name, _, field = key.rpartition("|")
        parameter = by_name[name]
        if field == "step" and parameter not in fused:
            # Steps are counted on the CPU; only a fused kernel reads them where the weight is.
            empty = torch.zeros(shape, dtype=dtype)
        elif shape == parameter.shape and dtype == parameter.dtype:
            empty = torch.zeros_like(parameter)
        else:
            empty = torch.zeros(shape, dtype=dtype, device=parameter.device)
        optimizer.state[parameter][field] = empty.detach()
    return tensors(optimizer, names)
