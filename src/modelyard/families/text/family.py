"""Building: the network, what is hidden of its training texts, and guessing hidden tokens first."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Generic

import numpy as np
import torch
from safetensors.torch import save_file

from modelyard.compress.teaching import Teacher
from modelyard.families.text import network
from modelyard.families.text.checkpoint import T, TokensData
from modelyard.families.text.config import TextConfig
from modelyard.families.text.data import LabelsTextData, TextData
from modelyard.families.text.host import LabelsTextHost, TextHost
from modelyard.families.text.linear import add_linear
from modelyard.families.text.spec import TextSpec
from modelyard.family import Split, Trainable
from modelyard.judging.evaluation import Table
from modelyard.kit.checkpoints import paced
from modelyard.kit.classes.judged import Judged
from modelyard.kit.classifier import store
from modelyard.kit.classifier.family import WEIGHTS as CLASS_WEIGHTS
from modelyard.kit.classifier.family import Batch, Change, Classifier
from modelyard.kit.classifier.host import ClassifierHost
from modelyard.kit.classifier.store import Plan
from modelyard.kit.labels.evaluate import JudgedLabels
from modelyard.kit.labels.family import ManyLabels
from modelyard.kit.text import simple
from modelyard.kit.text.encoder import Encoder, Guesses, Guessing, hiding
from modelyard.settings.compress import CompressSettings
from modelyard.store.base import WEIGHTS, base_of
from modelyard.training.loop import load_weights

if TYPE_CHECKING:
    from modelyard.training.loop import Trainer

HARDEST, SHOWN = 15, 300
"""Texts in the card, and characters of each."""
PRETRAINED = "pretrained"


class Networks(TokensData[T], Classifier[TextConfig, T], Generic[T]):
    """What the tasks have in common: networks over tokens, checkpoints and the guessing of hidden
    tokens. A task gives its networks."""

    Recurrent: Callable[[Plan, T], torch.nn.Module]
    """The network of the kinds rnn and lstm."""
    Transformer: type[Encoder] = Encoder
    """The network of the kind bert."""

    _pretrained: Path | None = None
    """Weights of `Guesses`, once they are trained."""

    def build(self, plan: Plan, spec: T, checkpoint: Path | None = None) -> torch.nn.Module:
        """The untrained network of a plan; with `checkpoint`, its encoder has those weights."""
        if plan["kind"] != "bert":
            return self.Recurrent(plan, spec)
        from modelyard.kit.transformers import backbone

        encoder = backbone(plan["config"], checkpoint)
        return self.Transformer(encoder, plan["width"], plan["dropout"], spec)

    def plan(self, spec: T) -> Plan:
        """The network that the settings ask for."""
        return network.plan(self.config.model, spec, self._shape())

    def network(self, plan: Plan, spec: T) -> torch.nn.Module:
        """Without a checkpoint's weights."""
        return self.build(plan, spec)

    def start(self, plan: Plan, spec: T) -> torch.nn.Module:
        """With a checkpoint's weights, and those that guessing hidden tokens has trained."""
        found = self.checkpoint()
        folder = found.folder if found else None
        net = self.build(plan, spec, folder)
        if self._pretrained is not None:
            assert isinstance(net, Encoder)
            load_weights(Guesses(net), self._pretrained)
        return net

    def changes(self, count: int, generator: torch.Generator, spec: T) -> Change | None:
        """Hides tokens at random."""
        return hiding(count, generator, self.config.training.hide, spec)

    def fit(self, features: Path, out: Path, trainer: Trainer) -> dict[str, Any]:
        """Trains into `out`; with `model.pretrain_epochs` hidden tokens are guessed first."""
        model = self.config.model
        trainer, notes = paced(trainer, model.checkpoint, model.checkpoint_rate, features)
        if base_of(features) is None and model.pretrain_epochs:
            notes.append(self._pretrain(features, Path(out) / PRETRAINED, trainer))
        report = super().fit(features, out, trainer)
        self._pretrained = None
        shutil.rmtree(Path(out) / PRETRAINED, ignore_errors=True)
        return report | {"notes": [*report["notes"], *notes]}

    def _shape(self) -> dict[str, Any] | None:
        """What the checkpoint's config.json holds."""
        found = self.checkpoint()
        return found.shape if found else None

    def _pretrain(self, features: Path, folder: Path, trainer: Trainer) -> str:
        """Guesses hidden tokens; says how well."""
        folder.mkdir()
        size, seed = self.config.training.batch_size, self.config.seed
        guessing = Guessing(self.model, self._spec_of(features), size, seed)
        changed = {"epochs": self.config.model.pretrain_epochs, "metric": "loss"}
        trainer = replace(trainer, settings=trainer.settings.model_copy(update=changed))
        losses = trainer.fit(guessing, features, folder)["curves"]["loss"]["validation"]
        self._pretrained = folder
        return f"Guessing hidden tokens took the loss from {losses[0]:.3f} to {min(losses):.3f}."


