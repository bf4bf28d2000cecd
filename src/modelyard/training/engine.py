"""The model on its device, wrapped for its processes and precision: one optimizer step, one pass
of validation."""

from __future__ import annotations

import itertools
import warnings
from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import TYPE_CHECKING, Any, Literal

import torch
from torch import nn
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import FSDPModule, MixedPrecisionPolicy, fully_shard

from modelyard.errors import UsageError
from modelyard.settings.training import TrainingSettings
from modelyard.training import optimizers
from modelyard.training.throughput import operations
from modelyard.training.world import World

if TYPE_CHECKING:
    from modelyard.family import Trainable

Batch = dict[str, torch.Tensor]
AUTOCAST = {"bf16": torch.bfloat16, "fp16": torch.float16}
_STATE = "optimizer/"
"""What the names of the optimizer's tensors begin with in a checkpoint."""


class Objective(nn.Module):
    """A family's loss as a module's forward: what processes must go through to share gradients."""

    def __init__(self, family: Trainable, model: nn.Module) -> None:
        super().__init__()
        self.family, self.model = family, model

    def forward(self, batch: Batch, scores: bool = False) -> Batch:
        """Mean `loss` of a batch, a scalar, and where they are wanted the family's scores."""
        loss = {"loss": self.family.loss(self.model, batch)}
        if scores:
            return loss | self.family.scores(self.model, batch)
        return loss


