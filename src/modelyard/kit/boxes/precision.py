"""Average precision of boxes or masks by pycocotools (Lin et al. 2014), by class and size, and how
sure it is. For judging, not for answering."""

from __future__ import annotations

import contextlib
import io
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np

from modelyard.kit.boxes.geometry import areas

SIZES = ("small", "medium", "large")
"""Under 32 x 32 pixels, under 96 x 96, and the rest, as COCO has them."""
MOST_FOUND, LEAST_SCORE = 100, 0.01
"""Objects of a class and picture that are judged, the surest; and how sure at least: what is surer than
the rest counts, not what is sure."""
EVERY = -1
"""Class of an ignored object that is none of those that are judged, such as a region that nobody labelled:
it is ignored for every class."""
HALF, THREE_QUARTERS = 0, 5
"""Places of the overlaps 0.5 and 0.75 among those that an average precision is the mean of."""


@dataclass(frozen=True)
class Objects:
    """Objects of a split, a row each."""

    picture: np.ndarray
    """Numbers of pictures, int64 (n,)."""
    label: np.ndarray
    """Numbers of classes, int64 (n,); of some true ones that are ignored EVERY."""
    boxes: np.ndarray
    """(n, 4): left, top, right and bottom in pixels."""
    score: np.ndarray
    """(n,). Of true objects 1."""
    ignored: np.ndarray
    """bool (n,): crowds and difficult objects, which are neither found nor missed."""
    masks: np.ndarray | None = None
    """Run lengths as COCO has them, {size, counts}, dict (n,). Where there are some, their pixels are
    compared, else the boxes."""

    @classmethod
    def of(
        cls,
        picture: Sequence[int] | np.ndarray,
        label: Sequence[int] | np.ndarray,
        boxes: Sequence[Sequence[float]] | np.ndarray,
        score: Sequence[float] | np.ndarray | None = None,
        ignored: Sequence[bool] | np.ndarray | None = None,
        masks: Sequence[Mapping[str, Any]] | None = None,
    ) -> Objects:
        """From columns of whatever type."""
        count = len(picture)
        if score is None:
            score = np.ones(count)
        if ignored is None:
            ignored = np.zeros(count, bool)
        runs = None
        if masks is not None:
            # Filled, for numpy would make an array of the dicts' keys.
            runs = np.empty(count, object)
            runs[:] = masks
        return cls(
            np.asarray(picture, np.int64).reshape(count),
            np.asarray(label, np.int64).reshape(count),
            np.asarray(boxes, np.float64).reshape(count, 4),
            np.asarray(score, np.float64).reshape(count),
            np.asarray(ignored, bool).reshape(count),
            runs,
        )

    @classmethod
    def masked(
        cls,
        picture: Sequence[int],
        label: Sequence[int],
        masks: Sequence[Mapping[str, Any]],
        score: Sequence[float] | None = None,
        ignored: Sequence[bool] | None = None,
    ) -> Objects:
        """From masks as run lengths, in whose boxes they are."""
        from pycocotools import mask as coco

        boxes = np.array([coco.toBbox(dict(mask)) for mask in masks], np.float64).reshape(-1, 4)
        # COCO's boxes are left, top, width and height.
        boxes[:, 2:] += boxes[:, :2]
        return cls.of(picture, label, boxes, score, ignored, masks)

    def __len__(self) -> int:
        return len(self.picture)

    def rows(self, chosen: np.ndarray) -> Objects:
        """Some of them."""
        masks = None if self.masks is None else self.masks[chosen]
        return Objects(
            self.picture[chosen],
            self.label[chosen],
            self.boxes[chosen],
            self.score[chosen],
            self.ignored[chosen],
            masks,
        )


@dataclass(frozen=True)
class ClassMatches:
    """What was found of a class in all pictures, the surest first, at each of the overlaps."""

    picture: np.ndarray
    """(found,)."""
    score: np.ndarray
    """(found,)."""
    right: np.ndarray
    """bool (overlaps, found): it is an object that is looked for."""
    wrong: np.ndarray
    """bool (overlaps, found): it is nothing. Neither: it is an ignored object."""
    objects: np.ndarray
    """Objects that are looked for, int64 (pictures,)."""

    def average_precision(self, weights: np.ndarray) -> float:
        """Mean over overlaps and the 101 recalls, each picture counting `weights` (pictures,) times.

        NaN where no picture that counts has an object.
        """
        from pycocotools.cocoeval import Params

        total = float(weights @ self.objects)
        if total == 0:
            return float("nan")
        # A picture that a bootstrap sample draws twice counts twice: no need to match it again.
        right = np.cumsum(self.right * weights[self.picture], axis=1)
        wrong = np.cumsum(self.wrong * weights[self.picture], axis=1)
        precision = right / np.maximum(right + wrong, 1e-12)
        # The precision at a recall is the best at this recall or a higher one.
        best = np.maximum.accumulate(precision[:, ::-1], axis=1)[:, ::-1]
        best = np.concatenate([best, np.zeros((len(best), 1))], axis=1)
        recalls = Params("bbox").recThrs
        found = []
        for line, reached in zip(best, right / total, strict=True):
            # A recall that is not reached has the zero at the end.
            found.append(line[np.searchsorted(reached, recalls)])
        return float(np.mean(found))


