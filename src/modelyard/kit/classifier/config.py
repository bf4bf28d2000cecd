"""Parameters that all classifiers of files have. A family extends the sections by its own."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Literal

from pydantic import Field

from modelyard.settings.family import FamilyConfig, Settings, TrainingSettings


class FileFeatures(Settings):
    """From labelled files to arrays."""

    classes: tuple[str, ...] = ()
    """The only labels allowed. Empty: those that the data has."""
    class_folder: Annotated[int, Field(ge=1, le=20)] | Literal["path", "last"] = "path"
    """Which folders of a file's path are its class, where no table names labels: `path`, all of them
    (`animals/dogs`); `last`, the innermost; 1, the outermost; 2, the next, and so on."""
    class_pattern: str | None = None
    """Regular expression with one group, searched in a file's own name: the class, where names hold it
    (`cat.0.jpg`: `'([a-z]+)'`). None: folders or a table name the classes."""
    positive: str | None = None
    """Name of the positive class of two. None: the one whose name means that something happened
    (defect, yes, pneumonia), else the rarer one; the run says which."""
    group_pattern: str | None = None
    """Regular expression with one group, searched in a file's name: files with equal groups (of one
    patient, of one scene) stay in one split. `labels.csv` can have a column `group` instead. None:
    each file by itself."""
    validation_share: float = Field(default=0.15, gt=0, lt=0.5)
    """Share of the files for early stopping, calibration and the threshold, where the data names
    none."""
    test_share: float = Field(default=0.2, gt=0, lt=0.5)
    """Share of the files for the final figures, where the data names none."""
    most_megabytes: float = Field(default=10.0, gt=0, le=500)
    """Larger files are refused, in the data and in requests."""


class RowFeatures(FileFeatures):
    """From labelled rows to arrays."""

    text_column: str | None = None
    """Column, or field of JSON rows, that holds the text. None: the one that is called so (text,
    review, message, …), else the one with the longest cells; the run says which."""
    label_column: str | None = None
    """Column that holds the label. None: the one that is called so (label, class, sentiment, …),
    else the only other one; the run says which."""


class TokenFeatures(RowFeatures):
    """From labelled texts to tokens."""

    vocabulary: int = Field(default=8_000, ge=100, le=200_000)
    """Most tokens of the tokenizer that is trained on the training texts; a checkpoint brings its
    own."""
    lower: bool | None = None
    """Whether capitals are read as small letters, where the tokenizer is trained here. None: they are,
    unless words are tagged, since many names begin with one."""
    length: int | None = Field(default=None, ge=8, le=4_096)
    """Most tokens that the model reads of a text. None: as many as 95 of 100 training texts have,
    256 at most."""
    long: Literal["head", "ends"] = "head"
    """What is read of a longer text: its `head`, or both `ends` (Sun et al. 2019, section 5.3.1)."""


class ClassifierModel(Settings):
    """What the network learns and how its answer is chosen."""

    class_weight: Literal["none", "balanced"] = "none"
    """`balanced` weighs classes inversely to their frequency while training."""
    calibration: Literal["temperature", "none"] = "temperature"
    """Divide the logits by one number, fitted on the validation split."""
    least_sensitivity: float | None = Field(default=None, gt=0, le=1)
    """Two classes, diagnosis: the threshold with the highest specificity that still finds this
    share of the positive validation examples. None: the more probable class is the answer."""


class ClassifierTraining(TrainingSettings):
    """How the network is trained."""

    label_smoothing: float = Field(default=0.05, ge=0, lt=1)
    """Share of the target that is spread over all classes in training."""


class ClassifierConfig(FamilyConfig):
    """A run on labelled files."""

    features: FileFeatures = FileFeatures()
    """From labelled files to arrays."""
    model: ClassifierModel = ClassifierModel()
    """Which network."""
    training: ClassifierTraining = ClassifierTraining()
    """How it is trained."""

    def requires(self) -> Mapping[str, str]:
        """torch, and scikit-learn to calibrate and judge."""
        return {"sklearn": "image", "torch": "torch"}
