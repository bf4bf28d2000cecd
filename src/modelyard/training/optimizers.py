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
    trained = [one for one in model.parameters() if one.requires_grad]
    groups = [
        {
            "params": [one for one in trained if one.ndim >= 2],
            "weight_decay": settings.weight_decay,
        },
        {"params": [one for one in trained if one.ndim < 2], "weight_decay": 0.0},
    ]
    groups = [group for group in groups if group["params"]]
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
    plain = (int, float, bool)
    return [
        {key: value for key, value in group.items() if isinstance(value, plain)}
        for group in optimizer.param_groups
    ]


def load_numbers(optimizer: torch.optim.Optimizer, saved: list[dict[str, Any]]) -> None:
    """Puts them back."""
    for group, values in zip(optimizer.param_groups, saved, strict=True):
        group.update(values)


def tensors(
    optimizer: torch.optim.Optimizer, names: dict[torch.Tensor, str]
) -> dict[str, torch.Tensor]:
    """State by `<weight's name>|<state's name>`; `names` are those of all trained weights."""
    return {
        f"{names[parameter]}|{key}": value
        for parameter, state in optimizer.state.items()
        for key, value in state.items()
        if isinstance(value, torch.Tensor)
    }


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
    for key, (shape, dtype) in shapes.items():
        name, _, field = key.rpartition("|")
        parameter = by_name[name]
        alike = shape == parameter.shape and dtype == parameter.dtype
        if alike:
            empty = torch.zeros_like(parameter)
        else:
            empty = torch.zeros(shape, dtype=dtype)
        if not alike and field != "step":
            empty = empty.to(parameter.device)
        optimizer.state[parameter][field] = empty.detach()
    return tensors(optimizer, names)
