"""Any number of labels a picture: how they are read, learned, answered and explained."""

from __future__ import annotations

import base64
import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sklearn import metrics as sk

from modelyard.errors import BadData, UsageError
from modelyard.families.image.config import ImageConfig
from modelyard.families.image.host import ImageHost, LabelsImageHost
from modelyard.families.image.samples import DEFECTS, parts
from modelyard.families.image.spec import ImageSpec
from modelyard.families.image.tasks.build import build
from modelyard.families.image.tasks.data import data as open_data
from modelyard.families.image.tasks.host import host as open_host
from modelyard.kit.classifier import store
from modelyard.kit.labels.host import LabelsAnswer
from modelyard.training.loop import Trainer
from tests.training.going_on import features_of
from tests.unit.image.test_image_data import picture, save, scans, table

NAMES = ("Bird", "cat", "dog")
FAST = {
    "features": {"labels": "many", "sample_images": 360},
    "model": {"width": 8},
    "training": {"epochs": 10, "batch_size": 16, "learning_rate": 1e-2},
}


def held(number: int) -> list[str]:
    """The names that are bits of a number."""
    return [name for place, name in enumerate(NAMES) if number >> place & 1]


def pictures(raw: Path, count: int = 64) -> Path:
    for number in range(count):
        save(raw / f"some/{number:02}.png", picture(number, number % 2 == 1))
    return raw


def flags(raw: Path, count: int = 64, header: str = f"path,{','.join(NAMES)}") -> Path:
    """A table with a column for each name."""
    rows = []
    for number in range(count):
        cells = [str(number >> place & 1) for place in range(len(NAMES))]
        rows.append(f"some/{number:02}.png,{','.join(cells)}")
    return table(pictures(raw, count), rows, header)


def cells(raw: Path, between: str, column: str = "labels") -> Path:
    """A table with one column of names."""
    rows = [f'some/{number:02}.png,"{between.join(held(number))}"' for number in range(64)]
    return table(pictures(raw), rows, f"file,{column}")


def read(raw: Path, **settings: Any) -> tuple[dict[str, Any], Path]:
    out = raw.parent / "out"
    (out / "assets").mkdir(parents=True)
    config = ImageConfig.model_validate({"features": {"labels": "many", **settings}})
    return open_data(config).features(raw, out), out


def stored(out: Path) -> dict[str, list[str]]:
    """Labels by file, over all splits."""
    classes = ImageSpec.load(out / "assets").classes
    found = {}
    for split in ("train", "validation", "test"):
        files = store.load_files(out, split)
        for (name, _), row in zip(files, store.load_labels(out, split), strict=True):
            found[name] = [classes[place] for place in np.flatnonzero(row)]
    return found


EXPECTED = {f"some/{number:02}.png": held(number) for number in range(64)}


def test_each_column_of_0_and_1_is_a_label(tmp_path: Path) -> None:
    summary, out = read(flags(tmp_path / "raw"))
    assert stored(out) == EXPECTED
    assert ImageSpec.load(out / "assets").labels == "many"
    assert any("; 8 pictures have none" in note for note in summary["notes"])


@pytest.mark.parametrize("between", [";", "|", ", "])
def test_one_column_may_hold_all_labels_or_none(tmp_path: Path, between: str) -> None:
    _, out = read(cells(tmp_path / "raw", between))
    assert stored(out) == EXPECTED


def test_words_for_0_and_1_and_other_separators_of_columns_are_read(tmp_path: Path) -> None:
    raw = flags(tmp_path / "raw", header=f"Filename,{','.join(NAMES)}")
    text = (raw / "labels.csv").read_text()
    words = text.replace(",1", ",True").replace(",0", ",0.0").replace(",", "\t")
    (raw / "labels.csv").write_text(words)
    assert stored(read(raw)[1]) == EXPECTED


def test_columns_that_are_no_labels_are_left_out_by_name(tmp_path: Path) -> None:
    raw = flags(tmp_path / "raw")
    lines = (raw / "labels.csv").read_text().splitlines()
    aged = [f"{lines[0]},age", *(f"{line},{number + 20}" for number, line in enumerate(lines[1:]))]
    (raw / "labels.csv").write_text("\n".join(aged))
    summary, out = read(raw, classes=NAMES)
    assert stored(out) == EXPECTED
    assert "No labels are, by features.classes: age." in summary["notes"]