class Engine:
    """A model in training."""

    def __init__(
        self, family: Trainable, model: nn.Module, settings: TrainingSettings, world: World
    ) -> None:
        self.family, self.settings, self.world = family, settings, world
        self.model = model.to(world.device)
        if settings.recompute:
            _recompute(self.model)
        self._objective = Objective(family, self.model)
        if settings.compile:
            self._objective.compile()
        self.objective = self._spread()
        self.optimizer: torch.optim.Optimizer | None = None
        self.scaler = torch.amp.GradScaler(world.device.type, enabled=settings.precision == "fp16")
        self.names: dict[torch.Tensor, str] = {}
        for name, weight in self.model.named_parameters():
            if weight.requires_grad:
                self.names[weight] = name
        self.average: dict[str, torch.Tensor] = {}
        if settings.ema:
            self.average = self._trained()
        self.steps = 0
        self.reset()

    def reset(self) -> None:
        """Begins an epoch's sums: of the loss, weighed, and of its weights."""
        self.sums = torch.zeros(2, dtype=torch.float64, device=self.world.device)

    def start(self, warmup_steps: int) -> None:
        """Makes the optimizer."""
        self.optimizer = optimizers.make(self.model, self.settings, warmup_steps)
        self._switch("train")

    def step(self, batch: Batch, rate: float, most_parts: int | None = None) -> None:
        """One optimizer step on this process's part of a batch; `rate` is the share of the learning
        rate, `most_parts` how many parts it may be computed in, where `accumulate` would be more.

        The gradient is that of the mean over the whole batch, however it is divided: each part's
        mean loss counts by its weight.
        """
        assert self.optimizer is not None, "start() comes first"
        count = self.settings.accumulate
        if most_parts is not None:
            count = min(count, most_parts)
        # Schedule-Free needs no schedule, and warms up by itself.
        if self.settings.optimizer != "schedule_free":
            for group in self.optimizer.param_groups:
                group["lr"] = self.settings.learning_rate * rate
        if not self.objective.training:
            self.objective.train()
        parts = _parts(batch, count)
        weights = [self._weight(part) for part in parts]
        # A whole batch in one part needs no share, and no sum over the network for it.
        total = None
        if len(parts) > 1 or self.world.size > 1:
            total = self.world.total(torch.stack(weights).sum())
        for number, (part, weight) in enumerate(zip(parts, weights, strict=True)):
            alone = number < len(parts) - 1
            with self._alone(alone), self._precision():
                loss = self.objective(part)["loss"]
            with self._alone(alone):
                share = loss
                if total is not None:
                    # The processes' gradients are averaged: their number makes a sum of it again.
                    share = loss * (weight * self.world.size / total)
                self.scaler.scale(share).backward()
            self.sums += torch.stack([loss.detach() * weight, weight]).to(self.sums)
        self._update()

    def _update(self) -> None:
        assert self.optimizer is not None
        # Before the limit: it is one of the gradient, not of the scaled one.
        self.scaler.unscale_(self.optimizer)
        if self.settings.clip:
            nn.utils.clip_grad_norm_(self.names, self.settings.clip)
        self.scaler.step(self.optimizer)
        self.scaler.update()
        self.optimizer.zero_grad(set_to_none=True)
        self.steps += 1
        if self.average:
            with torch.no_grad():
                # All weights in one call, where one by one starting the kernels takes longest.
                averages = list(self.average.values())
                weights = [weight.detach() for weight in self.names]
                torch._foreach_lerp_(averages, weights, 1 - self.settings.ema)

    def mean(self) -> float:
        """Mean loss since `reset`, over all processes."""
        return _mean(self.world.total(self.sums.clone()))

    @torch.no_grad()
    def validate(self, batches: Iterable[Batch]) -> dict[str, float]:
        """Mean `loss` and the family's scores over this process's parts of all batches, and
        everyone's."""
        self.objective.eval()
        sums: dict[str, torch.Tensor] = {}
        for batch in batches:
            weight = self._weight(batch)
            with self._precision():
                found = self.objective(batch, scores=True)
            for name, value in found.items():
                # In double: the loss of a million examples added up in float32 loses digits.
                part = torch.stack([value.detach() * weight, weight]).double()
                sums[name] = sums.get(name, 0) + part
        return {name: _mean(self.world.total(pair)) for name, pair in sums.items()}

    @contextmanager
    def judged(self) -> Iterator[None]:
        """Within the block the model has the weights that are judged and kept: the average,
        where there is one."""
        self._share_statistics()
        self._switch("eval")
        before: dict[str, torch.Tensor] = {}
        if self.average:
            before = self._trained()
        self._put(self.average)
        try:
            yield
        finally:
            self._put(before)
            self._switch("train")

    def weights(self) -> dict[str, torch.Tensor]:
        """All weights, whole, on the CPU; {} but for the leader, where they are sharded."""
        from torch.distributed.checkpoint.state_dict import StateDictOptions, get_model_state_dict

        if isinstance(self.objective, FSDPModule):
            options = StateDictOptions(full_state_dict=True, cpu_offload=True)
            values: dict[str, Any] = get_model_state_dict(self.model, options=options)
        elif self.world.leads:
            values = self.model.state_dict()
        else:
            values = {}
        # Copies: training continues in the same memory.
        return {name: value.detach().cpu().clone().contiguous() for name, value in values.items()}

    def tensors(self) -> dict[str, torch.Tensor]:
        """All that a checkpoint keeps, by name; shards where the model is sharded."""
        assert self.optimizer is not None
        values = {f"model/{name}": value for name, value in self.model.state_dict().items()}
        values |= {f"average/{name}": value for name, value in self.average.items()}
        state = optimizers.tensors(self.optimizer, self.names)
        return values | {f"{_STATE}{name}": value for name, value in state.items()}

    def allocate(
        self, shapes: dict[str, tuple[torch.Size, torch.dtype]]
    ) -> dict[str, torch.Tensor]:
        """The tensors that a checkpoint of these shapes fills."""
        assert self.optimizer is not None
        kept = {}
        for name, shape in shapes.items():
            if name.startswith(_STATE):
                kept[name.removeprefix(_STATE)] = shape
        optimizers.allocate(self.optimizer, self.names, kept)
        return self.tensors()

    def state(self) -> dict[str, Any]:
        """The plain numbers that a checkpoint keeps."""
        assert self.optimizer is not None
        return {
            "groups": optimizers.numbers(self.optimizer),
            "scaler": self.scaler.state_dict(),
            "steps": self.steps,
        }

    def load(self, state: dict[str, Any]) -> None:
        """Puts them back."""
        assert self.optimizer is not None
        optimizers.load_numbers(self.optimizer, state["groups"])
        self.scaler.load_state_dict(state["scaler"])
        self.steps = int(state["steps"])

    def operations(self, batch: Batch) -> float:
        """Floating point operations of a training step on `batch` in this process; 0 where
        compilation hides them."""
        if self.settings.compile and isinstance(self.objective, FSDPModule):
            return 0.0
        return float(operations(self._objective, batch))

    def _spread(self) -> nn.Module:
        if self.world.size == 1:
            return self._objective
        device = self.world.device
        if self.settings.parallel == "fsdp2":
            return self._sharded(device)
        for value in [*self.model.parameters(), *self.model.buffers()]:
            if not value.is_sparse:
                torch.distributed.broadcast(value.data, src=0)
        if device.type == "cuda":
            converted = nn.SyncBatchNorm.convert_sync_batchnorm(self.model)  # type: ignore[no-untyped-call]
            self._objective.model = self.model = converted
        devices = None
        if device.type == "cuda":
            devices = [device]
        # Buffers stay each process's own: a sparse one cannot travel, and _share_statistics
        # averages the others. The argument that is to come in its place still syncs them once.
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", FutureWarning)
            return nn.parallel.DistributedDataParallel(
                self._objective,
                device_ids=devices,
                broadcast_buffers=False,
                init_sync=False,
                gradient_as_bucket_view=True,
            )

    def _sharded(self, device: torch.device) -> nn.Module:
        mesh = init_device_mesh(device.type, (self.world.size,))
        policy = MixedPrecisionPolicy()
        low = AUTOCAST.get(self.settings.precision)
        if low:
            policy = MixedPrecisionPolicy(param_dtype=low, reduce_dtype=torch.float32)
        # Block by block: only one at a time is gathered whole.
        for block in blocks(self.model):
            fully_shard(block, mesh=mesh, mp_policy=policy)
        fully_shard(self._objective, mesh=mesh, mp_policy=policy)
        return self._objective

    def _alone(self, wanted: bool) -> AbstractContextManager[Any]:
        """Keeps gradients in this process: only the last part of a batch shares them."""
        if wanted and isinstance(self.objective, nn.parallel.DistributedDataParallel):
            return self.objective.no_sync()
        if isinstance(self.objective, FSDPModule):
            self.objective.set_requires_gradient_sync(not wanted)
        return nullcontext()

    def _precision(self) -> AbstractContextManager[Any]:
        low = AUTOCAST.get(self.settings.precision)
        if low:
            return torch.autocast(self.world.device.type, low)
        return nullcontext()

    def _trained(self) -> dict[str, torch.Tensor]:
        """A copy of the weights as they are now."""
        return {name: weight.detach().clone() for weight, name in self.names.items()}

    def _weight(self, batch: Batch) -> torch.Tensor:
        weight = self.family.weight(self.model, batch)
        return torch.as_tensor(weight, dtype=torch.float32, device=self.world.device)

    def _switch(self, mode: Literal["train", "eval"]) -> None:
        """Schedule-Free has other weights for learning than for judging."""
        if hasattr(self.optimizer, mode):
            getattr(self.optimizer, mode)()

    def _share_statistics(self) -> None:
        """Running statistics as their mean over all processes, and the others from the leader."""
        if self.world.size == 1:
            return
        for module in self.model.modules():
            if not isinstance(module, nn.modules.batchnorm._NormBase):
                continue
            for value in module.buffers(recurse=False):
                if value.is_floating_point():
                    self.world.total(value).div_(self.world.size)

    @torch.no_grad()
    def _put(self, values: dict[str, torch.Tensor]) -> None:
        for weight, name in self.names.items():
            if name in values:
                weight.copy_(values[name])


