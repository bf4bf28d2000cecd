"""Parameters of the text family."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, Literal

from pydantic import Field, model_validator

from modelyard.kit.classifier.config import (
    ClassifierConfig,
    ClassifierModel,
    ClassifierTraining,
    TokenFeatures,
)
from modelyard.kit.labels.config import LabelsFeatures
from modelyard.settings.search import Range, choice, real
from modelyard.settings.training import Schedule


class TextFeatures(TokenFeatures, LabelsFeatures):
    """From files to tokens."""

    task: Literal["classify", "tag", "answer", "translate"] = "classify"
    """classify: labels of a text. tag: spans in it, from words with tags in BIO. answer: the words of
    a text that answer a question. translate: another text, from pairs of source and target."""
    prompt: str = ""
    """translate: what stands before every source, such as the task that a checkpoint of T5 knows,
    `translate English to German: `."""
    most_megabytes: float = Field(default=2.0, gt=0, le=100)
    """Longer texts are refused, in the data and in requests."""
    sample_texts: int | None = Field(default=None, ge=200)
    """Texts of the built-in data: docstrings of Python's standard library by area, all unless set;
    of the task tag, simulated sentences, 2,400 unless set; of the task answer, simulated notes, 1,200
    unless set; of the task translate, phrases in English and German, 6,000 unless set."""


class TextModel(ClassifierModel):
    """Which network."""

    kind: Literal["rnn", "lstm", "bert", "t5"] = "lstm"
    """rnn (gated units, GRU), lstm (both read a text in both directions), bert (a transformer). The
    task translate has t5 (an encoder and a decoder) in place of lstm."""
    width: int = Field(default=96, ge=8, le=2_048)
    """Size of a token's state; of a transformer a multiple of 32."""
    layers: int = Field(default=2, ge=1, le=48)
    """Of a bert; of a t5, encoder and decoder each."""
    wide: bool = True
    """rnn and lstm, for labels and tags: whether the pieces of a text and its pairs of
    neighbouring pieces have a part of their own in the answer, wherever they stand: what TF-IDF
    and logistic regression see. For labels a logistic regression of them is fitted after the
    network, and the answer's logits are the mean of both; where the run continues an earlier model,
    or `compress` changes the network, all of it trains together. Of a tag, the word's first piece and
    those next to it, and its first and last letters."""
    dropout: float | None = Field(default=None, ge=0, lt=1)
    """Before the last layer, and of the tokens' states, in training. None: 0.5, of a t5 0.1."""
    pretrain_epochs: int = Field(default=0, ge=0)
    """bert: passes over the training texts in which hidden tokens are guessed (Devlin et al. 2019,
    section 3.1), before the labels are learnt."""
    checkpoint: str | None = None
    """bert: folder of a trained encoder (config.json, *.safetensors, tokenizer.json), or with `hub`
    its name on the Hugging Face hub: BERT, DistilBERT, RoBERTa, ELECTRA. t5: the same of an encoder
    and decoder, T5, mT5 or Flan-T5. None: from scratch."""
    hub: bool = False
    """Whether `checkpoint` may be downloaded."""
    checkpoint_rate: float = Field(default=0.05, gt=0, le=1)
    """A checkpoint learns with this share of `training.learning_rate`."""


class TextTraining(ClassifierTraining):
    """How the network is trained."""

    epochs: int = Field(default=8, ge=1)
    """Most passes over the training split."""
    batch_size: int = Field(default=32, ge=2)
    """Texts an optimizer step."""
    learning_rate: float = Field(default=3e-3, gt=0)
    """Of a network from scratch."""
    schedule: Schedule = "one_cycle"
    """How the learning rate moves, as in every family."""
    patience: int = Field(default=3, ge=1)
    """Epochs without a better validation loss after which training stops, counted from where the
    learning rate is halfway down."""
    hide: float = Field(default=0.2, ge=0, lt=1)
    """Share of a training text's tokens that are hidden at random."""