def test_splits_and_groups_of_the_table_are_kept(tmp_path: Path) -> None:
    raw = flags(tmp_path / "raw")
    lines = (raw / "labels.csv").read_text().splitlines()
    given = [f"{lines[0]},split"]
    for number, line in enumerate(lines[1:]):
        given.append(f"{line},{'train' if number < 40 else 'val' if number < 52 else 'test'}")
    (raw / "labels.csv").write_text("\n".join(given))
    assert read(raw)[0]["rows"] == {"train": 40, "validation": 12, "test": 12}


@pytest.mark.parametrize(
    ("row", "said"),
    [
        ("some/64.png,1,-1,0", "row 65, column 'cat': '-1' is neither 0 nor 1"),
        ("some/64.png,1,,0", "row 65, column 'cat': empty"),
        (",1,0,0", "row 65, column 'path': empty"),
        ("some/64.png,1,0", "row 65: 3 cells where the header has 4"),
        ("some/03.png,1,0,0", "row 65, column 'path': 'some/03.png' is in row 4 already"),
    ],
)
def test_a_faulty_row_is_named(tmp_path: Path, row: str, said: str) -> None:
    raw = flags(tmp_path / "raw")
    save(raw / "some/64.png", picture(64, True))
    with (raw / "labels.csv").open("a") as stream:
        stream.write(row + "\n")
    with pytest.raises(BadData) as caught:
        read(raw)
    assert f"labels.csv, {said}" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_label_that_is_named_twice_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BadData, match="column 'cat': stands 2 times in the first line"):
        read(flags(tmp_path / "raw", header="path,cat,cat,dog"))


def test_a_column_that_names_the_pictures_may_be_called_anything(tmp_path: Path) -> None:
    summary, _ = read(flags(tmp_path / "raw", header="picture_id,cat,dog,bird"))
    assert set(summary["classes"]) == {"cat", "dog", "bird"}
    said = (
        "labels.csv lists the pictures: picture_id is the picture, 3 columns of 0 and 1 the label."
    )
    assert said in summary["notes"]


def test_a_table_that_names_no_picture_is_refused(tmp_path: Path) -> None:
    raw = flags(tmp_path / "raw")
    (raw / "labels.csv").write_text("picture_id,a,b\nnone,0,1\n")
    with pytest.raises(BadData, match="column is missing. Its columns are picture_id, a"):
        read(raw)


def test_flags_without_the_setting_are_refused_with_it(tmp_path: Path) -> None:
    raw = flags(tmp_path / "raw")
    with pytest.raises(BadData, match="For several labels a picture: --set features.labels=many"):
        open_data(ImageConfig()).features(raw, tmp_path / "out")


def test_settings_of_one_label_are_refused() -> None:
    with pytest.raises(ValueError, match="features.sample=parts is of features.labels=many"):
        ImageConfig.model_validate({"features": {"labels": "many", "sample": "digits"}})
    with pytest.raises(ValueError, match="features.sample=parts is of features.labels=many"):
        ImageConfig.model_validate({"features": {"sample": "parts"}})
    with pytest.raises(ValueError, match="least_sensitivity is for one label"):
        ImageConfig.model_validate(FAST | {"model": {"least_sensitivity": 0.9}})


def test_the_built_in_surfaces_have_the_defects_that_their_table_says(tmp_path: Path) -> None:
    surfaces, there = parts(400, 7)
    clean = surfaces[~there.any(axis=1)].std(axis=(1, 2)).mean()
    for place, name in enumerate(DEFECTS):
        only = there[:, place] & (there.sum(axis=1) == 1)
        assert only.sum() > 3
        assert surfaces[only].std(axis=(1, 2)).mean() > clean, name
    again, _ = parts(400, 7)
    assert np.array_equal(again, surfaces)
    assert (parts(400, 8)[0] != surfaces).any()


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> tuple[Any, Path, Path]:
    """The building class, features and a model of 360 surfaces."""
    root = tmp_path_factory.mktemp("parts")
    one = build(ImageConfig.model_validate(FAST))
    (root / "raw").mkdir()
    (root / "out/assets").mkdir(parents=True)
    one.sample(root / "raw")
    one.features(root / "raw", root / "out")
    shutil.copytree(root / "out/assets", root / "model/assets")
    one.fit(root / "out", root / "model", Trainer(settings=one.config.training))
    return one, root / "out", root / "model"


