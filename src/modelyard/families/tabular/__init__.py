"""Tables: classification and regression from CSV or Parquet: numbers, categories, dates and free text."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from modelyard.config import TrainingSettings
from modelyard.evaluation import Evaluation
from modelyard.families.tabular.config import TabularConfig, TabularFeatures, TabularModel
from modelyard.families.tabular.search import SEARCH
from modelyard.family import Family, Graph, Host, Runtime, Split

if TYPE_CHECKING:
    from modelyard.training.loop import Trainer

_NEEDS: Mapping[str, tuple[str, ...]] = {"lightgbm": ("lightgbm",), "xgboost": ("xgboost",)}


class Tabular(Family[TabularConfig]):
    """From a person's table to a served classifier or regression."""

    title: ClassVar[str] = "tables: classification and regression"
    Config = TabularConfig
    shortcuts: ClassVar[Mapping[str, str]] = {"target": "features.target"}
    search_space = SEARCH

    @classmethod
    def debug(cls) -> TabularConfig:
        """Few trees on 569 real rows."""
        return TabularConfig(
            features=TabularFeatures(sample="breast_cancer"),
            model=TabularModel(kind="lightgbm", trees=30, max_leaves=8, hidden=(16,)),
            training=TrainingSettings(epochs=5, batch_size=64),
        )

    def requires(self) -> Mapping[str, str]:
        """The table readers, and the library of `model.kind`."""
        kind = self.config.model.kind
        needs = dict.fromkeys(("pandas", "pyarrow", "sklearn", *_NEEDS.get(kind, ())), "tabular")
        return needs | ({"torch": "torch"} if kind == "mlp" else {})

    def starts_anew(self) -> str:
        """Of all kinds the MLP alone is trained on from earlier weights."""
        kind = self.config.model.kind
        return "" if kind == "mlp" else f"model.kind = {kind} is fitted anew each time. Type: --set model.kind=mlp"

    def sample(self, raw: Path) -> None:
        """Writes `data.csv` of `features.sample`."""
        from modelyard.families.tabular.samples import write_sample

        settings = self.config.features
        write_sample(raw, settings.sample, settings.sample_rows, settings.sample_drift, self.config.seed)

    def companions(self) -> dict[str, Path]:
        """The edited schema: `features.table_schema`, or the one beside a data file."""
        from modelyard.families.tabular.schema import companions

        return companions(self.config.data.uri, self.config.features.table_schema)

    def write_back(self, features: Path, data: Path) -> list[Path]:
        """The inferred schema, as `<data>.schema.json`."""
        from modelyard.families.tabular.schema import write_back

        return write_back(features, data)

    def features(self, raw: Path, out: Path) -> dict[str, Any]:
        """Reads a CSV or Parquet table; writes splits and assets."""
        from modelyard.families.tabular.data import build_features

        return build_features(raw, out, self.config)

    @classmethod
    def host(cls, assets: Path) -> Host:
        """Answers requests whose fields are the table's columns."""
        from modelyard.families.tabular.host import TabularHost

        return TabularHost(assets)

    def requests(self, features: Path, split: Split, limit: int | None = None) -> list[dict[str, Any]]:
        """Rows of a split as JSON bodies."""
        from modelyard.families.tabular.data import request_bodies

        return request_bodies(features, split, limit)

    def evaluate(self, host: Host, run: Runtime, features: Path, split: Split = "test") -> Evaluation:
        """Judges a model on a split."""
        from modelyard.families.tabular.evaluate import evaluate
        from modelyard.families.tabular.host import TabularHost

        assert isinstance(host, TabularHost), "a host of another family"
        return evaluate(host, run, features, split)

    def fit(self, features: Path, out: Path, trainer: Trainer) -> dict[str, Any]:
        """Trains the model of `model.kind`."""
        from modelyard.families.tabular.model import fit

        return fit(self.config, features, out, trainer)

    def native(self, model: Path) -> Runtime:
        """The model as its own library runs it."""
        from modelyard.families.tabular.model import native

        return native(self.config, model)

    def graphs(self, model: Path) -> list[Graph]:
        """One graph, `model`."""
        from modelyard.families.tabular.model import graphs

        return graphs(self.config, model)
