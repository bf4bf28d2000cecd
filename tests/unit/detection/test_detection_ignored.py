"""Ignored boxes that are of no class of training: what is found there is neither right nor wrong."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from modelyard.families.detection.baseline import load_objects
from modelyard.families.detection.config import DetectionConfig, DetectionFeatures
from modelyard.families.detection.family import Detection
from modelyard.kit.boxes.precision import EVERY, Objects
from tests.unit.detection.folders import coco
from tests.unit.detection.test_detection_lists import kitti
from tests.unit.detection.test_detection_tools import labelme

REGION = (1, 2, 30, 9)


def crowds(raw: Path) -> None:
    """COCO with a crowd of a class that has no other objects in each picture."""
    content = coco(raw)
    content["categories"].append({"id": 99, "name": "herd"})
    left, top, right, bottom = REGION
    for number in range(20):
        box = [left, top, right - left, bottom - top]
        crowd = {"id": 500 + number, "image_id": number, "category_id": 99, "bbox": box}
        content["annotations"].append(crowd | {"iscrowd": 1})
    (raw / "instances.json").write_text(json.dumps(content))


def ignored(raw: Path) -> None:
    """LabelMe with a shape that is called `__ignore__` in each picture."""
    labelme(raw)
    shape = {"label": "__ignore__", "points": [REGION[:2], REGION[2:]], "shape_type": "rectangle"}
    for file in raw.rglob("*.json"):
        content = json.loads(file.read_text())
        content["shapes"].append(shape)
        file.write_text(json.dumps(content))


def family(raw: Path) -> tuple[Detection, Path, dict[str, Any]]:
    out = raw.parent / "features"
    (out / "assets").mkdir(parents=True)
    one = Detection(DetectionConfig(features=DetectionFeatures(size=64)))
    return one, out, one.features(raw, out)


@pytest.mark.parametrize(("write", "count"), [(crowds, 20), (ignored, 20), (kitti, 7)])
def test_what_is_found_in_a_region_is_neither_right_nor_wrong(
    tmp_path: Path, write: Callable[[Path], None], count: int
) -> None:
    write(tmp_path / "raw")
    one, out, summary = family(tmp_path / "raw")
    assert list(summary["classes"]) == ["cat", "dog"]
    assert f"{count} crowds, regions or difficult objects, neither found" in summary["headline"]
    assert not [reason for reason in summary["dropped"] if "training lacks" in reason]
    truth = load_objects(out, "train")
    regions = np.flatnonzero(truth.label == EVERY)
    assert truth.ignored[regions].all()
    assert len(regions) > 3
    # Of each class an answer in a corner of each region that touches no object.
    picture = np.repeat(truth.picture[regions], 2)
    inside = np.tile([1.5, 2.0, 3.0, 3.0], (len(picture), 1))
    found = Objects.of(picture, np.tile([0, 1], len(regions)), inside)
    right, wrong, objects = one._against(out, "train", found).counts(0.5)
    assert (right.sum(), wrong.sum()) == (0, 0)
    assert objects.sum() == (~truth.ignored).sum()
    # Where there is no region it is wrong.
    outside = inside + np.array([36, 26, 36, 26])
    aside = Objects.of(picture, found.label, outside)
    assert one._against(out, "train", aside).counts(0.5)[1].sum() == len(picture)


def test_training_learns_nothing_in_a_region(tmp_path: Path) -> None:
    crowds(tmp_path / "raw")
    one, out, _ = family(tmp_path / "raw")
    objects = one.annotations(out, "train")
    regions = objects[..., 5] == 1
    assert regions.sum() == len(objects)
    assert (objects[regions][:, 0] == 0).all()
