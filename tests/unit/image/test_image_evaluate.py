"""Figures of a classifier, against scikit-learn's or by hand, for its own host and for
another's."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from scipy.stats import ks_2samp

from modelyard.card.canvas import style
from modelyard.card.figures import draw
from modelyard.errors import BadData, UsageError
from modelyard.families.image.config import ImageConfig
from modelyard.families.image.data import ImageData
from modelyard.families.image.family import Image as ImageFamily
from modelyard.families.image.host import ImageHost
from modelyard.families.image.samples import digits
from modelyard.families.image.spec import ImageSpec
from modelyard.judging.evaluation import Evaluation
from modelyard.kit.classes.decision import Decision
from modelyard.kit.classifier import store
from modelyard.kit.pictures.pixels import statistics
from modelyard.kit.pictures.simulated import shifted
from modelyard.runtimes.types import Arrays
from tests.unit.image.test_image_data import build, scans


def brightness(threshold: float = 128.0) -> Any:
    """A network that knows but the mean of the middle; its maps say where it is bright."""

    def run(graph: str, arrays: Arrays) -> Arrays:
        pixels = arrays["pixels"].mean(axis=1)
        bright = (pixels[:, 12:20, 12:20].mean(axis=(1, 2)) - threshold) / 40
        return {
            "logits": np.stack([-bright, bright], axis=1).astype(np.float32),
            "features": pixels[:, None, ::4, ::4],
        }

    return run


@pytest.fixture
def features(tmp_path: Path) -> Path:
    build(scans(tmp_path / "raw", {"dark": 30, "light": 20}), tmp_path / "out", size=32)
    return tmp_path / "out"


def test_answers_through_the_host_are_judged_beside_the_most_frequent_class(features: Path) -> None:
    host = ImageHost(features / "assets")
    result = ImageFamily(ImageConfig()).evaluate(host, brightness(), features)
    assert result.main == "roc_auc"
    assert result.metrics["accuracy"] == result.metrics["roc_auc"] == 1
    assert result.baseline["accuracy"] == pytest.approx(6 / 10)
    assert (result.baseline["recall"], result.baseline["specificity"]) == (0, 1)
    assert result.confusion is not None
    assert result.confusion.matrix == [[6, 0], [0, 4]]
    assert "recall: 4 of 4, 95 % interval 0.510 to 1.000 (Wilson)." in result.notes
    assert [plot.title for plot in result.plots] == [
        "ROC",
        "Precision and recall",
        "Recall and specificity by threshold",
        "Calibration",
        "Scores by class",
        "Right answers",
    ]


def test_the_worst_errors_come_first_and_are_drawn(features: Path) -> None:
    result = ImageFamily(ImageConfig()).evaluate(
        ImageHost(features / "assets"), brightness(-1000), features
    )
    plot = next(plot for plot in result.plots if plot.title == "Worst errors")
    assert [picture.caption.split(" (")[0] for picture in plot.pictures] == [
        "dark, answered light"
    ] * 6
    certain = [float(re.findall(r"\((.*)\)", picture.caption)[0]) for picture in plot.pictures]
    assert certain == sorted(certain, reverse=True)
    with style():
        drawn = draw(plot, "p-")
    assert drawn is not None
    assert drawn.svg.count("<img ") == 6
    same = Evaluation.model_validate_json(result.model_dump_json())
    assert same.model_dump() == result.model_dump()


def test_another_host_decodes_by_its_own_rules_and_its_classes_are_matched_by_name(
    features: Path, tmp_path: Path
) -> None:
    own = ImageSpec.load(features / "assets")
    other = tmp_path / "other"
    other.mkdir()
    own.model_copy(update={"size": 40, "classes": ["light", "dark"], "counts": [1, 1]}).save(other)

    def run(graph: str, arrays: Arrays) -> Arrays:
        assert arrays["pixels"].shape[1:] == (1, 40, 40)
        middle = arrays["pixels"][:, 0, 16:24, 16:24].mean(axis=(1, 2))
        logits = np.stack([middle - 128, 128 - middle], axis=1).astype(np.float32)
        return {"logits": logits, "features": arrays["pixels"][:, :, ::5, ::5]}

    result = ImageFamily(ImageConfig()).evaluate(ImageHost(other), run, features)
    assert result.metrics["accuracy"] == result.metrics["roc_auc"] == 1


def test_a_class_that_the_host_does_not_know_counts_as_missed(
    features: Path, tmp_path: Path
) -> None:
    own = ImageSpec.load(features / "assets")
    own.model_copy(update={"classes": ["dark", "blue"]}).save(tmp_path)
    result = ImageFamily(ImageConfig()).evaluate(ImageHost(tmp_path), brightness(), features)
    assert result.metrics["accuracy"] == 0.6
    assert result.confusion is not None
    assert result.confusion.labels == ["dark", "light", "(another)"]
    assert "The model does not know light" in " ".join(result.notes)


def test_a_host_of_other_classes_altogether_is_not_judged(features: Path, tmp_path: Path) -> None:
    """Half of its answers would look right by chance, and any new model would take its place."""
    own = ImageSpec.load(features / "assets")
    own.model_copy(update={"classes": ["cat", "dog"]}).save(tmp_path)
    with pytest.raises(UsageError, match=r"none of the data's classes \(dark, light\).* cat, dog"):
        ImageFamily(ImageConfig()).evaluate(ImageHost(tmp_path), brightness(), features)


def test_stored_pixels_are_what_a_request_becomes(features: Path) -> None:
    host = ImageHost(features / "assets")
    bodies = ImageData(ImageConfig()).requests(features, "test", None)
    seen = np.stack([host.decode(host.Request.model_validate(body)) for body in bodies])
    assert np.array_equal(seen, store.load_arrays(features, "test"))


def test_darker_and_noisier_pictures_drift_and_others_do_not() -> None:
    """The figures of two halves of the digits, one of them darkened."""
    pixels, _ = digits(600, 0)

    def rows(part: np.ndarray) -> dict[str, np.ndarray]:
        described = [statistics(Image.fromarray(one)) for one in part]
        return {name: np.array([row[name] for row in described], float) for name in described[0]}

    before, same, moved = rows(pixels[::2]), rows(pixels[1::2]), rows(shifted(pixels[1::2], 0.6, 0))
    for name in ("brightness", "contrast", "sharpness"):
        assert ks_2samp(before[name], same[name]).pvalue > 0.01
        assert ks_2samp(before[name], moved[name]).pvalue < 1e-6


def test_describing_tells_of_the_picture_and_the_answer(features: Path) -> None:
    host = ImageHost(features / "assets")
    (request,) = [
        host.Request.model_validate(body)
        for body in ImageData(ImageConfig()).requests(features, "test", 1)
    ]
    (answer,) = host.predict(brightness(), [request])
    row = host.describe(request, answer)
    assert (row["width"], row["height"], row["saturation"]) == (12, 12, 0)
    p = np.array(list(answer.model_dump()["probabilities"].values()))
    assert row["entropy"] == pytest.approx(-(p * np.log2(p)).sum())
    assert row["label"] == answer.model_dump()["label"]
    assert "image" not in row


def test_a_request_that_is_no_picture_names_its_field(features: Path) -> None:
    host = ImageHost(features / "assets")
    request = host.Request.model_validate({"image": "aGVsbG8="})
    with pytest.raises(BadData, match="column 'image': is not a picture") as caught:
        host.predict(brightness(), [request])
    assert caught.value.column == "image"


def test_without_a_decision_the_more_probable_class_is_the_answer() -> None:
    p = np.array([[0.5, 0.5], [0.51, 0.49]])
    assert Decision(threshold=0.5).labels(p).tolist() == [1, 0]
    assert Decision().labels(p).tolist() == [0, 0]
