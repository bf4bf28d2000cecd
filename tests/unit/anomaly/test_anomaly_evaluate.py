"""What is reported is what the rows say, recomputed by other formulas."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from modelyard.contract.isolated import ask
from modelyard.errors import BadData
from modelyard.families.anomaly import plots, probe
from modelyard.families.anomaly.config import AnomalyConfig
from modelyard.families.anomaly.events import events, found
from modelyard.families.anomaly.judged import Moments
from modelyard.families.anomaly.parts import Part
from modelyard.families.anomaly.schema import Schema
from modelyard.judging.compare import difference
from modelyard.packages.package import Package
from tests.unit.anomaly.conftest import WINDOW, Trained

TrainedKind = Callable[[str], Trained]


def part_of(
    labels: list[int], series: list[int] | None = None, kinds: list[int] | None = None
) -> Part:
    rows = len(labels)
    of = np.array(series or [0] * rows)
    return Part(
        x=np.random.default_rng(0).normal(0, 1, (rows, 2)).astype(np.float32),
        segment=of,
        series=of,
        time=np.arange(rows, dtype=float),
        label=np.array(labels, np.int8),
        kind=np.array(kinds or [-1] * rows),
    )


def test_rows_are_judged_by_their_own_label_and_not_in_the_aftermath_of_an_anomaly() -> None:
    moments = Moments.of(part_of([0, 0, 0, 1, 1, 0, 0, 0, 0, -1]), 3)
    assert moments.ends.tolist() == [2, 3, 4, 7, 8, 9]
    assert moments.label.tolist() == [0, 1, 1, 0, 0, -1]


def test_events_are_runs_of_a_series_and_their_delay_counts_from_the_first_row() -> None:
    part = part_of(
        [0, 1, 1, 1, 0, 1, 1, 1, 0, 0],
        [0, 0, 0, 0, 0, 0, 0, 1, 1, 1],
        [-1, 0, 0, 0, -1, 1, 1, 0, -1, -1],
    )
    moments = Moments.of(part, 1)
    all_events = events(moments)
    assert [(event.first, event.kind) for event in all_events] == [(1, 0), (5, 1), (7, 0)]
    alarm = np.isin(moments.ends, [3, 5, 9])
    result = found(all_events, moments, alarm, ["leak", "jam", "unseen"])
    assert result == {
        "event_recall": pytest.approx(2 / 3),
        "event_recall: leak": 0.5,
        "event_recall: jam": 1.0,
        "detection_delay": 1.0,
    }
    assert "detection_delay" not in found(all_events, moments, np.zeros(10, bool), [])


def test_an_event_whose_start_cannot_be_judged_still_counts_its_delay_from_there() -> None:
    moments = Moments.of(part_of([1, 1, 1, 1, 1, 0]), 4)
    (event,) = events(moments)
    assert event.first == 0
    assert event.delay(moments, moments.ends == 4) == 4


def test_the_metrics_are_those_of_the_definitions(trained: TrainedKind) -> None:
    one = trained("ocsvm")
    result = one.family.evaluate(one.host, one.run, one.features)
    part = Part.load(one.features, "test")
    kept = [
        row
        for row in range(WINDOW - 1, len(part.x))
        if part.segment[row - WINDOW + 1] == part.segment[row]
        and (part.label[row] == 1 or not part.label[row - WINDOW + 1 : row + 1].any())
    ]
    score, y = one.host.scores(one.run, part.x[kept][:, None]), part.label[kept]
    alarm = score > one.host.detector.threshold
    wins = (score[y == 1][:, None] > score[y == 0]).mean() + (
        score[y == 1][:, None] == score[y == 0]
    ).mean() / 2
    assert result.rows == len(kept)
    assert result.metrics["roc_auc"] == pytest.approx(wins)
    assert result.metrics["precision"] == pytest.approx(y[alarm].mean())
    assert result.metrics["recall"] == pytest.approx(alarm[y == 1].mean())
    assert result.metrics["false_alarm_rate"] == pytest.approx(alarm[y == 0].mean())
    order = np.argsort(-score)
    precision = np.cumsum(y[order]) / np.arange(1, len(y) + 1)
    assert result.metrics["average_precision"] == pytest.approx(precision[y[order] == 1].mean())
    train = Part.load(one.features, "train").x.astype(np.float64)
    z = np.abs((part.x[kept] - train.mean(axis=0)) / train.std(axis=0)).max(axis=1)
    wins = (z[y == 1][:, None] > z[y == 0]).mean() + (z[y == 1][:, None] == z[y == 0]).mean() / 2
    assert result.baseline["roc_auc"] == pytest.approx(wins)
    matrix = [[int(((y == a) & (alarm == b)).sum()) for b in (0, 1)] for a in (0, 1)]
    assert result.confusion is not None
    assert result.confusion.matrix == matrix
    (table,) = result.tables
    assert table.title == "By machine"
    for place, row in enumerate(table.rows):
        own = part.series[kept] == place
        assert row[1] == own.sum()
        assert row[2] == pytest.approx(np.median(score[own]), abs=1e-4)
        assert row[3] == pytest.approx(alarm[own & (y == 0)].mean(), abs=1e-4)
        assert row[4] == pytest.approx(alarm[own & (y == 1)].mean(), abs=1e-4)


def test_a_card_has_the_figures_of_the_field(trained: TrainedKind) -> None:
    result = trained("lstm").family.evaluate(
        trained("lstm").host, trained("lstm").run, trained("lstm").features
    )
    assert result.roc is not None
    titles = " | ".join(plot.title for plot in result.plots)
    for words in (
        "Severity over time, machine-",
        "Precision and recall",
        "Severities",
        "share of each column",
    ):
        assert words in titles
    assert "labelled anomaly" in [series.name for series in result.plots[0].series]
    (alarms,) = [plot for plot in result.plots if plot.kind == "heatmap"]
    assert np.allclose(np.sum(alarms.matrix, axis=1), 1, atol=1e-2)
    result.model_dump_json()


def unlabelled(features: Path, into: Path) -> Path:
    shutil.copytree(features, into)
    for name in ("validation", "test"):
        part = Part.load(features, name)
        clean = part.label != 1
        Part(
            **{key: value[clean] for key, value in vars(part).items()}
            | {"label": part.label[clean] * 0 - 1}
        ).save(into, name)
    return into


@pytest.mark.parametrize("kind", ["autoencoder", "lstm"])
def test_without_labels_a_probe_ranks_and_the_false_alarm_rate_is_told(
    kind: str, trained: TrainedKind, tmp_path: Path
) -> None:
    one = trained(kind)
    result = one.family.evaluate(one.host, one.run, unlabelled(one.features, tmp_path / "features"))
    assert result.main == "probe_roc_auc"
    assert set(result.metrics) == {"probe_roc_auc", "false_alarm_rate", "score_shift"}
    assert result.metrics["probe_roc_auc"] > result.baseline["probe_roc_auc"] + 0.1
    assert 0 < result.metrics["false_alarm_rate"] < 0.1
    assert "Without labels there is nothing better" in " ".join(result.notes)
    assert result.confusion is result.roc is None


def test_the_probe_disturbs_one_column_of_the_latest_rows(machines: Path) -> None:
    moments, schema = (
        Moments.of(Part.load(machines, "test"), WINDOW),
        Schema.load(machines / "assets"),
    )
    made = probe.make(moments, schema)
    moved = made.plain != made.disturbed
    assert moved[:, : -WINDOW // 4].sum() == 0
    assert set(moved.any(axis=1).sum(axis=1).tolist()) == {1}
    shifted = np.abs(made.disturbed - made.plain)[1::2, -1].max(axis=1)
    assert set(
        np.round(
            shifted / np.array([c.spread for c in schema.columns])[moved[1::2, -1].argmax(axis=1)],
            2,
        )
    ) == {1.5}


def test_the_score_shift_moves_when_the_machine_does(trained: TrainedKind, tmp_path: Path) -> None:
    one = trained("autoencoder")
    before = one.family.evaluate(one.host, one.run, one.features).metrics["score_shift"]
    shutil.copytree(one.features, tmp_path / "features")
    test = Part.load(one.features, "test")
    test.x[:, 4] += 5
    test.save(tmp_path / "features", "test")
    assert before < 0.15
    assert (
        one.family.evaluate(one.host, one.run, tmp_path / "features").metrics["score_shift"]
        > before + 0.3
    )


def test_a_detector_of_rows_and_one_of_windows_are_judged_on_the_same_rows(
    trained: TrainedKind,
) -> None:
    rows, windows = trained("autoencoder"), trained("lstm")
    first = windows.family.evaluate(rows.host, rows.run, windows.features)
    second = windows.family.evaluate(windows.host, windows.run, windows.features)
    assert first.rows == second.rows
    assert first.baseline["roc_auc"] == second.baseline["roc_auc"]
    assert first.metrics["roc_auc"] != second.metrics["roc_auc"]


def test_rows_without_a_time_are_judged_whatever_stands_above_them(
    trained: TrainedKind, tmp_path: Path
) -> None:
    one = trained("iforest")
    shutil.copytree(one.features, tmp_path / "features")
    schema = Schema.load(one.features / "assets")
    schema.model_copy(update={"step": None, "time_column": None}).save(tmp_path / "features/assets")
    part = Part.load(one.features, "test")
    # As connections of a network: half of them attacks, in no order.
    marks = np.arange(len(part.label)) % 2
    Part(**{**vars(part), "label": marks.astype(np.int8)}).save(tmp_path / "features", "test")
    found = one.family.evaluate(one.host, one.run, tmp_path / "features")
    assert found.rows == len(marks)
    assert 0 <= found.metrics["roc_auc"] <= 1


def test_a_validation_split_of_anomalies_only_compares_by_the_probe(
    trained: TrainedKind, tmp_path: Path
) -> None:
    one = trained("iforest")
    shutil.copytree(one.features, tmp_path / "features")
    for name in ("validation", "test"):
        part = Part.load(one.features, name)
        marks = np.ones(len(part.label), np.int8)
        Part(**{**vars(part), "label": marks}).save(tmp_path / "features", name)
    found = one.family.evaluate(one.host, one.run, tmp_path / "features", "validation")
    assert found.main == "probe_roc_auc"
    assert found.metrics["probe_roc_auc"] > 0.6
    with pytest.raises(BadData, match="the test split has no normal row with 12 rows.*window"):
        one.family.evaluate(one.host, one.run, tmp_path / "features")


def test_a_detector_is_judged_on_data_with_its_columns_in_another_order(
    trained: TrainedKind, tmp_path: Path
) -> None:
    one = trained("iforest")
    shutil.copytree(one.features, tmp_path / "features")
    schema, order = Schema.load(one.features / "assets"), [3, 1, 0, 2, 7, 6, 5, 4]
    swapped = schema.model_copy(update={"columns": [schema.columns[index] for index in order]})
    swapped.save(tmp_path / "features/assets")
    for name in ("calibration", "test"):
        part = Part.load(one.features, name)
        Part(**{**vars(part), "x": part.x[:, order]}).save(tmp_path / "features", name)
    before = one.family.evaluate(one.host, one.run, one.features).metrics
    after = one.family.evaluate(one.host, one.run, tmp_path / "features").metrics
    assert after["roc_auc"] == pytest.approx(before["roc_auc"])
    short = schema.model_copy(update={"columns": schema.columns[1:]})
    short.save(tmp_path / "features/assets")
    with pytest.raises(BadData, match="column 'speed': the data no longer has this column"):
        one.family.evaluate(one.host, one.run, tmp_path / "features")


@pytest.mark.parametrize("labels", [True, False])
def test_a_folder_of_ones_own_goes_from_files_to_a_package(labels: bool, tmp_path: Path) -> None:
    from modelyard.families.anomaly.family import Anomaly
    from modelyard.stages import STAGES
    from modelyard.stages.run import Run

    raw = tmp_path / "mine"
    raw.mkdir()
    sample = AnomalyConfig.debug().model_copy(update={"seed": 5})
    Anomaly(sample).sample(raw)
    if not labels:
        for file in raw.iterdir():
            lines = [line.split(",") for line in file.read_text().splitlines()]
            kept = [",".join(cells[:-2]) for cells in lines if cells[-2] != "1"]
            file.write_text("\n".join(kept) + "\n")
    config = {
        "data": {"uri": str(raw)},
        "features": {"window": 12, "most_lost": 0.6},
        "model": {"kind": "ocsvm", "false_alarm_rate": 0.02},
    }
    run, made = (
        Run.of("anomaly", config),
        {name: tmp_path / name for name in ("dataset", "features", "model")},
    )
    STAGES["ingest"](run, dataset=made["dataset"])
    STAGES["features"](run, dataset=made["dataset"], features=made["features"])
    STAGES["train"](run, features=made["features"], model=made["model"])
    both = {"features": made["features"], "model": made["model"]}
    STAGES["evaluate"](run, **both, evaluation=tmp_path / "evaluation")
    STAGES["export"](run, **both, graphs=tmp_path / "graphs")
    STAGES["package"](
        run,
        **both,
        evaluation=tmp_path / "evaluation",
        graphs=tmp_path / "graphs",
        package=tmp_path / "package",
    )
    package = Package(tmp_path / "package")
    assert package.info.gate.metric == ("roc_auc" if labels else "probe_roc_auc")
    golden = package.golden()
    alone = ask("serve", str(tmp_path / "package"))
    assert alone["loaded"] == []
    assert difference(golden["response"], alone["response"]) == ""


@pytest.mark.parametrize(
    ("first", "step", "unit"),
    [
        (1_700_000_000, 60, "days since 2023-11-14 22:13 UTC"),
        (1_700_000_000_000, 60_000, "days since 2023-11-14 22:13 UTC"),
        (1_700_000_000_000_000_000, 60_000_000_000, "days since 2023-11-14 22:13 UTC"),
        (0, 1, "time"),
        (1e30, 1e20, "time"),
    ],
)
def test_times_since_1970_are_drawn_in_days_whatever_their_unit(
    first: float, step: float, unit: str
) -> None:
    days, said = plots._axis([first, first + 1440 * step])
    assert said == unit
    if unit != "time":
        assert days == pytest.approx([0, 1])