class TextConfig(ClassifierConfig):
    """A run on texts."""

    shortcuts: ClassVar[Mapping[str, str]] = {
        "kind": "model.kind",
        "task": "features.task",
        "target": "features.label_column",
    }
    search_space: ClassVar[Mapping[str, Range]] = {
        "model.width": choice(64, 96, 128, 192, when={"model.checkpoint": (None,)}),
        "model.dropout": real(0.0, 0.6),
        "training.hide": real(0.0, 0.3),
        "training.learning_rate": real(3e-4, 1e-2, log=True),
        "training.weight_decay": real(1e-3, 0.3, log=True),
        "training.batch_size": choice(16, 32, 64),
    }

    features: TextFeatures = TextFeatures()
    """From files to tokens."""
    model: TextModel = TextModel()
    """Which network."""
    training: TextTraining = TextTraining()
    """How it is trained."""

    @property
    def task(self) -> str:
        """The classes that serve it: see `tasks`."""
        if self.features.task != "classify":
            return self.features.task
        if self.features.labels == "many":
            return "classify_many"
        return "classify"

    @classmethod
    def debug(cls) -> TextConfig:
        """A narrow LSTM on 900 docstrings, of 48 tokens each."""
        return cls(
            features=TextFeatures(sample_texts=900, length=48, vocabulary=2_000),
            model=TextModel(width=48, dropout=0.3),
            training=TextTraining(epochs=9, batch_size=16, learning_rate=6e-3, hide=0.1),
        )

    def for_features(self) -> Mapping[str, Mapping[str, Any]]:
        """The checkpoint: its tokenizer reads the texts."""
        model = self.model
        if model.checkpoint is None:
            return {}
        chosen = {"kind": model.kind, "checkpoint": model.checkpoint, "hub": model.hub}
        return {"model": chosen}

    def requires(self) -> Mapping[str, str]:
        """tokenizers, scikit-learn, torch; transformers for a bert."""
        needs = {"tokenizers": "text", "pyarrow": "text", "sklearn": "text", "torch": "torch"}
        if self.features.task == "tag":
            needs |= {"seqeval": "text"}
        if self.features.task == "translate":
            needs |= {"babel": "text", "sacrebleu": "text"}
        if self.model.kind in ("bert", "t5"):
            needs["transformers"] = "text"
        return needs

    @model_validator(mode="before")
    @classmethod
    def _translates_by_t5(cls, values: Any) -> Any:
        """An LSTM, which is the usual kind, does not translate."""
        features, model = values.get("features", {}), values.get("model", {})
        if not (isinstance(features, Mapping) and isinstance(model, Mapping)):
            return values
        if features.get("task") != "translate" or model.get("kind", "lstm") != "lstm":
            return values
        return {**values, "model": {**model, "kind": "t5"}}

    @model_validator(mode="after")
    def _fits_its_kind(self) -> TextConfig:
        model, translates = self.model, self.features.task == "translate"
        if translates != (model.kind == "t5"):
            raise ValueError(
                "model.kind=t5 translates, and no other: --set features.task=translate"
            )
        reads_in_order = model.kind in ("rnn", "lstm") and not translates
        if reads_in_order and model.checkpoint is not None:
            raise ValueError("a checkpoint is of a bert: --set model.kind=bert")
        if model.kind != "bert" and model.pretrain_epochs:
            raise ValueError("pretraining is of a bert: --set model.kind=bert")
        # A head of attention is 32 wide; a checkpoint brings its own width.
        is_built_here = model.kind in ("bert", "t5") and model.checkpoint is None
        if is_built_here and model.width % 32:
            raise ValueError("the width of a transformer is a multiple of 32: --set model.width=96")
        if not translates and self.features.prompt:
            raise ValueError("features.prompt is for features.task=translate")
        if self.features.task != "classify":
            self._fits_no_labels()
        return self

    def _fits_no_labels(self) -> None:
        """What is for whole texts is refused."""
        changed = {
            "features.labels": self.features.labels != "one",
            "features.long": self.features.long != "head",
            "model.class_weight": self.model.class_weight != "none",
            "model.least_sensitivity": self.model.least_sensitivity is not None,
        }
        for name, is_changed in changed.items():
            if is_changed:
                raise ValueError(f"{name} is for features.task=classify")
