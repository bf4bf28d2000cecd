"""Parameters of the recommender family."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, ClassVar, Literal, NamedTuple

from pydantic import Field, model_validator

from modelyard.families.recommender.search import SEARCH
from modelyard.settings.family import DateOrder, FamilyConfig, Settings, TrainingSettings

Kind = Literal["lightgcn", "ncf", "multitask", "din", "sequence", "ease"]
SetKind = Literal["auto", Kind]


class Usual(NamedTuple):
    """Defaults of one kind."""

    negatives: int
    regularization: float
    columns: bool
    """Whether it takes columns of users and items."""


USUAL: Mapping[SetKind, Usual] = {
    # Those of the network that it may become.
    "auto": Usual(16, 1e-3, False),
    "lightgcn": Usual(16, 1e-3, False),
    "ncf": Usual(4, 1e-2, False),
    "multitask": Usual(4, 1e-2, True),
    "din": Usual(4, 1e-2, True),
    "sequence": Usual(64, 0.0, True),
    # Without negatives; its penalty is chosen by the validation split: see ease.py.
    "ease": Usual(1, 0.0, False),
}


class RecommenderFeatures(Settings):
    """From a log of interactions to splits."""

    sample_users: int = Field(default=2_500, ge=50)
    """Users of the built-in, simulated data."""
    sample_items: int = Field(default=400, ge=50)
    """Items of the built-in, simulated data."""
    min_rating: float | None = None
    """Ratings from it on count as liked; interactions rated lower are left out, unrated ones stay.
    None: all above 0 count."""
    user_column: str | None = None
    """Column of the users, in the log and in a list of users. None: recognised by its name (`user`,
    `customer_id`, …)."""
    item_column: str | None = None
    """Column of the items, in the log and in a list of items. None: recognised by its name (`item`,
    `product_id`, …)."""
    time_column: str | None = None
    """Column of the times. None: recognised by its name (`timestamp`, `date`, …). Without times, what is
    left out of a history is drawn."""
    in_order: bool = False
    """The rows of each user are in the order of time, though no column says when, as in files that hold
    users and items only: the last ones judge, and sequence takes the log."""
    rating_column: str | None = None
    """Column of the ratings. None: recognised by its name (`rating`, `stars`, …), where there is one."""
    anonymous: Literal["refuse", "drop"] = "drop"
    """What happens to interactions without a user, such as purchases of guests: drop leaves them out, and
    counts them."""
    dates: DateOrder = "auto"
    """How dates such as 01/02/2026 are read: day_first or month_first. auto: as a day above 12 in
    the column shows, and none is guessed."""
    core: int = Field(default=1, ge=1)
    """k of the k-core: users and items with fewer interactions are left out until none is left.
    1 keeps all."""
    least_interactions: int = Field(default=3, ge=3)
    """Users with fewer interactions are trained on and not judged."""
    columns: bool = True
    """Whether columns of users and items go into multitask, din and sequence."""
    drop: tuple[str, ...] = ()
    """Columns of users and items to leave out."""
    max_categories: int = Field(default=50, ge=2)
    """Categories a column keeps; rarer and unseen ones share a bucket."""
    max_words: int = Field(default=300, ge=10)
    """Words of a text column that become inputs, the most frequent first."""

    @property
    def numeric(self) -> Literal["identity"]:
        """Numbers go into the graphs as they are: the graphs standardize them."""
        return "identity"


class RecommenderModel(Settings):
    """Which model."""

    kind: SetKind = "auto"
    """auto (ease where there are at most 6,000 items and neither another setting of this section,
    `compress` nor `continual.memory` asks for a network, else lightgcn; the kind of an earlier model
    that the run continues), lightgcn (graph convolution, BPR loss), ncf (neural collaborative filtering: NeuMF),
    multitask (towers for click, conversion and dwell time; the data needs these columns),
    din (attention over a user's history by the candidate item), sequence (a causal transformer over
    the ordered history), ease (a weight for each pair of items, in closed form; of at most 6,000
    items)."""
    dimensions: int = Field(default=64, ge=2)
    """Length of a user's and of an item's embedding; ncf has two of each. sequence divides it among
    `heads`."""
    layers: int = Field(default=3, ge=0)
    """Graph convolutions of lightgcn. 0 is matrix factorization."""
    hidden: tuple[Annotated[int, Field(ge=1)], ...] = Field(default=(64, 32, 16), min_length=1)
    """Widths of ncf's layers; multitask's experts and towers and din's layers have the last two."""
    negatives: int | None = Field(default=None, ge=1)
    """Items drawn for each interaction, among those that the user has not had in training. None:
    16 for lightgcn and 64 for each user of sequence, where they cost little, 4 for the other
    kinds."""
    regularization: float | None = Field(default=None, ge=0)
    """L2 penalty on the embeddings in a batch. None: 1e-3 for lightgcn, 0 for sequence,
    which has dropout, 1e-2 for the others, whose layers learn single users by heart; for ease, whose
    penalty is in interactions, the best of 30, 100, 300 and 1,000 on the validation split."""
    bottom: Literal["mmoe", "shared"] = "mmoe"
    """What multitask's towers stand on: experts mixed by a gate for each task, or one layer
    shared by all."""
    experts: int = Field(default=4, ge=1)
    """Experts of `mmoe`."""
    rank_by: Literal["click", "conversion", "dwell"] = "click"
    """What multitask puts first: the chance of a click, of a click that converts, or the
    expected seconds."""
    length: int = Field(default=50, ge=1, le=1000)
    """Items of a history that din and sequence look at: the last ones."""
    units: int = Field(default=16, ge=1)
    """Hidden units of din's attention."""
    candidates: int = Field(default=200, ge=100)
    """Items that din scores for a request: those nearest to the mean of the history."""
    blocks: int = Field(default=2, ge=1)
    """Transformer blocks of sequence."""
    heads: int = Field(default=2, ge=1)
    """Attention heads of sequence; they divide `dimensions`."""
    dropout: float = Field(default=0.2, ge=0, lt=1)
    """Share of values that sequence sets to zero in training."""

    @model_validator(mode="after")
    def _ease_is_penalized(self) -> RecommenderModel:
        # Without a penalty there is no solution where two items were had by the same users.
        if self.kind == "ease" and self.regularization == 0:
            raise ValueError("model.regularization = 0: model.kind = ease takes one above 0")
        return self

    @model_validator(mode="after")
    def _heads_divide_dimensions(self) -> RecommenderModel:
        if self.kind == "sequence" and self.dimensions % self.heads:
            raise ValueError(
                f"model.dimensions = {self.dimensions} is no multiple of model.heads = {self.heads}"
            )
        return self

    @property
    def drawn(self) -> int:
        """`negatives`, or the default of the kind."""
        if self.negatives is None:
            return USUAL[self.kind].negatives
        return self.negatives

    @property
    def penalty(self) -> float:
        """`regularization`, or the default of the kind."""
        usual = USUAL[self.kind].regularization
        if self.regularization is None:
            return usual
        return self.regularization


