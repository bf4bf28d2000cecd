"""Many labels a text: how they are read, answered and judged."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from modelyard.errors import BadData, UsageError
from modelyard.families.text.config import TextConfig
from modelyard.families.text.host import TextRequest
from modelyard.families.text.tasks.data import data as open_data
from modelyard.families.text.tasks.host import host as open_host
from modelyard.kit.classifier import store
from modelyard.kit.labels.choosing import best_thresholds, fit_thresholds
from modelyard.kit.labels.decision import Thresholds
from modelyard.kit.labels.evaluate import align_labels, frequent_labels, label_metrics
from modelyard.kit.labels.host import LabelsAnswer
from modelyard.runtimes.types import Arrays
from modelyard.stages.lost import losses
from tests.unit.text.test_text_data import table

WORDS = {"red": "colour", "cube": "shape", "fast": "speed"}


def rows(count: int = 60, between: str = "|") -> list[tuple[str, str]]:
    """Texts of the words that are bits of their number, and the labels of these words."""
    found = []
    for number in range(count):
        words = [word for place, word in enumerate(WORDS) if number >> place & 1]
        text = f"it is {' and '.join(words)}, item {number}"
        found.append((text, between.join(WORDS[word] for word in words)))
    return found


def built(raw: Path, **settings: Any) -> tuple[dict[str, Any], Path]:
    out = raw.parent / "out"
    (out / "assets").mkdir(parents=True, exist_ok=True)
    config = TextConfig.model_validate({"features": {"labels": "many", **settings}})
    return open_data(config).features(raw, out), out


def stored(out: Path) -> dict[str, list[str]]:
    """Labels by text, over all splits."""
    classes = open_host(out / "assets").spec.classes
    found = {}
    for split in ("train", "validation", "test"):
        files = store.load_files(out, split)
        for (_, data), held in zip(files, store.load_labels(out, split), strict=True):
            found[data.decode()] = [classes[place] for place in np.flatnonzero(held)]
    return found


@pytest.mark.parametrize(
    ("between", "settings"), [("|", {}), (", ", {}), ("/", {"separator": "/"})]
)
def test_labels_of_a_cell_are_split(tmp_path: Path, between: str, settings: dict[str, str]) -> None:
    some = [(text, labels) for text, labels in rows(64, between) if labels]
    _, out = built(table(tmp_path / "raw", ("text", "labels"), some), **settings)
    assert stored(out) == {text: sorted(labels.split(between)) for text, labels in some}


def test_lists_of_json_need_no_separator_and_may_be_empty(tmp_path: Path) -> None:
    raw = tmp_path / "raw"
    raw.mkdir()
    lines = []
    for text, labels in rows():
        lines.append(json.dumps({"text": text, "tags": labels.split("|") if labels else []}))
    (raw / "data.jsonl").write_text("\n".join(lines))
    summary, out = built(raw, label_column="tags")
    assert stored(out) == {text: sorted(filter(None, cell.split("|"))) for text, cell in rows()}
    assert any("; 8 texts have none" in note for note in summary["notes"])


def test_every_split_has_every_label_and_rare_ones_are_counted(tmp_path: Path) -> None:
    some = [
        (text, f"{labels}|odd" if number < 5 else labels)
        for number, (text, labels) in enumerate(row for row in rows(160) if row[1])
    ]
    rare = [f"few{number}" for number in range(8)]
    some += [(f"{name} {number}", f"{name}|colour") for name in rare for number in range(6)]
    summary, _ = built(table(tmp_path / "raw", ("text", "labels"), some))
    assert summary["classes"].keys() == {"colour", "shape", "speed", *rare}
    assert min(min(summary["classes"][name].values()) for name in rare) > 0
    assert summary["dropped"] == {"labels: in fewer than 6 texts (odd)": 5}
    assert "5 labels dropped: in fewer than 6 texts (odd)" in losses(summary)


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("data.csv", "", "the file is empty"),
        ("data.csv", "text,labels\n", "has no rows|no row"),
        ("data.csv", "a,b,c\nx,y,z\n", "no column is the label by its name; seen: a, b, c"),
        (
            "data.csv",
            'text,labels\nx,a|b\ny,"[""a"""\n',
            "row 2, column 'labels': is no list of JSON",
        ),
        (
            "data.csv",
            "text,labels\nx,a\ny,b\n",
            r"no label holds any of \| ; ,.*features.labels=one",
        ),
        ("data.csv", "text,labels\n" + "x,a|a\n" * 9, "only the label 'a'; at least two"),
        (
            "data.csv",
            "text,labels\n" + "".join(f"{n},a|b{n}\n" for n in range(9)),
            "only the label",
        ),
        ("data.csv", "text,labels,split\nx,a|b,train\ny,a|b,tets\n", "row 2.*split 'tets'"),
        (
            "data.jsonl",
            '{"text": "x", "labels": ["a", ["b"]]}',
            r"row 1, column 'labels': holds \[",
        ),
        ("data.jsonl", '{"text": "x", "labels": [true]}', "row 1.*holds true; a label is a text"),
        ("data.jsonl", '{"text": "x", "labels": []}', "has no label at all"),
        ("data.jsonl", '{"text": "x", "labels": ["a"', "row 1: is not JSON"),
        (
            "data.csv",
            "text,labels,split\n1,a|b,train\n2,a|b,val\n3,a|c,test\n",
            "the test split has labels that no training example has: c",
        ),
    ],
)
def test_a_broken_file_gives_one_line(tmp_path: Path, name: str, content: str, said: str) -> None:
    (tmp_path / "raw").mkdir()
    (tmp_path / "raw" / name).write_text(content)
    with pytest.raises(BadData, match=said) as caught:
        built(tmp_path / "raw")
    assert "\n" not in str(caught.value)


