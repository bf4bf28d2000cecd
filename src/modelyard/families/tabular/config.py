"""Parameters of the tabular family."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field, model_validator

from modelyard.families.tabular.search import SEARCH
from modelyard.kit.columns.settings import ColumnFeatures
from modelyard.settings.family import FamilyConfig, Settings, TrainingSettings

Task = Literal["auto", "classification", "regression"]
Kind = Literal[
    "linear", "tree", "forest", "bagging", "boosting", "xgboost", "lightgbm", "svm", "stack", "mlp"
]
SetKind = Literal["auto", Kind]
Loss = Literal["auto", "squared", "absolute", "huber", "log", "quantile"]

LIBRARIES: Mapping[SetKind, tuple[str, ...]] = {
    "auto": ("lightgbm",),
    "lightgbm": ("lightgbm",),
    "xgboost": ("xgboost",),
    "stack": ("lightgbm", "xgboost"),
}
"""What a kind needs besides scikit-learn."""
MONOTONE_KINDS: tuple[Kind, ...] = ("lightgbm", "xgboost")
MONOTONE_LOSSES: tuple[Loss, ...] = ("squared", "huber", "log")
"""What can be held to a direction: absolute errors and quantiles set the values of leaves once more
when a tree has grown, and no library keeps the order of neighbours then."""


class TabularFeatures(ColumnFeatures):
    """From a table to numbers."""

    target: str | None = None
    """Column to predict. None: the built-in data's own; required for data of your own."""
    task: Task = "auto"
    """`auto`: regression for a numeric target with more than 20 distinct values, or with 5 to 20
    of which one has fewer than 6 rows; else classification."""
    positive: str | None = None
    """Name of the positive class of a binary target. None: the one whose name means that something
    happened (yes, churned, fraud, 1 against 0), else the rarer one; the run says which."""
    sample: Literal["breast_cancer", "fraud", "diabetes"] = "breast_cancer"
    """Built-in data used when `data.uri` is not set: two classifications and a regression."""
    sample_rows: int = Field(default=20_000, ge=500)
    """Rows of the simulated `fraud` data."""
    sample_drift: float = Field(default=0.0, ge=0, le=1)
    """How far the simulated `fraud` data is shifted from its usual state; 0 is unshifted."""
    split: Literal["auto", "random", "time"] = "auto"
    """`random`: stratified by class. `time`: the latest rows are the test split, those before them
    the validation split. `auto`: by time where `time_column` is set, or where the rows are in the
    order of a date or time column that the target follows; else random."""
    time_column: str | None = None
    """Column of dates or numbers to split by. None: found among the columns."""
    group: str | None = None
    """Column whose rows of one value stay in one split, such as the patient they are of. It is no
    input. None: every row stands for itself."""
    newest_rows: int | None = Field(default=None, ge=20)
    """Only so many rows of the table are used, those with the latest time; the last ones where rows
    are not in the order of a time. Requests whose label came are used besides. None: all."""
    validation_share: float = Field(default=0.15, gt=0, lt=0.5)
    """Share of the rows for choosing thresholds, calibration and early stopping."""
    test_share: float = Field(default=0.2, gt=0, lt=0.5)
    """Share of the rows for the final figures."""


