"""The contract of a family: all that the pipeline must know to build, judge, ship, serve and watch
a kind of model.

A family is an `Entry`: its title, its config, and where its classes stand. `Data` reads raw data,
`Family` builds and judges models, `Host` answers with numpy and a runtime only, so that the code
that judged the model in training is the code that serves it.

Importing an entry imports its config and nothing heavy. A class is imported when it is first
needed, so the module that holds it imports at its top whatever it uses.
"""

from __future__ import annotations

import dataclasses
import importlib
import importlib.util
import pkgutil
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Generic, Literal, TypeVar

from modelyard.errors import UsageError, choices
from modelyard.host import Host
from modelyard.judging.evaluation import Evaluation, Part
from modelyard.runtimes.types import Graph, Runtime
from modelyard.settings.family import FamilyConfig

if TYPE_CHECKING:
    import torch

    from modelyard.compress.teaching import Teacher
    from modelyard.settings.compress import CompressSettings
    from modelyard.training.batches import Batches
    from modelyard.training.loop import Trainer

C = TypeVar("C", bound=FamilyConfig)

Split = Literal["train", "validation", "test"]

Half = Literal["data", "build", "host"]
"""A class of a family: it reads data, builds models, or answers."""

Progress = Callable[..., None]
"""`progress(done, total, loss=0.3)`: how far a long job is, with the figures worth watching."""


class Trainable:
    """What the shared torch loop trains. A family that overrides `fit`, `native` and `graphs`
    needs none of it."""

    def model(self, assets: Path) -> torch.nn.Module:
        """The untrained network; `forward` takes the batch's inputs by name and returns a dict
        of tensors."""
        raise TypeError(f"{type(self).__name__} defines neither model() nor fit()")

    def batches(self, features: Path, split: Split, epoch: int) -> Batches:
        """The split's batches in the order of `epoch` (from 1): same seed and epoch, same order.

        Epoch 0 asks for training examples as exemplars are kept: without random changes.
        """
        raise TypeError(f"{type(self).__name__} defines neither batches() nor fit()")

    def loss(self, model: torch.nn.Module, batch: dict[str, torch.Tensor]) -> torch.Tensor:
        """Mean loss of a batch, a scalar."""
        raise TypeError(f"{type(self).__name__} defines neither loss() nor fit()")

    def weight(
        self, model: torch.nn.Module, batch: dict[str, torch.Tensor]
    ) -> float | torch.Tensor:
        """Over how many terms `loss` is a mean: what parts of a batch count by when their gradients
        are added.

        The examples, unless said otherwise: tokens that have a target, the sum of class weights, …
        """
        return len(next(iter(batch.values())))

    def scores(
        self, model: torch.nn.Module, batch: dict[str, torch.Tensor]
    ) -> dict[str, torch.Tensor]:
        """Further means over a validation batch, weighed as the loss is, higher is better;
        `training.metric` may choose one. For example {"accuracy": …}."""
        return {}

    continues: bool = True
    """Whether training may begin with an earlier model's weights: not that of a helper next to
    the model."""

    def teacher(self, folder: Path, features: Path, settings: CompressSettings) -> Teacher:
        """What a teacher answers to a training batch: `logits` and what else `taught_loss` reads.

        Args:
            folder: the teacher's assets and graphs.

        Raises:
            UsageError: it cannot teach this run's network: other inputs, other classes.
        """
        raise UsageError(
            "compress.teacher: networks of this family and kind are not taught by another one. "
            "Type: --set compress.teacher=null"
        )

    def taught_loss(
        self, model: torch.nn.Module, batch: dict[str, torch.Tensor], settings: CompressSettings
    ) -> torch.Tensor:
        """`loss` and the difference from the teacher's answers, which are in the batch as
        `teacher_logits`, …"""
        raise TypeError(f"{type(self).__name__} defines teacher() but not taught_loss()")

    def prunable(self, model: torch.nn.Module) -> list[torch.nn.Module]:
        """Convolutions and linear layers whose output channels may be removed: those whose channels
        mean nothing outside of the network. None: channels are not pruned."""
        return []

    def groups(self, batch: dict[str, torch.Tensor]) -> torch.Tensor | None:
        """Each example's label, int64 (batch,), of which exemplars are kept alike; None: all are
        of one kind."""
        return None

    def replayed(
        self, memory: dict[str, torch.Tensor], features: Path, epoch: int
    ) -> dict[str, torch.Tensor]:
        """Exemplars as an epoch of training shows them again: with its random changes, where it
        has some."""
        return memory