def with_flags(raw: Path, name: str = "train.csv") -> list[tuple[str, list[str]]]:
    """Comments with a column of 0 and 1 for each label; what they hold."""
    wanted, lines = [], []
    for number, (text, labels) in enumerate(rows()):
        some = labels.split("|") if labels else []
        flags = [int(label in some) for label in ("colour", "shape", "speed")]
        lines.append((f"{number:016x}", text, *flags))
        wanted.append((text, some))
    table(raw, ("id", "comment_text", "colour", "shape", "speed"), lines, name)
    return wanted


def test_a_column_of_0_and_1_may_stand_for_each_label(tmp_path: Path) -> None:
    wanted = with_flags(tmp_path / "raw")
    summary, out = built(tmp_path / "raw")
    assert stored(out) == {text: sorted(labels) for text, labels in wanted}
    assert "Labels are the columns of 0 and 1: colour, shape, speed." in summary["notes"]


def test_columns_of_0_and_1_are_named_where_one_label_is_wanted(tmp_path: Path) -> None:
    with_flags(tmp_path / "raw")
    with pytest.raises(BadData, match="is a label: --set features.labels=many"):
        built(tmp_path / "raw", labels="one")


def test_a_file_without_labels_next_to_others_is_named(tmp_path: Path) -> None:
    with_flags(tmp_path / "raw")
    table(tmp_path / "raw", ("id", "comment_text"), [("1", "it is")], "more.csv")
    with pytest.raises(BadData, match=r"more.csv, column 'labels'.*out of the folder"):
        built(tmp_path / "raw")


def test_settings_for_one_label_are_refused(tmp_path: Path) -> None:
    raw = table(tmp_path / "raw", ("text", "labels"), [row for row in rows() if row[1]])
    with pytest.raises(UsageError, match="'features.positive' is for one label"):
        built(raw, positive="colour")
    with pytest.raises(
        BadData, match=r"column 'labels': class 'speed' is unknown.*features.classes"
    ):
        built(raw, classes=("colour", "shape"))


