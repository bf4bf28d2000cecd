"""Every kind of tabular model, in every task: it learns, it is read back, and its graph answers
as it does."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import onnx
import pytest
import xgboost

from modelyard.families.tabular.config import TabularConfig, TabularFeatures
from modelyard.families.tabular.family import Tabular
from modelyard.families.tabular.kinds import GRAPH, INPUT, floor32
from modelyard.families.tabular.native import load_trained, to_onnx
from modelyard.families.tabular.scale import TargetScale
from modelyard.families.tabular.schema import TableSchema
from modelyard.families.tabular.table import ModelInfo, load_split, save_split
from modelyard.kit.classes.decision import Decision
from modelyard.kit.columns.encode import Encoder
from modelyard.kit.columns.schema import Column
from modelyard.runtimes.onnx import OnnxRuntime
from modelyard.runtimes.types import Arrays, Runtime
from modelyard.training.loop import Trainer

pytestmark = pytest.mark.usefixtures("one_thread")

KINDS = [
    "linear",
    "tree",
    "forest",
    "bagging",
    "boosting",
    "xgboost",
    "lightgbm",
    "svm",
    "stack",
    "mlp",
]
TASKS = {"binary": ["no", "yes"], "four classes": ["a", "b", "c", "d"], "regression": None}


class Recorded:
    """Keeps what a progress bar would be told."""

    def __init__(self) -> None:
        self.calls: list[tuple[int, int]] = []

    def __call__(self, done: int, total: int, **figures: float) -> None:
        assert all(np.isfinite(figure) for figure in figures.values())
        self.calls.append((done, total))


def write_features(folder: Path, classes: list[str] | None, rows: int = 400) -> Path:
    """Six columns of different scale; the target follows two of them, and is steep where they
    cross zero."""
    rng = np.random.default_rng(7)
    (folder / "assets").mkdir(parents=True)
    columns = [
        Column(name=f"x{number}", role="numeric", transform="identity") for number in range(6)
    ]
    task = "classification" if classes else "regression"
    schema = TableSchema(target="y", task=task, classes=classes, columns=columns)
    schema.save(folder / "assets")
    for split, count in {"train": rows, "validation": rows // 2, "test": rows // 2}.items():
        x = (rng.normal(size=(count, 6)) * [1, 3, 100, 0.01, 1, 1] + [0, 5, 0, 0, 0, 0]).astype(
            np.float32
        )
        signal = np.sin(2 * x[:, 0]) + (x[:, 1] - 5) / 3 + 0.2 * rng.normal(size=count)
        y: np.ndarray = 50 + 10 * signal
        if classes:
            y = np.digitize(signal, [0.8] if len(classes) == 2 else [-1, 0, 1]).astype(np.int64)
        save_split(folder, split, x, y)
        if split == "train":
            inputs = {column.name: x[:, place] for place, column in enumerate(columns)}
            Encoder.fit(inputs, schema, TabularFeatures()).save(folder / "assets")
    return folder


def train(
    folder: Path, features: Path, kind: str, **model: object
) -> tuple[TabularConfig, dict[str, object]]:
    settings = {"kind": kind, "trees": 30, "learning_rate": 0.2, "hidden": (32,), **model}
    config = TabularConfig.model_validate(
        {"model": settings, "training": {"epochs": 15, "batch_size": 64, "learning_rate": 0.01}}
    )
    shutil.copytree(features / "assets", folder / "assets")
    return config, Tabular(config).fit(features, folder, Trainer(0, config.training))


def onnx_runtime(config: TabularConfig, model: Path, tmp: Path) -> Runtime:
    import onnxruntime
    import torch

    (graph,) = Tabular(config).graphs(model)
    assert graph.name == "model"
    if graph.module is not None:
        rows = torch.export.Dim("rows")
        program = torch.onnx.export(
            graph.module,
            kwargs={"features": torch.from_numpy(graph.example["features"])},
            dynamo=True,
            dynamic_shapes={"features": {0: rows}},
            output_names=list(
                graph.module(**{"features": torch.from_numpy(graph.example["features"])})
            ),
            verbose=False,
        )
        program.save(tmp / "mlp.onnx")
        session = onnxruntime.InferenceSession(tmp / "mlp.onnx")
    else:
        session = onnxruntime.InferenceSession(graph.onnx)
    names = [output.name for output in session.get_outputs()]

    def run(name: str, arrays: Arrays) -> Arrays:
        return dict(zip(names, session.run(names, arrays), strict=True))

    return run


@pytest.fixture(scope="module", params=list(TASKS))
def features(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_features(tmp_path_factory.mktemp("features"), TASKS[request.param])


@pytest.fixture(scope="module", params=KINDS)
def trained(
    request: pytest.FixtureRequest, features: Path, tmp_path_factory: pytest.TempPathFactory
) -> tuple[TabularConfig, Path, dict[str, object]]:
    out = tmp_path_factory.mktemp("model")
    config, card = train(out, features, request.param)
    return config, out, card


@pytest.fixture(scope="module")
def exported(trained: tuple, tmp_path_factory: pytest.TempPathFactory) -> Runtime:
    config, out, _ = trained
    return onnx_runtime(config, out, tmp_path_factory.mktemp("onnx"))


def output(run: Runtime, x: np.ndarray) -> np.ndarray:
    (array,) = run("model", {"features": x}).values()
    return array


def test_every_kind_beats_the_prior_on_rows_it_has_not_seen(features: Path, trained: tuple) -> None:
    config, out, _ = trained
    x, y = load_split(features, "test")
    answer = output(Tabular(config).native(out), x)
    if answer.ndim == 1:
        answer = TargetScale.load(out / "assets").restored(answer)
        assert np.abs(answer - y).mean() < 0.7 * np.abs(np.median(y) - y).mean()
    else:
        prior = np.bincount(y).max() / len(y)
        assert (answer.argmax(axis=1) == y).mean() > prior + 0.05


@pytest.mark.parametrize("kind", ["boosting", "lightgbm"])
def test_boosting_learns_from_forty_rows(tmp_path: Path, kind: str) -> None:
    features = write_features(tmp_path / "f", None, rows=40)
    config, _ = train(tmp_path / "m", features, kind)
    x, y = load_split(features, "validation")
    values = Tabular(config).native(tmp_path / "m")("model", {"features": x})["value"]
    assert np.corrcoef(values, y)[0, 1] > 0.5


@pytest.mark.parametrize("rows", [1, 7, 2_000])
def test_the_graph_answers_as_the_library_does(
    features: Path, trained: tuple, exported: Runtime, rows: int
) -> None:
    config, out, _ = trained
    x = np.random.default_rng(rows).choice(load_split(features, "test")[0], rows)
    x[:, 0] += np.random.default_rng(1).normal(size=rows).astype(np.float32)
    expected = Tabular(config).native(out)("model", {"features": x})
    seen = exported("model", {"features": x})
    assert list(seen) == list(expected)
    for name in expected:
        assert seen[name].dtype == expected[name].dtype == np.float32
        assert seen[name].shape == expected[name].shape
        np.testing.assert_allclose(seen[name], expected[name], rtol=1e-5, atol=1e-5)


def test_inputs_on_a_tree_threshold_take_the_same_branch_in_the_graph(
    features: Path, trained: tuple, exported: Runtime
) -> None:
    config, out, _ = trained
    x, _ = load_split(features, "train")
    near = np.concatenate(
        [x, np.nextafter(x, np.float32(np.inf)), np.nextafter(x, np.float32(-np.inf))]
    )
    middles = np.sort(x, axis=0)
    middles = ((middles[1:].astype(np.float64) + middles[:-1]) / 2).astype(np.float32)
    x = np.concatenate([near, middles])
    np.testing.assert_allclose(
        output(exported, x), output(Tabular(config).native(out), x), rtol=1e-5, atol=1e-5
    )


def test_the_folder_alone_says_what_it_holds(features: Path, trained: tuple) -> None:
    _, out, card = trained
    info = ModelInfo.load(out)
    x, _ = load_split(features, "test")
    assert info.columns == x.shape[1]
    other = TabularConfig.model_validate(
        {"model": {"kind": "linear" if info.kind == "mlp" else "mlp"}}
    )
    assert output(Tabular(other).native(out), x[:3]).shape[0] == 3
    assert not list(out.rglob("*.pkl"))
    if info.classes is not None:
        decision = Decision.load(out / "assets")
        assert (decision.threshold is not None) == (len(info.classes) == 2)
    background = np.load(out / "assets/background.npy")
    assert background.dtype == np.float32
    assert background.shape == (64, 6)
    if info.kind in ("boosting", "xgboost", "lightgbm", "mlp"):
        curves = next(iter(card["curves"].values()))
        assert len(curves["train"]) == len(curves["validation"]) >= 2
        assert curves["validation"][-1] < curves["validation"][0]


@pytest.mark.parametrize("kind", KINDS)
def test_balanced_class_weights_raise_the_rare_classes_probability(
    tmp_path: Path, kind: str
) -> None:
    features = write_features(tmp_path / "features", ["no", "yes"])
    x, _ = load_split(features, "test")
    means = []
    for weight in ("none", "balanced"):
        config, _ = train(tmp_path / weight, features, kind, class_weight=weight, max_depth=4)
        means.append(output(Tabular(config).native(tmp_path / weight), x)[:, 1].mean())
    assert means[1] > means[0] + 0.01


@pytest.mark.parametrize("kind", KINDS)
def test_the_same_seed_gives_the_same_model(tmp_path: Path, kind: str) -> None:
    features = write_features(tmp_path / "features", ["a", "b", "c", "d"])
    x, _ = load_split(features, "test")
    answers = []
    for name in ("first", "second"):
        config, _ = train(tmp_path / name, features, kind)
        answers.append(output(Tabular(config).native(tmp_path / name), x))
    assert np.array_equal(*answers)


def test_boosting_reports_its_progress_and_keeps_the_trees_up_to_its_best_round(
    tmp_path: Path,
) -> None:
    features = write_features(tmp_path / "features", None, rows=200)
    for kind in ("lightgbm", "xgboost", "boosting"):
        config = TabularConfig.model_validate(
            {"model": {"kind": kind, "trees": 400, "learning_rate": 0.3, "refit": "off"}}
        )
        shutil.copytree(features / "assets", tmp_path / kind / "assets")
        progress = Recorded()
        trainer = Trainer(0, config.training, progress)
        card = Tabular(config).fit(features, tmp_path / kind, trainer)
        assert card["trees"] < 300
        assert str(card["trees"]) in card["headline"]
        losses = card["curves"]["root mean squared error"]["validation"]
        assert len(losses) == card["trees"] + 30
        x, y = load_split(features, "validation")
        value = output(Tabular(config).native(tmp_path / kind), x)
        scale = TargetScale.load(tmp_path / kind / "assets")
        kept = np.sqrt(np.square(scale.restored(value) - y).mean())
        assert kept == pytest.approx(min(losses), rel=1e-4)
        trained = load_trained(tmp_path / kind, ModelInfo.load(tmp_path / kind))
        counts = {"lightgbm": "num_trees", "xgboost": "num_boosted_rounds", "boosting": "n_iter_"}
        count = getattr(trained, counts[kind])
        assert (count() if callable(count) else count) == card["trees"]
        assert progress.calls[-1][1] == 400
        assert [done for done, _ in progress.calls] == sorted(done for done, _ in progress.calls)


def test_a_wrong_graph_or_input_is_named(features: Path, trained: tuple) -> None:
    from modelyard.errors import UsageError

    config, out, _ = trained
    run = Tabular(config).native(out)
    x = load_split(features, "test")[0][:2]
    with pytest.raises(UsageError, match=r"'modle'.*Did you mean 'model'"):
        run("modle", {"features": x})
    with pytest.raises(UsageError, match="features"):
        run("model", {"x": x})


def test_a_class_without_training_rows_is_bad_data(tmp_path: Path) -> None:
    from modelyard.errors import BadData

    features = write_features(tmp_path / "features", ["no", "yes"])
    schema = TableSchema.load(features / "assets")
    schema.model_copy(update={"classes": ["no", "yes", "maybe"]}).save(features / "assets")
    with pytest.raises(BadData, match="'maybe' has no rows"):
        train(tmp_path / "model", features, "linear")


def test_a_model_file_of_another_type_is_refused(tmp_path: Path) -> None:
    import skops.io
    from sklearn.gaussian_process.kernels import RBF

    from modelyard.errors import BrokenArtifact

    features = write_features(tmp_path / "features", ["no", "yes"])
    config, _ = train(tmp_path / "model", features, "linear")
    skops.io.dump(RBF(), tmp_path / "model/model.skops")
    with pytest.raises(BrokenArtifact, match=r"gaussian_process\.kernels\.RBF"):
        Tabular(config).native(tmp_path / "model")


def test_floor32_never_rounds_up() -> None:
    values = np.random.default_rng(0).normal(size=10_000) * 1e3
    rounded = floor32(values)
    assert (rounded <= values).all()
    assert (np.nextafter(rounded.astype(np.float32), np.float32(np.inf)) > values).all()
    assert np.array_equal(rounded.astype(np.float32).astype(np.float64), rounded)
    assert floor32(np.array([np.inf]))[0] == np.inf


@pytest.mark.parametrize("kind", ["boosting", "xgboost", "lightgbm"])
@pytest.mark.parametrize("classes", [["no", "yes"], ["a", "b", "c", "d"]])
def test_boosted_classes_are_exported_as_sums_of_scores_without_a_label(
    kind: str, classes: list[str], tmp_path: Path
) -> None:
    """The operator for classifiers takes up to twice as long."""
    config, _ = train(tmp_path / "model", write_features(tmp_path / "data", classes), kind)
    (graph,) = Tabular(config).graphs(tmp_path / "model")
    operators = [node.op_type for node in onnx.load_from_string(graph.onnx).graph.node]
    assert operators[0] == "TreeEnsembleRegressor"
    assert "TreeEnsembleClassifier" not in operators


def test_trees_that_ask_the_same_are_exported_once(tmp_path: Path) -> None:
    """Stumps on one column with one place to cut can only repeat each other."""
    x = np.repeat(np.arange(2, dtype=np.float32), 50)[:, None]
    x[7, 0] = np.nan
    y = (x[:, 0] > 0).astype(int)
    y[[3, 60, 70]] = 1 - y[[3, 60, 70]]
    booster = xgboost.XGBClassifier(n_estimators=30, max_depth=1).fit(x, y).get_booster()
    info = ModelInfo(kind="xgboost", task="classification", columns=1, classes=["0", "1"])
    exported = to_onnx(booster, info, 18)
    trees = onnx.load_from_string(exported).graph.node[0]
    numbers = next(one.ints for one in trees.attribute if one.name == "nodes_treeids")
    assert len(set(numbers)) == 1
    run = OnnxRuntime({GRAPH: exported})
    answer = run(GRAPH, {INPUT: x})["probabilities"]
    np.testing.assert_allclose(answer[:, 1], booster.inplace_predict(x), atol=1e-6)
    np.testing.assert_allclose(answer.sum(axis=1), 1, atol=1e-6)