class Data(ABC, Generic[C]):
    """The half that reads data. Stages that only fetch and prepare data import nothing else of
    the family."""

    learns_from_labels: ClassVar[bool] = False
    """Whether `features` takes labelled requests as examples too:
    `modelyard.store.labelled.labelled_of(raw)`."""
    most_reference: ClassVar[int] = 2_000
    """Test examples that a package describes and answers, for traffic to be compared with. Where an
    answer costs little, more of them make smaller drifts visible."""

    def __init__(self, config: C) -> None:
        self.config = config

    @abstractmethod
    def sample(self, raw: Path) -> None:
        """Writes the small built-in raw data set into the folder `raw`."""

    def companions(self) -> dict[str, Path]:
        """Local files that belong to the data besides `data.uri` itself, by the name they get in
        the raw folder.

        They become part of the data set: its digest, and so what runs again, follows them.
        """
        return {}

    def check(self, data: Path) -> None:
        """Called with a local file or folder before a run on a laptop: what shows within a second
        need not wait for the pipeline.

        Raises:
            BadData: as `features` would.
            UsageError: a setting that does not go with the data.
        """

    def write_back(self, features: Path, data: Path) -> list[Path]:
        """Called after a run on a laptop: writes what a person may want to edit next to their
        `data`.

        Never replaces a file. Returns what it wrote.
        """
        return []

    @abstractmethod
    def features(self, raw: Path, out: Path) -> dict[str, Any]:
        """Reads raw data; writes the splits and `out/assets`, which is all that the host will need.

        Many files are kept as shards: `modelyard.store.files.files_of(raw)` reads them as it reads a
        folder. Everything fitted is fitted on the training split only. Where the run continues an earlier
        model, `modelyard.store.base.base_of(out)` is its folder: then what its assets fitted is
        kept, so that inputs mean the same, and new classes, users and items come after its own.
        Returns what the card should tell about the data (JSON): `rows` by split and `dropped` (how
        many, by reason) at least, `tables` of your own. The stage's line is your `headline` and
        what was lost: `dropped`, where a reason counts rows (or what `unit` says that `rows`
        counts) unless it names something else before a colon (`windows: across a gap`), and the
        columns of `left_out`.

        Raises:
            BadData: with file, row and column.
            UsageError: the config does not continue the earlier model: another size, another kind.
        """

    @abstractmethod
    def requests(
        self, features: Path, split: Split, limit: int | None = None
    ) -> list[dict[str, Any]]:
        """Raw examples of a split as JSON bodies of `Host.Request`: golden example, drift
        reference, warm-up."""

    def truths(
        self, features: Path, split: Split, limit: int | None = None
    ) -> list[float | str] | None:
        """The labels of what `requests` returns, as `/feedback` would bring them; None where
        examples have none."""
        return None

    def reference(
        self, features: Path, limit: int
    ) -> tuple[list[dict[str, Any]], list[float | str] | None]:
        """Examples that requests are compared with, as `requests` and `truths` give them: of the
        test split, which no training saw."""
        return self.requests(features, "test", limit), self.truths(features, "test", limit)


class Family(Data[C], Trainable):
    """The half that builds and judges. It reads data too: it is, or extends, the family's
    `Data`."""

    quantized: ClassVar[frozenset[str]] = frozenset({"Conv", "Gemm", "MatMul"})
    """ONNX operators whose weights may be held in 8 bits or fewer."""
    lengths: ClassVar[Mapping[str, tuple[int, int]]] = {}
    """Least and most of an input's axes that vary besides the batch, by its name: what engines for
    GPUs are built for. An input that is not here: up to twice the longest of training requests."""

    @abstractmethod
    def evaluate(
        self, host: Any, run: Runtime, features: Path, split: Split = "test"
    ) -> Evaluation:
        """Judges a model on a split: any runtime, and any host of this family (a champion brings
        its own)."""

    def evaluate_part(
        self, host: Any, run: Runtime, features: Path, split: Split, part: Part
    ) -> Evaluation:
        """Judges a model on part of a split, and says in `Evaluation.part` on how much.

        For a family whose evaluation takes long: it goes through `part.take(…)` in an order that
        does not depend on the model. The default judges the whole split.
        """
        return self.evaluate(host, run, features, split)

    def fit(self, features: Path, out: Path, trainer: Trainer) -> dict[str, Any]:
        """Trains and writes the model to `out`; `out/assets` is there already, copied from the
        features, and may be added to (a threshold, a calibration). Nothing pickled.

        The default is the shared torch loop. Returns what the card should tell (JSON); `curves` is
        drawn: `{"loss": {"train": [...], "validation": [...]}}`.
        """
        return trainer.fit(self, features, out)

    def native(self, model: Path) -> Runtime:
        """The trained model as its own library runs it: what exported graphs are compared with."""
        from modelyard.runtimes.torch import TorchRuntime

        return TorchRuntime(self.graphs(model))

    @abstractmethod
    def graphs(self, model: Path) -> list[Graph]:
        """The trained model as graphs."""

    def native_files(self, model: Path) -> dict[str, dict[str, Path]]:
        """Files of the trained model that a runtime opens as they are, by its name and by graph:
        `{"xgboost": {"model": model / "model.ubj"}}`. They are variants next to the compiled ones."""
        return {}