class OtherNetworks(Networks[T], Generic[T]):
    """Those of tasks whose answer is no label of a text: nobody teaches them, and unless a task says
    otherwise its examples are of one kind, and there is nothing to decide after training."""

    def teacher(self, folder: Path, features: Path, settings: CompressSettings) -> Teacher:
        """They are not taught."""
        return Trainable.teacher(self, folder, features, settings)

    def groups(self, batch: Batch) -> torch.Tensor | None:
        """None: all examples are of one kind."""
        return None

    def decide(self, features: Path, out: Path) -> tuple[str, str]:
        """Nothing."""
        return "", ""


class Text(TextData, Networks[TextSpec]):
    """From labelled texts to a served classifier."""

    Answering: type[ClassifierHost[TextSpec]] = TextHost
    Recurrent = staticmethod(network.recurrent)
    _by_itself = False
    """Whether the network trains without the part of pieces and pairs, which is fitted after it."""

    def start(self, plan: Plan, spec: TextSpec) -> torch.nn.Module:
        """As in other tasks; while it trains by itself without pieces and pairs."""
        if self._by_itself:
            plan = plan | {"pairs": 0}
        return super().start(plan, spec)

    def fit(self, features: Path, out: Path, trainer: Trainer) -> dict[str, Any]:
        """Trains the network, then fits the part of pieces and pairs. One that continues an earlier
        model, or that `compress` changes, trains with it."""
        self._by_itself = base_of(features) is None and not self.config.compress.wanted
        try:
            return super().fit(features, out, trainer)
        finally:
            self._by_itself = False

    def complete(self, features: Path, out: Path) -> None:
        """Fits the part of pieces and pairs, where the network was trained without."""
        if not self._by_itself:
            return
        assets = Path(out) / "assets"
        trained = load_weights(self.model(assets), out)
        self._by_itself = False
        whole = self.model(assets)
        if not isinstance(whole, network.WideRecurrent):
            return
        whole.load_state_dict(trained.state_dict(), strict=False)
        tokens, labels = store.load_arrays(features, "train"), store.load_labels(features, "train")
        add_linear(whole, tokens, labels, whole.get_buffer(CLASS_WEIGHTS).numpy())
        save_file(whole.state_dict(), Path(out) / WEIGHTS)

    def rivals(self, features: Path, split: Split) -> dict[str, np.ndarray]:
        """TF-IDF and logistic regression."""
        found = simple.load_simple(features, split)
        if found is None:
            return {}
        return {simple.NAME: found}

    def more_tables(self, features: Path, judged: Judged, split: Split) -> list[Table]:
        """The texts whose own class is the least probable."""
        truth = judged.p[np.arange(len(judged.y)), judged.y]
        texts = [data.decode() for _, data in store.load_files(features, split)]
        names = [*judged.classes, "another"]
        rows: list[list[str | float]] = []
        for row in np.argsort(truth, kind="stable")[:HARDEST].tolist():
            text = " ".join(texts[row].split())[:SHOWN]
            label, answer = names[int(judged.y[row])], names[int(judged.labels[row])]
            rows.append([text, label, answer, round(truth[row], 4)])
        columns = ["text", "label", "answer", "probability of the label"]
        return [Table(title="Hardest texts", columns=columns, rows=rows)]


class LabelsText(LabelsTextData, ManyLabels[TextConfig, TextSpec], Text):
    """From texts with any number of labels to a served classifier."""

    Answering = LabelsTextHost

    def hardest(self, features: Path, judged: JudgedLabels, split: Split) -> list[Table]:
        """The texts whose own labels, and lack of others, are the least probable."""
        surprise = judged.surprise
        texts = [data.decode() for _, data in store.load_files(features, split)]
        rows: list[list[str | float]] = []
        for row in np.argsort(-surprise, kind="stable")[:HARDEST].tolist():
            text = " ".join(texts[row].split())[:SHOWN]
            labels = _names(judged, judged.y[row])
            answer = _names(judged, judged.answers[row])
            rows.append([text, labels, answer, round(surprise[row], 3)])
        columns = ["text", "labels", "answer", "surprise (nats)"]
        return [Table(title="Hardest texts", columns=columns, rows=rows)]


def _names(judged: JudgedLabels, held: np.ndarray) -> str:
    """The labels that an example has, bool (classes,)."""
    names = [judged.classes[place] for place in np.flatnonzero(held)]
    return ", ".join(names) or "–"
