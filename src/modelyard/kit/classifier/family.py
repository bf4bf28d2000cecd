"""Building: a network's batches, loss and training, and its judging."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, Generic

import numpy as np
import torch
from torch.nn.functional import cross_entropy

from modelyard.compress.teaching import LOGITS, MAPS, Teacher, attention_gap, soft_targets
from modelyard.family import Family, Split
from modelyard.judging.evaluation import Evaluation, Plot, Table
from modelyard.kit.classes.choosing import Aim, fit_on_logits
from modelyard.kit.classes.evaluate import judge_classes
from modelyard.kit.classes.judged import Judged, align
from modelyard.kit.classifier import store
from modelyard.kit.classifier.data import C, ClassifierData, S
from modelyard.kit.classifier.host import GRAPH, ClassifierHost
from modelyard.kit.classifier.store import Plan
from modelyard.kit.classifier.teacher import classifier_teacher
from modelyard.kit.epochs import epoch_draws, replay_draws
from modelyard.kit.splits import load_groups
from modelyard.runtimes.torch import TorchRuntime
from modelyard.runtimes.types import Graph, Runtime
from modelyard.settings.compress import CompressSettings
from modelyard.training.batches import Batches
from modelyard.training.loop import load_weights

if TYPE_CHECKING:
    from modelyard.training.loop import Trainer

EXAMPLE_ROWS = 8
WEIGHTS = "class_weights"
"""A buffer of every network: by class, what its examples count in the loss."""

Batch = dict[str, torch.Tensor]
Change = Callable[[torch.Tensor, np.ndarray], torch.Tensor]
"""`change(arrays, rows)`: the input (batch, …), the examples numbered `rows`, changed as was drawn
for each."""


class Classifier(ClassifierData[C, S], Family[C], Generic[C, S]):
    """From labelled files to a served classifier. A family gives `Answering` and `network`."""

    Answering: type[ClassifierHost[S]]
    """The answering class."""

    @abstractmethod
    def network(self, plan: Plan, spec: S) -> torch.nn.Module:
        """The untrained network of a plan.

        It takes the input (batch, *spec.shape) to a dict with `logits` (batch, classes).
        """

    def plan(self, spec: S) -> Plan:
        """The shape that the settings ask for. By default the section `model` itself.

        Raises:
            UsageError: the settings do not fit the data.
        """
        return self.config.model.model_dump(mode="json")

    def start(self, plan: Plan, spec: S) -> torch.nn.Module:
        """The network that training begins with; another one where there is a checkpoint."""
        return self.network(plan, spec)

    def changes(self, count: int, generator: torch.Generator, spec: S) -> Change | None:
        """Draws the random changes of `count` training examples in an epoch; None: there are none.

        All is drawn here, so that what an example becomes does not depend on its batch.
        """
        return None

    def complete(self, features: Path, out: Path) -> None:
        """Adds to the weights in `out` what is no part of the shared training."""

    def more_assets(self, net: torch.nn.Module, assets: Path) -> None:
        """Adds to the assets what the host needs of the trained network."""

    def rivals(self, features: Path, split: Split) -> dict[str, np.ndarray]:
        """Probabilities (n, classes) of further simple answers to a split, by what they are."""
        return {}

    def more_tables(self, features: Path, judged: Judged, split: Split) -> list[Table]:
        """Tables of a judged split for the card."""
        return []

    def more_plots(self, host: Any, run: Runtime, arrays: np.ndarray, judged: Judged) -> list[Plot]:
        """Further plots of a judged split; `arrays` (n, …) are what the host sees of its files."""
        return []

    def model(self, assets: Path) -> torch.nn.Module:
        """The untrained network: of the plan that training left in the assets, else as set."""
        spec = self.Spec.load(assets)
        plan = store.find_plan(assets)
        if plan is not None:
            return self._weighed(self.network(plan, spec), spec)
        return self._weighed(self.start(self.plan(spec), spec), spec)

    def batches(self, features: Path, split: Split, epoch: int) -> Batches:
        """The input by its name (batch, …), and `label` int64 (batch,).

        Training examples are shuffled and changed at random; not so in epoch 0.
        """
        arrays, labels = store.load_arrays(features, split), store.load_labels(features, split)
        name = self.Spec.KIND.input
        training = split == "train" and epoch > 0
        order = np.arange(len(labels))
        change = None
        if training:
            generator = epoch_draws(self.config.seed, epoch)
            order = torch.randperm(len(labels), generator=generator).numpy()
            change = self.changes(len(labels), generator, self._spec_of(features))

        def take(rows: np.ndarray) -> Batch:
            batch = torch.from_numpy(arrays[rows].astype(self.Spec.INPUT))
            if change is not None:
                batch = change(batch, rows)
            return {name: batch, "label": torch.from_numpy(labels[rows])}

        # Batch statistics of one example can be undefined.
        least = 2 if training else 1
        return Batches(order, self.config.training.batch_size, take, least=least)

    def replayed(self, memory: Batch, features: Path, epoch: int) -> Batch:
        """Exemplars, changed at random as new examples are."""
        name = self.Spec.KIND.input
        count = len(memory["label"])
        generator = replay_draws(self.config.seed, epoch)
        change = self.changes(count, generator, self._spec_of(features))
        if change is None:
            return memory
        return memory | {name: change(memory[name], np.arange(count))}

    def loss(self, model: torch.nn.Module, batch: Batch) -> torch.Tensor:
        """Cross-entropy, a scalar; labels are smoothed in training only, not in validation."""
        return self._cross_entropy(model, self._logits(model, batch), batch["label"])

    def weight(self, model: torch.nn.Module, batch: Batch) -> torch.Tensor:
        """The sum of class weights over which the cross-entropy is a mean."""
        return model.get_buffer(WEIGHTS)[batch["label"]].sum()

    def scores(self, model: torch.nn.Module, batch: Batch) -> Batch:
        """`accuracy`, weighed by class as the loss is."""
        weights = model.get_buffer(WEIGHTS)[batch["label"]]
        right = (self._logits(model, batch).argmax(1) == batch["label"]).float()
        return {"accuracy": (right * weights).sum() / weights.sum()}

    def teacher(self, folder: Path, features: Path, settings: CompressSettings) -> Teacher:
        """Logits of another classifier, its classes matched by name, and its last maps where their
        difference counts.

        Raises:
            UsageError: it sees other inputs, lacks a class of this data, or has no maps.
        """
        return classifier_teacher(
            folder,
            self.Spec.load(Path(features) / "assets"),
            self.Answering(folder / "assets").spec,
            maps=settings.feature_weight > 0,
        )

    def taught_loss(
        self, model: torch.nn.Module, batch: Batch, settings: CompressSettings
    ) -> torch.Tensor:
        """The labels' cross-entropy and the teacher's, by their shares, and the difference of the
        last maps."""
        outputs = model(batch[self.Spec.KIND.input])
        labels = self._cross_entropy(model, outputs["logits"], batch["label"])
        teacher = soft_targets(outputs["logits"], batch[LOGITS], settings.temperature)
        share = settings.teacher_share
        loss = (1 - share) * labels + share * teacher
        if settings.feature_weight:
            gap = attention_gap(outputs.get("features"), batch[MAPS])
            loss = loss + settings.feature_weight * gap
        return loss

    def groups(self, batch: Batch) -> torch.Tensor | None:
        """Classes."""
        return batch["label"]

    def fit(self, features: Path, out: Path, trainer: Trainer) -> dict[str, Any]:
        """Trains into `out`; adds the network's plan, `more_assets` and the decision to the assets.

        Raises:
            UsageError: the settings do not fit the data.
        """
        assets = Path(out) / "assets"
        plan = self.plan(self.Spec.load(assets))
        report = trainer.fit(self, features, out)
        self.complete(features, out)
        # From here on `model` builds the network of the plan; while it trains, as set.
        store.save_plan(assets, plan)
        self.more_assets(load_weights(self.model(assets), out), assets)
        store.save_examples(features, out, EXAMPLE_ROWS)
        clause, note = self.decide(features, out)
        headline = report["headline"] + clause
        if "kind" in plan:
            headline = f"{plan['kind']}, {headline}"
        notes = [note] if note else []
        return report | {"headline": headline, "notes": notes}

    def graphs(self, model: Path) -> list[Graph]:
        """One graph, `model`: the input to `logits`, and what else the network gives."""
        name = self.Spec.KIND.input
        example = store.load_examples(model).astype(self.Spec.INPUT)
        net = load_weights(self.model(Path(model) / "assets"), model)
        # The first axis, the batch, varies in every graph.
        varying = {name: self.Spec.VARYING} if self.Spec.VARYING else {}
        return [Graph(GRAPH, {name: example}, module=net, dynamic=varying)]

    def evaluate(
        self, host: ClassifierHost[S], run: Runtime, features: Path, split: Split = "test"
    ) -> Evaluation:
        """Metrics of a split next to those of the most frequent class, and the plots of the field.

        The host may be another package's: it decodes the files by its own rules, and its classes
        are matched by name.
        """
        classes = self.Spec.load(Path(features) / "assets").classes
        y = store.load_labels(features, split)
        arrays = host.seen(features, split)
        p = host.probabilities(run, arrays)
        judged = align(p, host.decision.labels(p), host.spec.classes, y, classes)
        return judge_classes(
            judged,
            host.decision,
            store.load_labels(features, "train"),
            split=split,
            unit=self.Spec.KIND.many,
            main_of_several="accuracy",
            groups=load_groups(features, split),
            rivals=self.rivals(features, split),
            more=self.more_plots(host, run, arrays, judged),
            tables=self.more_tables(features, judged, split),
        )

    def _spec_of(self, features: Path) -> S:
        return self.Spec.load(Path(features) / "assets")

    def _logits(self, model: torch.nn.Module, batch: Batch) -> torch.Tensor:
        logits: torch.Tensor = model(batch[self.Spec.KIND.input])["logits"]
        return logits

    def _cross_entropy(
        self, model: torch.nn.Module, logits: torch.Tensor, label: torch.Tensor
    ) -> torch.Tensor:
        smoothing = self.config.training.label_smoothing if model.training else 0.0
        weights = model.get_buffer(WEIGHTS)
        mean: torch.Tensor = cross_entropy(logits, label, weights, label_smoothing=smoothing)
        return mean

    def _weighed(self, net: torch.nn.Module, spec: S) -> torch.nn.Module:
        """The network with the weights of its classes."""
        # Not saved with the weights: a model that starts from another one has counts of its own.
        net.register_buffer(WEIGHTS, self._class_weights(spec), persistent=False)
        return net

    def _class_weights(self, spec: S) -> torch.Tensor:
        counts = torch.tensor(spec.counts, dtype=torch.float32)
        # As scikit-learn's `balanced`: all classes weigh alike, and an example 1 on average.
        if self.config.model.class_weight == "balanced":
            return counts.sum() / (len(counts) * counts)
        return torch.ones(len(counts))

    def decide(self, features: Path, out: Path) -> tuple[str, str]:
        """Fits calibration and threshold on the validation split and adds them to the assets.

        Returns:
            A clause for the stage's line, and a sentence for the card.
        """
        settings = self.config.model
        host = self.Answering(Path(out) / "assets")
        run = TorchRuntime(self.graphs(out))
        aim = Aim()
        if settings.least_sensitivity is not None:
            aim = Aim("recall", least_recall=settings.least_sensitivity)
        shares = None
        # Trained so, the network answers as if classes were equally frequent: its probabilities
        # are too high for rare ones until their shares are brought back.
        if settings.class_weight == "balanced":
            shares = np.array(host.spec.counts) / sum(host.spec.counts)
        decision = fit_on_logits(
            host.logits(run, store.load_arrays(features, "validation")),
            store.load_labels(features, "validation"),
            host.spec.classes,
            aim,
            calibrate=settings.calibration == "temperature",
            shares=shares,
        )
        decision.save(host.assets)
        return decision.headline, decision.note