class Judged:
    """What was found in the pictures of a split, held against what is there."""

    def __init__(self, truth: Objects, found: Objects, pictures: int, classes: int) -> None:
        self.pictures, self.classes = pictures, classes
        evaluator = _evaluated(_of_each_class(truth, classes), found, pictures, classes)
        self._entries: list[Any] = evaluator.evalImgs
        # By overlap, recall, class, size and number found; -1 where there is no object.
        precision = evaluator.eval["precision"][..., -1]
        recall = evaluator.eval["recall"][..., -1]
        self.precision = np.where(precision < 0, np.nan, precision)
        self.recall = np.where(recall < 0, np.nan, recall)

    def figures(self) -> dict[str, float]:
        """COCO's metrics that are defined here."""
        precision, recall = self.precision, self.recall
        found = {
            "map": _mean(precision[:, :, :, 0]),
            "map_50": _mean(precision[HALF, :, :, 0]),
            "map_75": _mean(precision[THREE_QUARTERS, :, :, 0]),
        }
        for place, size in enumerate(SIZES, start=1):
            found[f"map_{size}"] = _mean(precision[:, :, :, place])
        found["recall_100"] = _mean(recall[:, :, 0])
        return {name: value for name, value in found.items() if not np.isnan(value)}

    def by_class(self, label: int) -> dict[str, float]:
        """Average precision of a class: over overlaps, at two of them, and by size; NaN where there
        is no object."""
        precision = self.precision[:, :, label]
        found = {
            "AP": _mean(precision[..., 0]),
            "AP50": _mean(precision[HALF, :, 0]),
            "AP75": _mean(precision[THREE_QUARTERS, :, 0]),
        }
        for place, size in enumerate(SIZES, start=1):
            found[size] = _mean(precision[..., place])
        return found

    def curve(self, label: int) -> np.ndarray:
        """Precision of a class at an overlap of 0.5 at recalls from 0 to 1, (101,)."""
        found: np.ndarray = self.precision[HALF, :, label, 0]
        return found

    @cached_property
    def matches(self) -> list[ClassMatches]:
        """By class, at all sizes."""
        return [self._of_class(label) for label in range(self.classes)]

    def _of_class(self, label: int) -> ClassMatches:
        # The evaluator's entries lie by class, then by size, of which the first is all, then by
        # picture.
        start = label * (1 + len(SIZES)) * self.pictures
        entries = self._entries[start : start + self.pictures]
        objects = np.zeros(self.pictures, np.int64)
        places: list[int] = []
        scores: list[float] = []
        # By the ten overlaps; an empty part, since nothing may be found in any picture.
        right, wrong = [np.zeros((10, 0), bool)], [np.zeros((10, 0), bool)]
        for picture, entry in enumerate(entries):
            # Neither an object of the class there nor an answer.
            if entry is None:
                continue
            objects[picture] = int((np.asarray(entry["gtIgnore"]) == 0).sum())
            places += [picture] * len(entry["dtScores"])
            scores += entry["dtScores"]
            matched, ignored = entry["dtMatches"] > 0, entry["dtIgnore"].astype(bool)
            right.append(matched & ~ignored)
            wrong.append(~matched & ~ignored)
        order = np.argsort(-np.array(scores), kind="stable")
        return ClassMatches(
            np.array(places, np.int64)[order],
            np.array(scores, np.float64)[order],
            np.concatenate(right, axis=1)[:, order],
            np.concatenate(wrong, axis=1)[:, order],
            objects,
        )

    def samples(self, draws: Iterable[np.ndarray]) -> list[float]:
        """`map` on bootstrap samples of the pictures, the same ones for every model."""
        found = []
        for drawn in draws:
            weights = np.bincount(drawn, minlength=self.pictures).astype(np.float64)
            values = [matches.average_precision(weights) for matches in self.matches]
            # Over the classes that this sample has objects of, as COCO's mean is over those of all.
            found.append(_mean(np.array(values)))
        return found

    def counts(self, threshold: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Of the answers that are this sure at least: how many are right and wrong at an overlap of
        0.5, and how many objects there are, by class and picture: int64 (classes, pictures) each."""
        right = np.zeros((self.classes, self.pictures), np.int64)
        wrong = np.zeros_like(right)
        for label, matches in enumerate(self.matches):
            sure = matches.score >= threshold
            # Not right[label, pictures] += 1, which counts several answers of a picture once.
            np.add.at(right[label], matches.picture[sure & matches.right[HALF]], 1)
            np.add.at(wrong[label], matches.picture[sure & matches.wrong[HALF]], 1)
        return right, wrong, np.stack([matches.objects for matches in self.matches])

    def best_threshold(self) -> float:
        """The score from which on answers have the best F1 at an overlap of 0.5, all classes
        together; 0.5 where nothing right was found."""
        scores = np.concatenate([matches.score for matches in self.matches])
        order = np.argsort(-scores, kind="stable")
        right = np.concatenate([matches.right[HALF] for matches in self.matches])[order]
        wrong = np.concatenate([matches.wrong[HALF] for matches in self.matches])[order]
        if not right.any():
            return 0.5
        objects = sum(int(matches.objects.sum()) for matches in self.matches)
        hits = np.cumsum(right)
        f1 = 2 * hits / (objects + hits + np.cumsum(wrong))
        # No threshold parts answers that are equally sure: all of them are given, or none.
        scores = scores[order]
        ends = np.r_[scores[1:] < scores[:-1], True]
        best = int(np.argmax(np.where(ends, f1, -1)))
        # Halfway to the next score: an answer just below it is as good as this one elsewhere.
        after = scores[min(best + 1, len(scores) - 1)]
        return float((scores[best] + after) / 2)


def _of_each_class(truth: Objects, classes: int) -> Objects:
    """The objects, those of EVERY class once for each: the evaluator judges class by class."""
    times = np.where(truth.label == EVERY, classes, 1)
    objects = truth.rows(np.repeat(np.arange(len(truth)), times))
    spread = objects.label == EVERY
    label = objects.label.copy()
    label[spread] = np.tile(np.arange(classes), int((truth.label == EVERY).sum()))
    return replace(objects, label=label)


def _evaluated(truth: Objects, found: Objects, pictures: int, classes: int) -> Any:
    """pycocotools' evaluator, which has evaluated and accumulated."""
    from pycocotools.coco import COCO
    from pycocotools.cocoeval import COCOeval

    # It asks for the size of a picture even where run lengths say it.
    images = [{"id": number, "height": 0, "width": 0} for number in range(pictures)]
    categories = [{"id": number, "name": str(number)} for number in range(classes)]
    sides = []
    # It prints what it does.
    with contextlib.redirect_stdout(io.StringIO()):
        for objects in (truth, found):
            side = COCO()
            annotations = _annotations(objects)
            side.dataset = {"images": images, "categories": categories, "annotations": annotations}
            side.createIndex()
            sides.append(side)
        compared = "bbox" if truth.masks is None else "segm"
        evaluator = COCOeval(*sides, compared)
        evaluator.params.imgIds = list(range(pictures))
        evaluator.params.catIds = list(range(classes))
        evaluator.params.maxDets = [MOST_FOUND]
        evaluator.evaluate()
        evaluator.accumulate()
    return evaluator


def _annotations(objects: Objects) -> list[dict[str, Any]]:
    sides = objects.boxes[:, 2:] - objects.boxes[:, :2]
    sizes = areas(objects.boxes)
    runs: list[Any] = [None] * len(objects)
    if objects.masks is not None:
        from pycocotools import mask as coco

        runs = list(objects.masks)
        sizes = np.array([coco.area(run) for run in runs], np.float64)
    columns = zip(
        objects.picture.tolist(),
        objects.label.tolist(),
        np.concatenate([objects.boxes[:, :2], sides], axis=1).tolist(),
        sizes.tolist(),
        objects.score.tolist(),
        objects.ignored.tolist(),
        runs,
        strict=True,
    )
    found: list[dict[str, Any]] = []
    for picture, label, box, area, score, ignored, run in columns:
        annotation = {
            # From 1 on: a match is known by the other side's id, and 0 is none.
            "id": len(found) + 1,
            "image_id": picture,
            "category_id": label,
            "bbox": box,
            "area": area,
            "score": score,
            "iscrowd": int(ignored),
            "segmentation": run,
        }
        found.append(annotation)
    return found


def _mean(values: np.ndarray) -> float:
    """Without those that are undefined; NaN where all are."""
    known = values[~np.isnan(values)]
    if known.size:
        return float(known.mean())
    return float("nan")