@dataclass(frozen=True)
class Entry(Generic[C]):
    """A family as the rest of modelyard sees it. Classes are named by where they stand and imported
    when needed.

    `Entry("sounds: classification and tagging", AudioConfig, build=".family:Audio",
    host=".host:AudioHost")`
    """

    title: str
    """A few words for the table of families."""
    Config: type[C]
    """Its defaults are a good run."""
    build: str | type[Family[C]]
    """The building class, as `.module:Class` next to the entry, or itself; or a function there that
    makes one of the config, where its settings choose among several."""
    host: str | type[Host]
    """The answering class; or a function that makes one of the assets."""
    data: str | type[Data[C]] | None = None
    """The reading class, where it stands in a module of its own that imports less than `build`.
    None: `build`."""
    name: str = ""
    """Set by `load`: the folder's name, or `module:attribute`."""
    module: str = ""
    """Set by `load`: the module that holds the entry."""

    def make(self, config: C | None = None) -> Family[C]:
        """The building half, with the default config when none is given."""
        cls: type[Family[C]] = self._class(self.build)
        return cls(config if config is not None else self.Config())

    def reader(self, config: C | None = None) -> Data[C]:
        """The reading half, with the default config when none is given."""
        cls: type[Data[C]] = self._class(self.data or self.build)
        return cls(config if config is not None else self.Config())

    def open(self, assets: Path) -> Host:
        """The answering half, from the assets of a package (or of a model folder: `model /
        "assets"`).

        No config is needed: an answer follows from the assets.
        """
        cls: type[Host] = self._class(self.host)
        return cls(assets)

    def module_of(self, half: Half) -> str:
        """The module that holds a half, not imported for the answer."""
        found = {"data": self.data or self.build, "build": self.build, "host": self.host}[half]
        if not isinstance(found, str):
            return found.__module__
        return importlib.util.resolve_name(found.partition(":")[0], self.module)

    def _class(self, found: Any) -> Any:
        if not isinstance(found, str):
            return found
        module, _, name = found.partition(":")
        return getattr(importlib.import_module(module, self.module), name)


def names() -> list[str]:
    """Families that come with modelyard."""
    found = importlib.util.find_spec("modelyard.families")
    assert found is not None, "the folder of families is part of modelyard"
    return sorted(module.name for module in pkgutil.iter_modules(found.submodule_search_locations))


def load(name: str) -> Entry[Any]:
    """The family called `name`: a folder of `modelyard.families`, or `package.module:entry` of your
    own.

    Raises:
        UsageError: no such family, or its module does not import.
    """
    if ":" in name:
        module_name, _, attribute = name.partition(":")
        if not module_name or module_name.startswith(".") or not attribute:
            raise UsageError(f"family {name!r}: a family of your own is package.module:entry")
    else:
        if name not in names():
            raise UsageError(
                choices("family", name, names()) + ", or your own as package.module:entry"
            )
        module_name, attribute = f"modelyard.families.{name}", "FAMILY"
    try:
        module = importlib.import_module(module_name)
    except ModuleNotFoundError as error:
        if error.name is None or not (module_name + ".").startswith(error.name + "."):
            raise
        raise UsageError(f"family {name!r}: no module {error.name!r} on the Python path") from None
    entry = getattr(module, attribute, None)
    if not isinstance(entry, Entry):
        raise UsageError(
            f"family {name!r}: {module_name} has no {attribute} = modelyard.family.Entry(...)"
        )
    return dataclasses.replace(entry, name=name, module=module_name)


def make(name: str, config: FamilyConfig | None = None) -> Family[Any]:
    """The building half of a family with its config; the defaults when none is given."""
    return load(name).make(config)