def blocks(model: nn.Module) -> list[nn.Module]:
    """The repeated blocks of a network: members of its outermost module lists."""
    found: list[nn.Module] = []
    for child in model.children():
        if isinstance(child, nn.ModuleList) and list(child.parameters()):
            found += list(child)
        else:
            found += blocks(child)
    return found


def _mean(sums: torch.Tensor) -> float:
    """Of a weighed sum and its weight: not a number where nothing counted."""
    value, weight = sums.tolist()
    if weight:
        return float(value / weight)
    return float("nan")


def _parts(batch: Batch, count: int) -> list[Batch]:
    """At most `count` parts of equal size, one example more or less."""
    if count == 1:
        return [batch]
    rows = len(next(iter(batch.values())))
    cuts = [rows * number // count for number in range(count + 1)]
    parts = []
    for start, end in itertools.pairwise(cuts):
        if end > start:
            parts.append({name: value[start:end] for name, value in batch.items()})
    return parts


def _recompute(model: nn.Module) -> None:
    """Activation checkpointing (Chen et al. 2016) of the repeated blocks.

    Raises:
        UsageError: there are none.
    """
    from torch.utils.checkpoint import checkpoint

    repeated = blocks(model)
    if not repeated:
        raise UsageError(
            "training.recompute: this network has no repeated blocks. Type: --set training.recompute=false, and "
            "--set training.accumulate=2 where memory is short"
        )
    for block in repeated:
        forward = block.forward

        # `_forward` is bound here: a closure would call that of the last block.
        def again(*inputs: Any, _forward: Any = forward, **named: Any) -> Any:
            if torch.is_grad_enabled():
                return checkpoint(_forward, *inputs, use_reentrant=False, **named)
            return _forward(*inputs, **named)

        block.forward = again