class TabularModel(Settings):
    """Which model."""

    kind: SetKind = "auto"
    """auto (of a small table the best of linear, lightgbm and forest on held-out folds of its
    training rows, linear where it is within a standard error of it; else lightgbm), linear (logistic
    or ridge), tree (one, whose rules the card shows), forest, bagging (a forest whose trees choose from
    all columns at each split; of a regression `forest` is that too), boosting (histogram), xgboost,
    lightgbm, svm (radial kernels, on at most 5,000 rows), stack (linear, lightgbm, svm, forest and
    xgboost together, weighted by held-out folds), mlp (torch)."""
    trees: int = Field(default=400, ge=1)
    """Most trees of a forest or boosting model; boosting stops earlier when validation stops
    improving."""
    learning_rate: float = Field(default=0.05, gt=0, le=1)
    """Shrinkage of each boosted tree."""
    max_leaves: int = Field(default=31, ge=2)
    """Leaves of a boosted tree."""
    max_depth: int | None = Field(default=None, ge=1)
    """Depth limit of a tree. None: no limit; with `kind=tree` by held-out folds."""
    regularization: float = Field(default=1.0, gt=0)
    """L2 penalty of the linear model, and on the leaves of boosting, xgboost and lightgbm; of the
    SVM it is 1 / C."""
    monotone: dict[str, Literal[-1, 1]] = Field(default_factory=dict)
    """Columns of numbers that the answer may only rise with (1) or fall with (-1), all others being
    equal: the value, or the probability of the positive class. For `lightgbm` and `xgboost`."""
    hidden: tuple[Annotated[int, Field(ge=1)], ...] = (128, 64)
    """Widths of the MLP's layers."""
    dropout: float = Field(default=0.1, ge=0, lt=1)
    """Dropout of the MLP."""
    loss: Loss = "auto"
    """What a regression is fitted with: squared, absolute or Huber's errors, squared errors of
    the logarithm (`log`, targets above 0), or the pinball loss of `model.quantile` (`quantile`).
    `auto`: squared, or of a target with a heavy tail the logarithm where that has none, else absolute
    errors (Huber's for `linear`). Not every kind has every loss."""
    quantile: float = Field(default=0.9, gt=0, lt=1)
    """With `loss=quantile`: the share of targets that is to lie below the prediction."""
    coverage: float | None = Field(default=0.9, gt=0, lt=1)
    """Share of the true values that a regression's interval from `low` to `high` is to hold. None: no
    interval; none with `loss=quantile` either."""
    refit: Literal["auto", "on", "off"] = "auto"
    """Whether the model is fitted once more on training and validation rows together, after the
    validation rows have chosen the number of trees, the threshold and the calibration. `auto`: up to
    20,000 such rows; never the MLP or a quantile."""
    class_weight: Literal["none", "balanced"] = "none"
    """`balanced` weighs classes inversely to their frequency while training."""
    calibration: Literal["auto", "none", "sigmoid", "isotonic"] = "auto"
    """Fitted on the validation split, binary classification only. `auto`: isotonic from 1,000
    positive validation rows on, sigmoid from 30 on, else none; and only when it lowers the
    validation log loss in cross-validation."""
    aim: Literal["f1", "recall", "cost", "half"] = "f1"
    """What the threshold of a binary classifier is chosen for on the validation split. `f1`: the
    best F1, often below 0.5, which can cost accuracy. `half`: 0.5, the most probable class. The card
    has the figures of both."""
    least_recall: float = Field(default=0.9, gt=0, le=1)
    """With `aim=recall`: the fewest false alarms at this recall or more."""
    false_positive_cost: float = Field(default=1.0, ge=0)
    """With `aim=cost`: cost of a false alarm, in any unit."""
    false_negative_cost: float = Field(default=5.0, ge=0)
    """With `aim=cost`: cost of a miss, in the same unit."""


class TabularTraining(TrainingSettings):
    """How the MLP is trained, and how long a stack may take."""

    minutes: float = Field(default=10.0, gt=0)
    """With `model.kind=stack`: a kind that would take longer than what is left of this time is not in
    it, which is said; a linear model always is."""


