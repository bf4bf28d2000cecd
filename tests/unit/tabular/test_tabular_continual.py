"""Tables whose classes arrive in two parts, and a regression that goes on."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from modelyard.errors import BadData, UsageError
from modelyard.families.tabular.config import TabularConfig, TabularModel
from modelyard.families.tabular.family import Tabular
from modelyard.families.tabular.loss import choose_loss
from modelyard.families.tabular.mlp import Perceptron
from modelyard.families.tabular.scale import TargetScale
from modelyard.families.tabular.schema import TableSchema
from modelyard.families.tabular.table import ModelInfo, load_split
from modelyard.kit.columns.encode import Encoder
from modelyard.settings.continual import ContinualSettings
from modelyard.store.base import FOLDER
from modelyard.training.memory import Memory
from tests.training.going_on import features_of, judged, model_of

CENTRES = {"ash": (4, 0), "beech": (-4, 0), "cedar": (0, 4), "date": (0, -4)}


def table(
    folder: Path,
    kinds: tuple[str, ...],
    seed: int,
    colours: tuple[str, ...] = ("red", "blue"),
    **more: str,
) -> Path:
    """240 rows of trees; `more` are constant columns."""
    folder.mkdir()
    rng = np.random.default_rng(seed)
    lines = [",".join(["height", "width", "colour", *more, "tree"])]
    for number in range(240):
        kind = kinds[number % len(kinds)]
        height, width = np.array(CENTRES[kind]) + rng.normal(0, 1, 2)
        cells = [
            f"{height:.3f}",
            f"{width:.3f}",
            colours[int(rng.integers(len(colours)))],
            *more.values(),
            kind,
        ]
        lines.append(",".join(cells))
    (folder / "trees.csv").write_text("\n".join(lines) + "\n")
    return folder


def family(kind: str = "mlp", **changes: object) -> Tabular:
    values: dict[str, dict[str, object]] = {
        "features": {"target": "tree"},
        "model": {"kind": kind, "hidden": (16,), "dropout": 0.0, "calibration": "none"},
        "training": {"epochs": 25, "batch_size": 32, "learning_rate": 1e-2, "weight_decay": 0.0},
    }
    for name, value in changes.items():
        section, _, field = name.partition("__")
        values[section] = values.get(section, {}) | ({field: value} if field else dict(value))  # type: ignore[call-overload]
    return Tabular(TabularConfig.model_validate(values))


@pytest.fixture(scope="module")
def first(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Features and model of ashes and beeches, with exemplars."""
    out, one = tmp_path_factory.mktemp("first"), family(continual={"memory": 20})
    features = features_of(one, table(out / "raw", ("ash", "beech"), 0), out / "features")
    return features, model_of(one, features, out / "model")


