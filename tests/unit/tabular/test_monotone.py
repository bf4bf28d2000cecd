"""`model.monotone`: answers that are served rise or fall with a column as they were told to."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pandas as pd
import pytest
from pydantic import ValidationError

from modelyard.errors import UsageError
from modelyard.families.tabular.config import TabularConfig
from modelyard.families.tabular.table import ModelInfo
from modelyard.runtimes.types import Arrays, Runtime
from tests.unit.tabular.test_conformal import Fitted

pytestmark = pytest.mark.usefixtures("one_thread")


class Model(Fitted):
    """Of a table whose target may be classes too."""

    def __init__(self, folder: Path, frame: pd.DataFrame, **model: Any) -> None:
        self.frame = frame
        task = "regression" if frame["y"].dtype.kind == "f" else "classification"
        super().__init__(folder, frame, task=task, **model)

    def steps(self, column: str) -> np.ndarray:
        """How the answer changes from one value of a column to the next, the other columns being those
        of 40 rows: (rows, steps)."""
        rows = self.frame.drop(columns="y").head(40)
        values = np.linspace(*np.quantile(self.frame[column].dropna(), [0.0, 1.0]), 60)
        many = rows.loc[rows.index.repeat(len(values))].copy()
        many[column] = np.tile(values, len(rows))
        bodies = many.astype(object).where(many.notna(), None).to_dict("records")
        requests = [self.host.Request.model_validate(body) for body in bodies]
        answers = [vars(answer) for answer in self.host.predict(self.served(), requests)]
        name = "value" if "value" in answers[0] else "score"
        return np.diff(np.array([answer[name] for answer in answers]).reshape(len(rows), -1))

    def served(self) -> Runtime:
        """The exported graph, as a package answers with it."""
        (graph,) = self.family.graphs(self.model)
        session = onnxruntime.InferenceSession(graph.onnx)
        names = [output.name for output in session.get_outputs()]

        def run(_: str, arrays: Arrays) -> Arrays:
            return dict(zip(names, session.run(names, arrays), strict=True))

        return run


def loans(rows: int = 600) -> pd.DataFrame:
    """A risk that rises with debt and falls with income, with bumps and empty cells."""
    rng = np.random.default_rng(2)
    debt, income, age = rng.gamma(2, 10, rows), rng.lognormal(3, 0.5, rows), rng.normal(40, 9, rows)
    y = 0.05 * debt - 0.04 * income + np.sin(debt / 3) + 0.5 * np.sin(age) + rng.normal(size=rows)
    debt[rng.random(rows) < 0.1] = np.nan
    return pd.DataFrame({"debt": debt, "income": income, "age": age, "y": y})


@pytest.mark.parametrize("kind", ["lightgbm", "xgboost", "auto"])
@pytest.mark.parametrize("task", ["regression", "classes"])
def test_served_answers_follow_the_directions(tmp_path: Path, kind: str, task: str) -> None:
    frame = loans()
    if task == "classes":
        frame["y"] = np.where(frame["y"] > 0.5, "yes", "no")
    model = Model(tmp_path / "held", frame, kind=kind, monotone={"debt": 1, "income": -1})
    spread = 1.0 if task == "classes" else float(np.std(frame["y"].to_numpy(dtype=float)))
    assert model.steps("debt").min() >= -1e-6 * spread
    assert model.steps("debt").max() > 0.01 * spread
    assert model.steps("income").max() <= 1e-6 * spread
    free = Model(tmp_path / "free", frame, kind="lightgbm" if kind == "auto" else kind)
    assert free.steps("debt").min() < -0.01 * spread
    # A column that was not named still goes up and down.
    assert model.steps("age").min() < -0.01 * spread
    assert model.steps("age").max() > 0.01 * spread


def test_auto_is_a_kind_that_can_and_says_so(tmp_path: Path) -> None:
    model = Model(tmp_path, loans(200), kind="auto", monotone={"debt": 1})
    assert ModelInfo.load(model.model).kind == "lightgbm"
    assert any(
        "which model.monotone can hold to a direction" in note for note in model.card["notes"]
    )


def test_a_heavy_tail_takes_a_loss_that_keeps_directions(tmp_path: Path) -> None:
    frame = loans(300)
    frame.loc[::40, "y"] = 1e4
    model = Model(tmp_path, frame, kind="lightgbm", monotone={"debt": 1})
    assert "the Huber loss" in model.card["headline"]
    assert model.steps("debt").min() >= -1e-4


@pytest.mark.parametrize(
    "kind", ["linear", "tree", "forest", "bagging", "boosting", "svm", "stack", "mlp"]
)
def test_a_kind_that_cannot_is_refused_in_a_line(kind: str) -> None:
    with pytest.raises(
        ValidationError, match="lightgbm and xgboost can. Type: --set model.kind=lightgbm"
    ):
        TabularConfig.model_validate({"model": {"kind": kind, "monotone": {"debt": 1}}})


@pytest.mark.parametrize("loss", ["absolute", "quantile"])
def test_a_loss_that_moves_leaves_is_refused(loss: str) -> None:
    values = {"kind": "lightgbm", "loss": loss, "monotone": {"debt": 1}}
    with pytest.raises(ValidationError, match="Type: --set model.loss=squared"):
        TabularConfig.model_validate({"model": values})


def test_what_has_no_order_is_refused(tmp_path: Path) -> None:
    frame = loans(200)
    frame["city"] = np.where(frame["age"] > 40, "Oslo", "Paris")
    with pytest.raises(UsageError, match=r"'model.monotone'.*column of numbers.*'city'"):
        Model(tmp_path / "one", frame, kind="lightgbm", monotone={"city": 1})
    with pytest.raises(UsageError, match=r"'model.monotone'.*'dept'.*Did you mean 'debt'"):
        Model(tmp_path / "two", frame, kind="lightgbm", monotone={"dept": 1})
    frame["y"] = np.digitize(frame["y"], [0, 1]).astype(str)
    frame["y"] = "class " + frame["y"]
    with pytest.raises(UsageError, match="3 classes have no order"):
        Model(tmp_path / "three", frame, kind="lightgbm", monotone={"debt": 1})
    with pytest.raises(ValidationError, match="monotone"):
        TabularConfig.model_validate({"model": {"kind": "lightgbm", "monotone": {"debt": 2}}})
