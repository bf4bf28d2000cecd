"""The `compress` section: a smaller network that is taught by a larger one, or shrunk after its
training."""

from __future__ import annotations

from collections.abc import Mapping

from pydantic import Field, field_validator

from modelyard.settings.base import Settings


class CompressSettings(Settings):
    """What training does to make a model small and fast: a teacher, pruning, training for int8."""

    teacher: str | None = None
    """A package of the same family whose answers the network learns besides the labels (Hinton et
    al. 2015): `champion`, `NAME@VERSION`, a run's id, or the folder or URI of a package. The network
    is as small as the section `model` says. None: labels only."""
    temperature: float = Field(default=4.0, ge=1, le=20)
    """What teacher's and student's logits are divided by before they are compared: higher shows
    more of how the teacher ranks wrong answers."""
    teacher_share: float = Field(default=0.7, ge=0, le=1)
    """Share of the loss that comes from the teacher's logits; the rest is that of the labels."""
    feature_weight: float = Field(default=0.0, ge=0)
    """Weight of the difference between the attention maps of the last stage (Zagoruyko & Komodakis
    2017), added to the loss; both networks need maps of the same rows and columns. 0: none."""
    prune: float = Field(default=0.0, ge=0, lt=1)
    """Share of channels that is removed from each layer after training, those of least weight; the
    network is really smaller and faster then. Layers of 32 channels and more keep a multiple of 16,
    which processors compute at once. Without half of its channels a network has about a quarter of
    its weights. 0: none."""
    sparsity: float = Field(default=0.0, ge=0, lt=1)
    """Share of the weights that is set to zero after training, the smallest of all layers. Files
    get smaller only where they are compressed, and CPUs compute as long as before. 0: none."""
    aware_epochs: int = Field(default=0, ge=0)
    """Epochs in which a copy of the trained network learns to bear 8 bits: export makes the variant
    `onnx-int8-aware` of it. 0: none."""
    recovery_epochs: int = Field(default=10, ge=1)
    """Most epochs of training after pruning and after setting weights to zero."""
    recovery_rate: float = Field(default=0.3, gt=0, le=1)
    """Learning rate of all these later epochs, as a share of `training.learning_rate`."""

    @field_validator("teacher")
    @classmethod
    def _none_for_empty(cls, teacher: str | None) -> str | None:
        # A pipeline's form sends an empty text for a field that is left open.
        return teacher or None

    def requires(self) -> Mapping[str, str]:
        """What is needed besides the family's own: import name to the wheel's extra."""
        if self.prune:
            return {"torch_pruning": "torch"}
        return {}

    @property
    def wanted(self) -> bool:
        """Whether training does anything of this section."""
        shrinks = self.prune > 0 or self.sparsity > 0
        return self.teacher is not None or shrinks or self.aware_epochs > 0