class TabularConfig(FamilyConfig):
    """A run on a table."""

    shortcuts: ClassVar[Mapping[str, str]] = {"target": "features.target"}
    search_space = SEARCH
    resources: ClassVar[Mapping[str, str]] = {"cpu": "500m", "memory": "2Gi", "shm": "256Mi"}
    sizes: ClassVar[Mapping[str, Mapping[str, str]]] = {
        "ingest": {"cpu": "250m", "memory": "1Gi"},
        "deploy": {"cpu": "250m", "memory": "1Gi"},
        "search": {"cpu": "250m", "memory": "1Gi"},
        "job": {"cpu": "250m", "memory": "1Gi"},
    }

    features: TabularFeatures = TabularFeatures()
    """From a table to numbers."""
    model: TabularModel = TabularModel()
    """Which model, and its hyper-parameters."""
    training: TabularTraining = TabularTraining()
    """How the MLP is trained, and how long a stack may take."""

    @classmethod
    def debug(cls) -> TabularConfig:
        """Few trees on 569 real rows."""
        return TabularConfig(
            features=TabularFeatures(sample="breast_cancer"),
            model=TabularModel(kind="lightgbm", trees=30, max_leaves=8, hidden=(16,)),
            training=TabularTraining(epochs=5, batch_size=64),
        )

    def requires(self) -> Mapping[str, str]:
        """The table readers, and the library of `model.kind`."""
        kind = self.model.kind
        libraries = ["pandas", "pyarrow", "sklearn", *LIBRARIES.get(kind, ())]
        needs = dict.fromkeys(libraries, "tabular")
        if kind == "mlp":
            needs["torch"] = "torch"
        return needs

    def refuses_warm_start(self) -> str:
        """Only the MLP is trained on from earlier weights."""
        kind = self.model.kind
        if kind == "mlp":
            return ""
        return f"model.kind = {kind} is always fitted from scratch. Type: --set model.kind=mlp"

    @model_validator(mode="after")
    def _split_is_one(self) -> TabularConfig:
        column = self.features.time_column
        if self.features.split == "random" and column is not None:
            raise ValueError(
                f"features.split = 'random', but features.time_column = {column!r} is to split by. "
                "Type: --set features.time_column=null"
            )
        group = self.features.group
        by_time = self.features.split == "time" or column is not None
        if group is not None and by_time:
            raise ValueError(
                f"features.group = {group!r} divides by groups, and features.split or time_column by time; it is "
                "one or the other. Type: --set features.group=null"
            )
        return self

    def of_kind(self, kind: Kind) -> TabularConfig:
        """This config with a kind in place of `auto`."""
        return self.with_model(kind=kind)

    def with_model(self, **settings: Any) -> TabularConfig:
        """This config with other settings of the model."""
        return self.model_copy(update={"model": self.model.model_copy(update=settings)})

    def for_search(self) -> TabularConfig:
        """The validation rows judge a trial, so no model is fitted on them."""
        model = self.model.model_copy(update={"refit": "off"})
        return self.model_copy(update={"model": model})

    @model_validator(mode="after")
    def _refit(self) -> TabularConfig:
        if self.model.refit != "on":
            return self
        reason = ""
        if self.model.kind == "mlp":
            reason = "the MLP stops by its validation rows"
        elif self.model.loss == "quantile":
            reason = "a quantile is adjusted by its validation rows"
        if reason:
            raise ValueError(
                f"model.refit = 'on': {reason} and is not fitted on them. "
                "Type: --set model.refit=auto"
            )
        return self

    @model_validator(mode="after")
    def _monotone(self) -> TabularConfig:
        model = self.model
        if not model.monotone:
            return self
        if model.kind not in ("auto", *MONOTONE_KINDS):
            raise ValueError(
                f"model.monotone: model.kind = {model.kind!r} cannot be held to a direction; "
                f"{' and '.join(MONOTONE_KINDS)} can. Type: --set model.kind=lightgbm"
            )
        if model.loss not in ("auto", *MONOTONE_LOSSES):
            raise ValueError(
                f"model.monotone: model.loss = {model.loss!r} sets the leaves' values again, which breaks a "
                f"direction; {', '.join(MONOTONE_LOSSES)} do not. Type: --set model.loss=squared"
            )
        return self

    @model_validator(mode="after")
    def _one_source(self) -> TabularConfig:
        sample = self.features.sample
        if self.data.uri is not None and sample != TabularFeatures.model_fields["sample"].default:
            raise ValueError(
                f"features.sample = {sample!r} is built-in data, but data.uri = {self.data.uri!r} is set too. "
                "Type: --set data.uri=null"
            )
        return self