def test_labels_are_answered_from_their_own_threshold(tmp_path: Path) -> None:
    some = [row for row in rows() if row[1]]
    _, out = built(table(tmp_path / "raw", ("text", "labels"), some))
    Thresholds(values=[0.9, 0.4, 0.4], temperature=2.0).save(out / "assets")
    host = open_host(out / "assets")

    def run(graph: str, arrays: Arrays) -> Arrays:
        return {"logits": np.tile([[4.0, 0.0, -4.0]], (len(arrays["tokens"]), 1))}

    (answer,) = host.predict(run, [TextRequest(text="red")])
    assert isinstance(answer, LabelsAnswer)
    assert answer.labels == ["shape"]
    assert list(answer.probabilities.values()) == pytest.approx([0.8807971, 0.5, 0.1192029])
    figures = host.describe(TextRequest(text="red"), answer)
    assert (figures["label"], figures["labels"]) == ("colour", 1.0)
    assert figures["score"] == pytest.approx(0.8807971)


def test_figures_are_those_counted_by_hand() -> None:
    y = np.array([[1, 1, 0], [1, 0, 0], [0, 1, 0], [0, 0, 0]], bool)
    answers = np.array([[1, 0, 0], [1, 1, 0], [0, 1, 0], [0, 0, 1]], bool)
    judged = align_labels(answers * 0.8 + 0.1, answers, ["a", "b", "c"], y, ["a", "b", "c"])
    found = label_metrics(judged)
    # 3 of 4 labels are found, 3 of 5 answers are right; `c` has no example to be judged on.
    assert found["micro_recall"] == 3 / 4
    assert found["micro_precision"] == 3 / 5
    assert found["micro_f1"] == pytest.approx(2 / 3)
    assert found["macro_f1"] == pytest.approx((1 + 1 / 2) / 2)
    assert found["exact_match"] == 1 / 4
    assert found["hamming_loss"] == 3 / 12


def test_classes_are_matched_by_name_and_an_unknown_one_is_missed() -> None:
    y = np.array([[1, 0], [0, 1]], bool)
    held = np.array([[1, 1], [0, 1]], bool)
    judged = align_labels(held * 0.9, held, ["b", "z"], y, ["a", "b"])
    assert judged.answers.tolist() == [[False, True], [False, False]]
    assert judged.p.tolist() == [[0.0, 0.9], [0.0, 0.0]]


def test_the_baseline_answers_the_labels_with_the_best_f1_of_training() -> None:
    train = np.array([[1, 1, 0], [1, 0, 0], [1, 1, 1], [1, 0, 0]])
    found = frequent_labels(train, train[:1], ["a", "b", "c"])
    # One label: 8 / 11; two: 12 / 15; all three: 14 / 19.
    assert found.answers.tolist() == [[True, True, False]]
    assert found.p.tolist() == [[1.0, 0.5, 0.25]]


def test_thresholds_have_the_best_f1_of_validation_and_few_examples_choose_none() -> None:
    p = np.linspace(0.05, 0.95, 10)[:, None].repeat(2, axis=1)
    y = np.zeros((10, 2), bool)
    y[3:, 0] = True
    y[9, 1] = True
    y[:3, 0] = False
    values, few = best_thresholds(p, np.concatenate([y, y])[:10])
    assert few == 2  # three negatives of the first label, one positive of the second
    p, y = np.concatenate([p, p]), np.concatenate([y, y])
    values, few = best_thresholds(p, y)
    assert values == pytest.approx([0.3, 0.5])
    assert few == 1


def test_the_temperature_undoes_logits_that_are_too_large() -> None:
    rng = np.random.default_rng(0)
    logits = rng.normal(size=(4_000, 3))
    y = rng.random(logits.shape) < 1 / (1 + np.exp(-logits))
    found = fit_thresholds(3 * logits, y, calibrate=True)
    assert found.temperature == pytest.approx(3, rel=0.1)
    assert fit_thresholds(3 * logits, y, calibrate=False).temperature == 1
