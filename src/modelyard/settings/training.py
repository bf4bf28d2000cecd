"""How the shared torch loop trains: every knob, with its unit and range."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, model_validator

from modelyard.settings.base import Settings

Optimizer = Literal["adamw", "sgd", "lion", "schedule_free", "adafactor"]
Schedule = Literal["constant", "cosine", "linear", "one_cycle", "step", "plateau", "warm_restarts"]
Precision = Literal["fp32", "tf32", "bf16", "fp16"]


class TrainingSettings(Settings):
    """How the shared torch loop trains."""

    epochs: int = Field(default=40, ge=1)
    """Most passes over the training split."""
    batch_size: int = Field(default=256, ge=1)
    """Examples an optimizer step, over all processes and accumulated parts."""
    learning_rate: float = Field(default=1e-3, gt=0)
    """The optimizer's highest step size; `schedule` says how it changes."""
    weight_decay: float = Field(default=0.01, ge=0)
    """Weight decay of matrices and embeddings; biases and norms (parameters of one axis) have
    none."""
    patience: int = Field(default=8, ge=1)
    """Stop after this many epochs without a better `metric`; the best epoch's weights are kept. Where a
    `schedule` lowers the learning rate, only epochs count at whose end it is halfway down or lower."""
    metric: str = "loss"
    """What says which epoch is better, on the validation split: `loss` (lower), or a score of
    the family's (higher), for example `accuracy`."""
    optimizer: Optimizer = "adamw"
    """adamw (Loshchilov & Hutter 2019), sgd, lion (Chen et al. 2023: take a learning rate 3 to
    10 times smaller), schedule_free (Defazio et al. 2024: AdamW that needs no schedule),
    adafactor (Shazeer & Stern 2018)."""
    momentum: float = Field(default=0.9, ge=0, lt=1)
    """sgd's momentum; the first beta of adamw, lion and schedule_free."""
    schedule: Schedule = "constant"
    """cosine, linear and one_cycle (Smith & Topin 2019) end at `floor` after `epochs`; step
    multiplies by `decay` every `period` epochs, plateau after `period` epochs without a better
    `metric`; warm_restarts (Loshchilov & Hutter 2017) is a cosine of `period` epochs again and
    again."""
    warmup: float = Field(default=0.0, ge=0, lt=1)
    """Share of all steps in which the learning rate rises from nearly 0, before the schedule
    begins."""
    period: int = Field(default=10, ge=1)
    """Epochs: of step, of plateau and of warm_restarts."""
    decay: float = Field(default=0.1, gt=0, le=1)
    """Factor of step and plateau."""
    floor: float = Field(default=0.0, ge=0, le=1)
    """Least learning rate as a share of the highest."""
    clip: float = Field(default=1.0, ge=0)
    """Largest norm of the gradient over all weights; a longer one is shortened. 0: not clipped."""
    accumulate: int = Field(default=1, ge=1)
    """Parts a batch is computed in, one after the other, where it does not fit in memory at
    once."""
    precision: Precision = "fp32"
    """fp32, tf32 (GPUs from Ampere on), bf16, fp16 (with loss scaling). Weights stay fp32 but
    for the computation."""
    compile: bool = False
    """torch.compile: slower to start, faster after; needs a C++ compiler on CPUs."""
    recompute: bool = False
    """Activation checkpointing: repeated blocks are computed again in the backward pass instead
    of remembered."""
    ema: float = Field(default=0.0, ge=0, lt=1)
    """Decay of an exponential moving average of the weights, which is then what is judged and
    kept. 0: none."""
    parallel: Literal["ddp", "fsdp2"] = "ddp"
    """Several processes: each holds the whole model (ddp), or a shard of it (fsdp2)."""
    processes: int = Field(default=0, ge=0, le=64)
    """Processes on a node. 0: one for each GPU of `gpus_per_node`, one on CPUs."""
    deterministic: bool = False
    """Only algorithms that give the same bits each time; an error where there is none. CPUs do
    without."""
    checkpoint_every: int = Field(default=0, ge=0)
    """Optimizer steps between checkpoints. 0: as many as take ten minutes."""
    keep: int = Field(default=2, ge=1)
    """Last checkpoints that are kept; each holds the best epoch's weights too. They are removed
    after the end."""
    checkpoints: str | None = None
    """Folder or fsspec URI for checkpoints, reachable from every node. None: with several nodes
    below `cluster.scratch`, else the variable MODELYARD_CHECKPOINTS, which charts/platform gives to
    steps, else in the home folder."""

    @model_validator(mode="after")
    def _parts_that_go_together(self) -> TrainingSettings:
        if self.optimizer == "schedule_free" and self.schedule != "constant":
            raise ValueError(
                "optimizer schedule_free takes no schedule: --set training.schedule=constant"
            )
        if self.parallel == "fsdp2" and self.precision == "fp16":
            raise ValueError("fsdp2 has no loss scaling over shards: --set training.precision=bf16")
        if self.parallel == "fsdp2" and self.optimizer == "adafactor":
            raise ValueError("adafactor does not work on shards: --set training.optimizer=adamw")
        if self.accumulate > self.batch_size:
            raise ValueError(
                f"accumulate = {self.accumulate} is more than batch_size = {self.batch_size}"
            )
        return self