@pytest.fixture(scope="module")
def raw(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The second part: other trees, another colour, one more column."""
    folder = tmp_path_factory.mktemp("second") / "raw"
    return table(folder, ("date", "cedar"), 1, ("red", "green"), age="7")


def test_inputs_mean_the_same_and_new_classes_come_last(
    first: tuple[Path, Path], raw: Path, tmp_path: Path
) -> None:
    features = features_of(family(), raw, tmp_path / "features", first[1])
    schema = TableSchema.load(features / "assets")
    assert schema.classes == [
        *(TableSchema.load(first[0] / "assets").classes or []),
        "cedar",
        "date",
    ]
    assert Encoder.load(features / "assets").names == Encoder.load(first[0] / "assets").names
    assert [column.name for column in schema.inputs] == ["height", "width", "colour"]
    x, y = load_split(features, "train")
    names = Encoder.load(features / "assets").names
    assert set(y.tolist()) == {2, 3}
    assert x[:, names.index("colour=(other)")].mean() > 0.3
    assert abs(x[:, 0].mean()) < abs(x[:, 1]).mean()


def test_a_rare_class_is_named_where_a_run_goes_on_and_no_class_of_three_is_the_positive_one(
    first: tuple[Path, Path], tmp_path: Path
) -> None:
    for name, kinds in (("two", ("ash", "beech")), ("three", ("cedar", "beech"))):
        raw = table(tmp_path / name, kinds, 1)
        with (raw / "trees.csv").open("a") as file:
            file.write("1.5,2.5,red,yew\n")
        (tmp_path / f"{name}-out/assets").mkdir(parents=True)
        shutil.copytree(first[1], tmp_path / f"{name}-out" / FOLDER)
        summary = family().features(raw, tmp_path / f"{name}-out")
        assert "1 class of fewer than 6 rows left out (yew: 1)" in summary["headline"]
        is_named = "positive class" in summary["headline"]
        assert is_named == (name == "two")
        assert not any("is the positive one" in note for note in summary["notes"])


def test_without_exemplars_old_classes_are_forgotten_and_with_them_they_are_not(
    first: tuple[Path, Path], raw: Path, tmp_path: Path
) -> None:
    kept = {}
    for replay in (0.0, 0.5):
        one = family(
            continual=ContinualSettings(replay=replay, memory=20, choose="herding").model_dump()
        )
        features = features_of(one, raw, tmp_path / f"{replay}", first[1])
        model = model_of(one, features, tmp_path / f"{replay}-model")
        assert judged(one, model, features).metrics["accuracy"] > 0.9
        kept[replay] = judged(one, model, first[0]).metrics["accuracy"]
        seen = Memory.load(model / "memory.safetensors")
        assert sorted(seen.seen) == [0, 1, 2, 3]
        assert np.bincount(seen.rows["target"]).tolist() == [5, 5, 5, 5]
    assert kept[0.0] < 0.6
    assert kept[0.5] > 0.9


def test_the_network_keeps_the_earlier_scales_and_weighs_classes_by_all_rows_so_far(
    first: tuple[Path, Path], raw: Path, tmp_path: Path
) -> None:
    from safetensors.torch import load_file

    from modelyard.families.tabular.mlp import MlpFamily
    from modelyard.training.continual import continued

    one = family(model__class_weight="balanced")
    features = features_of(one, raw, tmp_path / "features", first[1])
    model = continued(MlpFamily(one.config), features, ContinualSettings(), 0).model(
        features / "assets"
    )
    assert isinstance(model, Perceptron)
    assert model.mean.tolist() == load_file(first[1] / "model.safetensors")["mean"].tolist()
    assert 0.9 < (model.class_weights.max() / model.class_weights.min()).item() < 1.2


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"kind": "lightgbm"}, r"'model\.kind' = 'lightgbm'.*--set model\.kind=mlp"),
        ({"features__target": "width"}, r"--set features\.target=tree"),
        (
            {"features__task": "regression"},
            r"'features\.task' = 'regression'.*has 'classification'",
        ),
        ({"features__positive": "date"}, r"'features\.positive' = 'date'"),
    ],
)
def test_another_target_task_or_kind_does_not_go_on(
    changes: dict[str, object], said: str, first: tuple[Path, Path], raw: Path, tmp_path: Path
) -> None:
    with pytest.raises(UsageError, match=said):
        features_of(family(**changes), raw, tmp_path / "features", first[1])  # type: ignore[arg-type]


def test_trees_say_that_they_start_anew() -> None:
    refusal = family("xgboost").config.refuses_warm_start()
    assert (
        refusal == "model.kind = xgboost is always fitted from scratch. Type: --set model.kind=mlp"
    )
    assert not family().config.refuses_warm_start()


def test_a_column_that_is_gone_is_named(
    first: tuple[Path, Path], raw: Path, tmp_path: Path
) -> None:
    (tmp_path / "raw").mkdir()
    text = (raw / "trees.csv").read_text().replace("width", "girth")
    (tmp_path / "raw" / "trees.csv").write_text(text)
    with pytest.raises(BadData, match="column 'width'"):
        features_of(family(), tmp_path / "raw", tmp_path / "features", first[1])


def test_a_regression_goes_on_in_the_unit_it_learnt(tmp_path: Path) -> None:
    """The second part lies elsewhere on the same line: what the first one taught holds there
    too."""
    rng = np.random.default_rng(0)
    for name, low in (("a", 0.0), ("b", 10.0)):
        (tmp_path / name).mkdir()
        x = low + 10 * rng.random(200)
        rows = "".join(f"{one:.4f},{3 * one + 5 + rng.normal(0, 0.1):.4f}\n" for one in x)
        (tmp_path / name / "line.csv").write_text(f"x,y\n{rows}")
    one = family(features__target="y", continual={"memory": 30}, training__epochs=60)
    before = features_of(one, tmp_path / "a", tmp_path / "fa")
    model = model_of(one, before, tmp_path / "ma")
    after = features_of(one, tmp_path / "b", tmp_path / "fb", model)
    again = model_of(one, after, tmp_path / "mb")
    assert ModelInfo.load(again).task == "regression"
    alone = family(features__target="y", continual={"replay": 0.0}, training__epochs=60)
    forgot = model_of(alone, after, tmp_path / "mc")
    errors = [judged(one, folder, before).metrics["mae"] for folder in (model, again, forgot)]
    assert errors[1] < 2 * errors[0] + 0.3
    assert errors[2] > 2 * errors[1]
    assert json.loads((again / "model.json").read_text())["columns"] == 1


@pytest.mark.parametrize("loss", ["auto", "log"])
def test_a_model_of_the_target_does_not_go_on_with_its_logarithm(tmp_path: Path, loss: str) -> None:
    """Targets with a heavy tail, whose logarithm has none: the loss that a new model would get."""
    rng = np.random.default_rng(0)
    settings = TabularModel.model_validate({"kind": "mlp", "loss": loss})
    y = np.exp(rng.normal(0, 2, 500))
    earlier = TargetScale(center=3.0, spread=2.0)
    assert loss == "log" or choose_loss(settings, y, float(y.min()), None).name == "log"
    if loss == "log":
        with pytest.raises(UsageError, match="model.loss=auto"):
            choose_loss(settings, y, float(y.min()), earlier)
        return
    found = choose_loss(settings, y, float(y.min()), earlier)
    assert (found.name, found.scale) == ("absolute", earlier)