class RecommenderTraining(TrainingSettings):
    """How the shared torch loop trains."""

    epochs: int = Field(default=120, ge=1)
    """Most passes over the training interactions."""
    batch_size: int = Field(default=1024, ge=1)
    """Interactions an optimizer step; lightgcn convolves over the whole graph in each."""
    learning_rate: float = Field(default=5e-3, gt=0)
    """AdamW's step size, the same all along."""
    weight_decay: float = Field(default=0.0, ge=0)
    """Decoupled weight decay; `model.regularization` is the penalty of the papers."""


class RecommenderConfig(FamilyConfig):
    """A run on a log of interactions."""

    search_space = SEARCH
    resources: ClassVar[Mapping[str, str]] = {"cpu": "1", "memory": "4Gi", "shm": "1Gi"}

    features: RecommenderFeatures = RecommenderFeatures()
    """From a log of interactions to splits."""
    model: RecommenderModel = RecommenderModel()
    """Which model, and its hyper-parameters."""
    training: RecommenderTraining = RecommenderTraining()
    """How it is trained."""

    @classmethod
    def debug(cls) -> RecommenderConfig:
        """A few users, a short training."""
        return RecommenderConfig(
            features=RecommenderFeatures(sample_users=150, sample_items=80),
            model=RecommenderModel(dimensions=16, layers=2),
            training=RecommenderTraining(epochs=15, batch_size=512, learning_rate=2e-2),
        )

    def requires(self) -> Mapping[str, str]:
        """Training needs torch; answering does not."""
        return {"torch": "torch", "safetensors": "torch"}
