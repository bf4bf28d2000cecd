"""What a judged model is told of: figures, a table by class and size, the worst pictures first."""

from __future__ import annotations

import base64
import io
import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from modelyard.families.detection.baseline import load_objects, load_sizes
from modelyard.families.detection.family import Detection
from modelyard.families.detection.gallery import FOUND, THERE, drawn
from modelyard.families.detection.host import DetectionHost
from modelyard.judging.evaluation import Evaluation
from modelyard.kit.boxes.geometry import into_square
from modelyard.kit.splits import save_groups
from modelyard.runtimes.types import Arrays
from tests.training.going_on import features_of
from tests.unit.detection.folders import coco
from tests.unit.detection.test_detection_model import family

SIDE = 64


class Knowing:
    """Answers with the true objects of the test split, whose pictures come in order; but for the
    first of the picture `blind`."""

    def __init__(self, features: Path, blind: int | None = None) -> None:
        self.truth, self.sizes = load_objects(features, "test"), load_sizes(features, "test")
        self.features, self.blind = features, blind
        self.pixels = np.load(features / "test.npy")

    def __call__(self, graph: str, arrays: Arrays) -> Arrays:
        logits = np.full((len(arrays["pixels"]), 5, 3), -9.0, np.float32)
        logits[..., 2] = 9
        boxes = np.full((len(logits), 5, 4), 0.5, np.float32)
        for row, pixels in enumerate(arrays["pixels"]):
            (place,) = np.flatnonzero((self.pixels == pixels).all(axis=(1, 2, 3)))
            own = self.truth.rows(self.truth.picture == place)
            square = into_square(own.boxes, tuple(self.sizes[place].tolist()), SIDE) / SIDE
            for number, (label, box) in enumerate(zip(own.label, square, strict=True)):
                if place == self.blind and number == 0:
                    continue
                logits[row, number, label], logits[row, number, 2] = 9, -9
                boxes[row, number] = [*(box[:2] + box[2:]) / 2, *(box[2:] - box[:2])]
        return {"logits": logits, "boxes": boxes}


@pytest.fixture(scope="module")
def judging(tmp_path_factory: pytest.TempPathFactory) -> tuple[Detection, Path, DetectionHost]:
    root, one = tmp_path_factory.mktemp("judged"), family(features__test_share=0.4)
    coco(root / "raw", 40)
    features = features_of(one, root / "raw", root / "features")
    shutil.copytree(features / "assets", root / "assets")
    (root / "assets" / "network.json").write_text(json.dumps({"kind": "detr", "softmax": True}))
    return one, features, DetectionHost(root / "assets")


def evaluated(judging: tuple[Detection, Path, DetectionHost], blind: int | None) -> Evaluation:
    one, features, host = judging
    return one.evaluate(host, Knowing(features, blind), features, "test")


def test_intervals_rest_on_scenes_where_pictures_are_grouped(judging):
    plain = evaluated(judging, 0)
    _, features, _ = judging
    count = len(np.load(features / "test.npy", mmap_mode="r"))
    save_groups(features, "test", np.arange(count) % 4)
    try:
        grouped = evaluated(judging, 0)
    finally:
        (features / "test.groups.npy").unlink()
    assert grouped.metrics == plain.metrics
    assert grouped.samples != plain.samples
    assert "of 4 groups, which are few" in " ".join(grouped.notes)


def test_a_model_that_knows_all_has_all_right(judging):
    seen = evaluated(judging, None)
    assert seen.metrics["map"] == pytest.approx(1.0)
    assert (seen.metrics["precision"], seen.metrics["recall"]) == (1.0, 1.0)
    assert 0 < seen.baseline["map"] < 0.9
    (rival,) = seen.rivals.values()
    assert 0 <= rival < 0.9
    assert seen.gains[0].low > 0
    (table,) = seen.tables
    truth = load_objects(judging[1], "test")
    for number, row in enumerate(table.rows):
        cells = dict(zip(table.columns, row, strict=True))
        assert cells["class"] == ("cat", "dog")[number]
        assert cells["objects"] == (truth.label == number).sum()
        assert cells["AP"] == cells["AP small"] == cells["recall"] == 1.0
        assert cells["AP large"] == "–"
    captions = [picture.caption for picture in seen.plots[-1].pictures]
    assert all(caption.endswith(": all right") for caption in captions)


def test_the_picture_with_an_object_that_was_missed_comes_first(judging):
    truth = load_objects(judging[1], "test")
    blind = int(truth.picture[len(truth) // 2])
    seen = evaluated(judging, blind)
    names = json.loads((judging[1] / "test.files.json").read_text())["names"]
    captions = [picture.caption for picture in seen.plots[-1].pictures]
    assert captions[0] == f"{Path(names[blind]).name}: 1 missed"
    assert captions[1].endswith(": all right")
    assert seen.metrics["recall"] == pytest.approx(1 - 1 / len(truth))
    assert seen.metrics["precision"] == 1.0
    assert seen.metrics["map"] < 1
    url = seen.plots[-1].pictures[0].url
    tile = Image.open(io.BytesIO(base64.b64decode(url.partition(",")[2])))
    assert max(tile.size) == 240


def test_boxes_are_drawn_where_they_are_in_their_colours():
    tile = drawn(
        Image.new("RGB", (480, 240)),
        [("cat", np.array([40.0, 40, 160, 160]))],
        [("dog 0.90", np.array([280.0, 80, 440, 200]))],
    )
    assert tile.size == (360, 180)
    pixels = np.asarray(tile)
    for colour, edges in ((THERE, (30, 30, 120, 120)), (FOUND, (210, 60, 330, 150))):
        left, top, right, bottom = edges
        assert tuple(pixels[(top + bottom) // 2, left]) == colour
        assert tuple(pixels[(top + bottom) // 2, right - 1]) == colour
        assert tuple(pixels[bottom - 1, (left + right) // 2]) == colour
        assert tuple(pixels[(top + bottom) // 2, (left + right) // 2]) == (0, 0, 0)
