"""Targets of any size and with any tail: what is packaged answers as what was trained."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import onnxruntime
import pandas as pd
import pytest

from modelyard.errors import UsageError
from modelyard.families.tabular.config import TabularConfig
from modelyard.families.tabular.family import Tabular
from modelyard.families.tabular.host import TabularHost
from modelyard.families.tabular.loss import LOSSES, covering, mean_to_standard_deviation
from modelyard.families.tabular.scale import TargetScale
from modelyard.families.tabular.table import load_split
from modelyard.judging.evaluation import Evaluation
from modelyard.kit.columns.frames import load_columns
from modelyard.runtimes.export import to_onnx
from modelyard.runtimes.types import Arrays, Runtime
from modelyard.training.loop import Trainer
from tests.sampled import sampled
from tests.unit.tabular.conftest import built

pytestmark = pytest.mark.usefixtures("one_thread")

KINDS = list(LOSSES)


def table(folder: Path, target: np.ndarray | None = None, rows: int = 300) -> Path:
    """Columns `a` and `b`, and a target `y` that follows them; or the given one."""
    rng = np.random.default_rng(5)
    a, b = rng.normal(size=rows), rng.choice(["red", "blue"], rows)
    if target is None:
        target = signal(rows)
    folder.mkdir()
    pd.DataFrame({"a": a, "b": b, "y": target}).to_csv(folder / "table.csv", index=False)
    return folder


def signal(rows: int = 300) -> np.ndarray:
    """What `a` and `b` say of the target, with noise: about 1 wide."""
    rng = np.random.default_rng(5)
    a, b = rng.normal(size=rows), rng.choice(["red", "blue"], rows)
    return np.asarray(a + (b == "red") + rng.normal(size=rows) / 4)


def fitted(raw: Path, out: Path, **model: object) -> tuple[Tabular, Path, Path]:
    settings = {"kind": "lightgbm", "trees": 30, "learning_rate": 0.2, "hidden": (16,), **model}
    config = TabularConfig.model_validate(
        {
            "features": {"target": "y", "task": "regression"},
            "data": {"uri": "mine"},
            "model": settings,
            "training": {"epochs": 25, "batch_size": 32, "learning_rate": 0.02},
        }
    )
    family = Tabular(config)
    (out / "features").mkdir(parents=True)
    family.features(raw, out / "features")
    shutil.copytree(out / "features/assets", out / "model/assets")
    family.fit(out / "features", out / "model", Trainer(0, config.training))
    return family, out / "features", out / "model"


def packaged(family: Tabular, model: Path, folder: Path) -> Runtime:
    """The exported graph in ONNX Runtime, as a package serves it."""
    (graph,) = family.graphs(model)
    to_onnx(graph, folder / "model.onnx", 18)
    session = onnxruntime.InferenceSession(folder / "model.onnx")
    names = [output.name for output in session.get_outputs()]

    def run(name: str, arrays: Arrays) -> Arrays:
        return dict(zip(names, session.run(names, arrays), strict=True))

    return run


def judged(family: Tabular, features: Path, model: Path, run: Runtime) -> Evaluation:
    return family.evaluate(TabularHost(model / "assets"), run, features)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    ("center", "width"),
    [
        (0, 1e-9),
        pytest.param(1e-9, 1e-12, marks=pytest.mark.slow),
        pytest.param(1, 1, marks=pytest.mark.slow),
        (1e15, 1),
    ],
)
def test_a_target_of_any_size_is_packaged_as_it_was_trained(
    tmp_path: Path, kind: str, center: float, width: float
) -> None:
    raw = table(tmp_path / "raw", center + width * signal())
    family, features, model = fitted(raw, tmp_path / "run", kind=kind)
    trained = judged(family, features, model, family.native(model))
    served = judged(family, features, model, packaged(family, model, tmp_path))
    baseline = trained.baseline["mae"]
    assert trained.metrics["mae"] < 0.6 * baseline
    assert abs(served.metrics["mae"] - trained.metrics["mae"]) < 0.01 * baseline
    assert trained.metrics["r2"] > 0.5


def test_a_large_target_comes_back_digit_for_digit(tmp_path: Path) -> None:
    y = 2_000_000_000 + np.round(100 * signal())
    raw = table(tmp_path / "raw", y)
    _, features, _ = fitted(raw, tmp_path / "run")
    kept = np.concatenate(
        [load_split(features, split)[1] for split in ("train", "validation", "test")]
    )
    assert sorted(kept) == sorted(y)


def pairs() -> list[tuple[str, str]]:
    return [(kind, loss) for kind, able in LOSSES.items() for loss in able]


@pytest.mark.parametrize(("kind", "loss"), sampled(pairs(), 2))
def test_every_loss_of_a_kind_learns_and_its_graph_answers_as_it_does(
    tmp_path: Path, kind: str, loss: str
) -> None:
    raw = table(tmp_path / "raw", np.exp(signal() / 2))
    family, features, model = fitted(raw, tmp_path / "run", kind=kind, loss=loss)
    trained = judged(family, features, model, family.native(model))
    served = judged(family, features, model, packaged(family, model, tmp_path))
    main = trained.main
    assert trained.metrics[main] < 0.75 * trained.baseline[main]
    ahead = trained.baseline[main] - trained.metrics[main]
    assert trained.gains[0].value == pytest.approx(ahead)
    assert served.metrics[main] == pytest.approx(trained.metrics[main], rel=1e-4)


@pytest.mark.parametrize("kind", [kind for kind in KINDS if "squared" in LOSSES[kind]])
def test_a_few_huge_targets_do_not_spoil_the_others(tmp_path: Path, kind: str) -> None:
    y = 4 + signal()
    y[2::50] = 20_000
    raw = table(tmp_path / "raw", y)
    results = []
    for loss in ("squared", "auto"):
        family, features, model = fitted(raw, tmp_path / loss, kind=kind, loss=loss)
        results.append(judged(family, features, model, family.native(model)))
    squared, auto = results
    assert auto.metrics["mae"] < squared.metrics["mae"]
    assert auto.metrics["median_absolute_error"] < auto.baseline["median_absolute_error"]


def test_the_loss_follows_the_tail_and_the_card_says_why(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    targets = {
        "squared": signal(),
        "log": np.exp(1.5 * signal()),
        "absolute": signal() + rng.standard_cauchy(300),
    }
    for number, (expected, y) in enumerate(targets.items()):
        raw = table(tmp_path / f"raw{number}", y)
        config = TabularConfig.model_validate(
            {"features": {"target": "y"}, "data": {"uri": "mine"}, "model": {"trees": 5}}
        )
        family, out = Tabular(config), tmp_path / f"run{number}"
        (out / "features").mkdir(parents=True)
        family.features(raw, out / "features")
        shutil.copytree(out / "features/assets", out / "model/assets")
        card = family.fit(out / "features", out / "model", Trainer(0, config.training))
        (said,) = [note for note in card["notes"] if note.startswith("Fitted with")]
        words = {"squared": "squared errors (", "log": "of the logarithm", "absolute": "absolute"}
        assert words[expected] in said
        assert ("heavy tail: mean deviation" in said) == (expected != "squared")
        assert ("squared errors of the logarithm" in card["headline"]) == (expected == "log")


@pytest.mark.parametrize("kind", [kind for kind in KINDS if "quantile" in LOSSES[kind]])
@pytest.mark.parametrize("quantile", sampled([0.9, 0.1], 2))
def test_a_quantile_is_fitted_judged_by_its_pinball_loss_and_packaged(
    tmp_path: Path, kind: str, quantile: float
) -> None:
    raw = table(tmp_path / "raw", signal(2_000), rows=2_000)
    family, features, model = fitted(
        raw, tmp_path / "run", kind=kind, loss="quantile", quantile=quantile
    )
    trained = judged(family, features, model, family.native(model))
    assert trained.main == "pinball_loss"
    assert trained.metrics["pinball_loss"] < 0.6 * trained.baseline["pinball_loss"]
    ahead = trained.baseline["pinball_loss"] - trained.metrics["pinball_loss"]
    assert trained.gains[0].value == pytest.approx(ahead)
    assert trained.metrics["coverage_error"] < 0.08
    _, y = load_split(features, "train")
    baseline = f"training {quantile:g} quantile, {np.quantile(y, quantile):.4g}"
    assert trained.baseline_name.startswith(baseline)
    (said,) = [note for note in trained.notes if note.startswith("Targets at or below")]
    assert said.endswith(f"It was fitted for {quantile:g}.")
    served = judged(family, features, model, packaged(family, model, tmp_path))
    assert served.metrics["pinball_loss"] == pytest.approx(
        trained.metrics["pinball_loss"], rel=1e-3
    )


def test_a_quantile_is_moved_to_where_it_covers_its_share_of_the_validation_rows(
    tmp_path: Path,
) -> None:
    noise = np.random.default_rng(2).exponential(size=1_500)
    raw = table(tmp_path / "raw", signal(1_500) + 4 * noise, rows=1_500)
    family, features, model = fitted(raw, tmp_path / "run", loss="quantile", quantile=0.9)
    host = TabularHost(model / "assets")
    columns = load_columns(features, "validation", host.schema)
    value = host.scores(family.native(model), columns)
    _, y = load_split(features, "validation")
    assert 0.9 <= (y <= value + 1e-6).mean() <= 0.91


@pytest.mark.parametrize("quantile", [0.05, 0.5, 0.9])
def test_values_moved_by_the_errors_of_unseen_rows_cover_as_many_of_others(quantile) -> None:
    rng = np.random.default_rng(4)
    y, value = rng.normal(size=20_000), rng.normal(size=20_000) / 3
    seen, others = slice(0, 10_000), slice(10_000, None)
    moved = value[others] + covering(y[seen], value[seen], quantile)
    assert (y[others] <= moved).mean() == pytest.approx(quantile, abs=0.015)


def test_of_few_rows_the_largest_error_is_taken() -> None:
    assert covering(np.array([1.0, 5.0, 2.0]), np.zeros(3), 0.99) == 5.0


def test_the_pinball_loss_is_least_at_the_quantile() -> None:
    y = np.random.default_rng(0).normal(size=4_000)
    torch = pytest.importorskip("torch")
    from modelyard.families.tabular.mlp import pinball

    target = torch.from_numpy(y)
    levels = np.linspace(-2, 2, 401)
    losses = [float(pinball(torch.full_like(target, level), target, 0.9)) for level in levels]
    assert levels[int(np.argmin(losses))] == pytest.approx(np.quantile(y, 0.9), abs=0.02)


def test_a_loss_that_a_kind_lacks_is_refused_in_one_line(tmp_path: Path) -> None:
    raw = table(tmp_path / "raw")
    with pytest.raises(UsageError, match=r"kind = linear cannot be fitted with 'absolute'; it can"):
        fitted(raw, tmp_path / "one", kind="linear", loss="absolute")
    with pytest.raises(UsageError, match="log needs targets above 0; the least is -"):
        fitted(raw, tmp_path / "two", loss="log")


def test_tails_are_measured_as_geary_did() -> None:
    rng = np.random.default_rng(1)
    assert mean_to_standard_deviation(rng.normal(size=100_000)) == pytest.approx(
        np.sqrt(2 / np.pi), abs=0.01
    )
    assert mean_to_standard_deviation(rng.exponential(size=100_000)) == pytest.approx(
        np.log(2), abs=0.01
    )
    assert mean_to_standard_deviation(np.full(5, 3.0)) == 1


@pytest.mark.parametrize("size", [1e-300, 1e-9, 1.0, 1e15, 1e149])
@pytest.mark.parametrize("robust", [False, True])
def test_a_scale_is_undone_to_the_last_digits(size: float, robust: bool) -> None:
    y = size * np.abs(signal())
    scale = TargetScale.fit(y, robust=robust)
    assert scale.scaled(y).std() == pytest.approx(1, rel=0.5)
    np.testing.assert_allclose(scale.restored(scale.scaled(y)), y, rtol=1e-12, atol=1e-15 * size)


def test_a_constant_target_keeps_its_value() -> None:
    scale = TargetScale.fit(np.full(9, 7e11))
    assert scale.restored(np.zeros(2, np.float32)).tolist() == [7e11, 7e11]


def summarized(tmp_path: Path, lines: list[str], **features: str) -> tuple[dict, Path]:
    (tmp_path / "raw").mkdir()
    (tmp_path / "raw/t.csv").write_text("x,y\n" + "".join(lines))
    return built(tmp_path, tmp_path / "raw", target="y", **features)


def test_counts_with_a_rare_tail_are_a_quantity_and_it_is_said(tmp_path: Path) -> None:
    rings = np.random.default_rng(0).poisson(8, 400)
    assert len(set(rings)) <= 20
    summary, _ = summarized(
        tmp_path, [f"{n * 0.31 % 7},{value}\n" for n, value in enumerate(rings)]
    )
    assert summary["task"] == "regression"
    said = f"{len(set(rings))} numbers, some rare, taken as a quantity"
    assert f"; {said} (for classes: features.task=classification)" in summary["headline"]
    assert any(said in note for note in summary["notes"])


def test_numbers_with_enough_rows_each_are_classes_and_it_is_said(tmp_path: Path) -> None:
    lines = [f"{n * 0.31 % 7},{n % 10}\n" for n in range(400)]
    summary, _ = summarized(tmp_path, lines)
    assert len(summary["classes"]) == 10
    assert (
        "10 numbers, taken as classes (for a quantity: features.task=regression)"
        in (summary["headline"])
    )


def test_a_few_codes_with_a_rare_one_are_not_a_quantity(tmp_path: Path) -> None:
    lines = [f"{n * 0.31 % 7},{0 if n < 3 else 1 + n % 2}\n" for n in range(300)]
    summary, _ = summarized(tmp_path, lines)
    assert "2 classes; 1 class of fewer than 6 rows left out (0: 3)" in summary["headline"]


@pytest.mark.parametrize(
    ("names", "positive"),
    [(("Active", "Churned"), "Churned"), (("ok", "defect"), "defect"), (("0", "2"), "0")],
)
def test_the_positive_class_is_said_in_the_stage_line_and_on_the_card(
    tmp_path: Path, names: tuple[str, str], positive: str
) -> None:
    # The second name is the more frequent one.
    lines = [f"{n * 0.31 % 7},{names[n % 4 > 0]}\n" for n in range(200)]
    summary, _ = summarized(tmp_path, lines)
    assert list(summary["classes"])[1] == positive
    assert f"; positive class: {positive} (" in summary["headline"]
    other = names[0] if positive == names[1] else names[1]
    assert any(f"--set features.positive={other}" in note for note in summary["notes"])


def test_a_rank_that_floats_miss_by_a_digit_is_taken_as_it_is() -> None:
    """100 * 0.07 is 7.000000000000001: the seventh error covers seven in a hundred."""
    errors = np.arange(1.0, 100.0)
    assert covering(errors, np.zeros(99), 0.07) == 7