def test_labels_are_learned_and_judged_by_scikit_learn_beside_the_most_frequent_ones(
    trained: tuple[Any, Path, Path],
) -> None:
    one, features, model = trained
    host, run = open_host(model / "assets"), one.native(model)
    assert isinstance(host, LabelsImageHost)
    found = one.evaluate(host, run, features)
    y = store.load_labels(features, "test").astype(bool)
    p = host.probabilities(run, store.load_arrays(features, "test"))
    answers = p >= np.array(host.thresholds.values)
    figures = {
        "micro_f1": sk.f1_score(y, answers, average="micro"),
        "macro_f1": sk.f1_score(y, answers, average="macro"),
        "macro_average_precision": sk.average_precision_score(y, p, average="macro"),
    }
    for name, value in figures.items():
        assert found.metrics[name] == pytest.approx(value), name
    assert found.metrics["micro_f1"] > found.baseline["micro_f1"] + 0.1
    assert found.baseline_name == "most frequent labels"
    (by_label,) = [one for one in found.tables if one.title == "By label"]
    assert [row[0] for row in by_label.rows] == sorted(DEFECTS)
    titles = [plot.title for plot in found.plots]
    assert titles == ["Recall and precision by label", "Worst errors", "Right answers"]
    assert len(set(host.thresholds.values)) > 1


def test_an_answer_holds_the_labels_that_reach_their_thresholds(
    trained: tuple[Any, Path, Path],
) -> None:
    one, features, model = trained
    host, run = open_host(model / "assets"), one.native(model)
    requests = [host.Request.model_validate(body) for body in one.requests(features, "test", 20)]
    thresholds = dict(zip(host.spec.classes, host.thresholds.values, strict=True))
    for request, answer in zip(requests, host.predict(run, requests), strict=True):
        assert isinstance(answer, LabelsAnswer)
        p = answer.probabilities
        assert set(answer.labels) == {name for name in p if p[name] >= thresholds[name]}
        assert sorted(answer.labels, key=lambda name: -p[name]) == answer.labels
        row = host.describe(request, answer)
        assert row["labels"] == len(answer.labels)
        assert row["label"] == max(p, key=lambda name: p[name])
        assert {"brightness", "contrast", "score", "entropy"} <= row.keys()
    assert json.loads(host.Response.model_validate(answer).model_dump_json())["labels"] is not None


def test_reasons_add_up_to_the_log_odds_of_the_most_probable_label(
    trained: tuple[Any, Path, Path],
) -> None:
    one, features, model = trained
    host, run = open_host(model / "assets"), one.native(model)
    for body in one.requests(features, "test", 5):
        request = host.Request.model_validate(body)
        (answer,) = host.predict(run, [request])
        reasons = host.explain(run, request)
        assert reasons is not None
        best = max(answer.probabilities, key=lambda name: answer.probabilities[name])
        assert reasons.output == f"log-odds of {best}"
        total = reasons.base + sum(reasons.contributions.values())
        assert 1 / (1 + np.exp(-total)) == pytest.approx(answer.probabilities[best], abs=1e-4)
        assert base64.b64decode(reasons.picture.partition(",")[2])[:4] == b"\x89PNG"


def test_a_model_of_one_label_is_opened_as_such_and_not_continued_with_many(
    trained: tuple[Any, Path, Path], tmp_path: Path
) -> None:
    model = trained[2]
    (tmp_path / "out/assets").mkdir(parents=True)
    open_data(ImageConfig()).features(scans(tmp_path / "raw"), tmp_path / "out")
    assert type(open_host(tmp_path / "out/assets")) is ImageHost
    with pytest.raises(UsageError, match=r"features\.labels"):
        features_of(build(ImageConfig()), tmp_path / "raw", tmp_path / "more", model)


@pytest.mark.parametrize("least", [0, 1])
def test_lists_of_labels_without_the_setting_are_refused_with_it(
    tmp_path: Path, least: int
) -> None:
    """Whether the first that is wrong is an empty cell or a list that hardly any picture has."""
    numbers = [number for number in range(64) if number % 8 >= least]
    rows = [f'some/{number:02}.png,"{";".join(held(number))}"' for number in numbers]
    raw = table(pictures(tmp_path / "raw"), [*rows[:20], *rows[-1:]], "file,label")
    config = ImageConfig.model_validate({"data": {"uri": "mine"}})
    with pytest.raises(BadData, match="--set features.labels=many"):
        open_data(config).features(raw, tmp_path / "features")
