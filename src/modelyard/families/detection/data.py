"""From a folder of pictures with boxes to splits and assets.

train.objects.npy …     a row an object: picture, class, left, top, right, bottom, ignored; of an ignored one
                        that is of no class of training the class is EVERY

and what `modelyard.kit.pictures.data` writes.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from modelyard.errors import BadData, first_of
from modelyard.families.detection.config import DetectionConfig
from modelyard.families.detection.samples import write_sample
from modelyard.families.detection.spec import DetectionSpec
from modelyard.kit.arrays import save_beside
from modelyard.kit.boxes.annotated import Annotated, annotated, look
from modelyard.kit.boxes.precision import EVERY
from modelyard.kit.boxes.reading import read_scenes
from modelyard.kit.boxes.scenes import Scene, Scenes
from modelyard.kit.classifier.divide import SPLITS
from modelyard.kit.classifier.examples import Example
from modelyard.kit.classifier.kind import read_bytes
from modelyard.kit.classifier.work import each
from modelyard.kit.pictures.data import NAMED, SquareData, grown, write_pictures
from modelyard.kit.pictures.parts import parted
from modelyard.kit.pictures.pixels import PAGES, PICTURES
from modelyard.kit.splits import save_groups_of


class DetectionData(SquareData[DetectionConfig, DetectionSpec]):
    """From a folder of pictures with boxes to arrays."""

    Spec = DetectionSpec

    def sample(self, raw: Path) -> None:
        """Writes simulated pictures as COCO has them."""
        settings = self.config.features
        write_sample(raw, settings.sample_pictures, settings.sample_drift, self.config.seed)

    def features(self, raw: Path, out: Path) -> dict[str, Any]:
        """Reads the pictures in `raw`; writes splits and assets to `out`. Returns the card's
        summary.

        Raises:
            BadData: with the file, and the line or entry in it.
            UsageError: the settings are not those of the earlier model.
        """
        earlier = self.earlier(out)
        listing = read_scenes(raw, PICTURES, self.config.features.format)
        examples = [_example(scene) for scene in listing.scenes]
        limits = self.limits
        looks = each(examples, lambda example: look(read_bytes(example.file, limits), limits))
        pictures: dict[str, Annotated] = {}
        for scene, picture in zip(listing.scenes, looks, strict=True):
            pictures[scene.picture.name] = annotated(scene, picture)
        # Copies of a picture with other boxes are told apart by these words.
        labelled = [replace(example, label=pictures[example.name].words) for example in examples]
        digests = [picture.digest for picture in looks]
        settings, seed = self.config.features, self.config.data.split_seed
        parts = parted(raw, listing, labelled, digests, settings, seed, "boxes")
        spec = self._fitted(raw, parts, pictures, earlier)
        _check_splits(raw, parts, pictures, spec)
        for split in SPLITS:
            _write_split(out, split, parts[split], pictures, spec)
        self.save_spec(out, spec, earlier)
        return _summary(listing, parts, pictures, spec)

    def _fitted(
        self,
        raw: Path,
        parts: dict[str, list[Example]],
        pictures: dict[str, Annotated],
        earlier: DetectionSpec | None,
    ) -> DetectionSpec:
        """What the training pictures ask for; the earlier model's, with new classes behind."""
        train = [pictures[example.name] for example in parts["train"]]
        counts: Counter[str] = Counter()
        for picture in train:
            counts.update(_looked_for(picture))
        if not counts:
            raise BadData("no training picture has a box", file=raw)
        every = grown(earlier, dict(sorted(counts.items())))
        sizes = [picture.size for picture in train]
        seen = len(train)
        if earlier is not None:
            seen += earlier.pictures
        return self.spec_of(every, sizes, earlier, pictures=seen)


def _example(scene: Scene) -> Example:
    return Example(scene.picture.name, scene.picture, "", scene.split)


def _looked_for(one: Annotated) -> list[str]:
    """The classes of a picture's objects, without those that are ignored."""
    labels = zip(one.labels, one.ignored.tolist(), strict=True)
    return [label for label, ignored in labels if not ignored]


def _check_splits(
    raw: Path,
    parts: dict[str, list[Example]],
    pictures: dict[str, Annotated],
    spec: DetectionSpec,
) -> None:
    """Every split has an object of a known class to be found."""
    for split, part in parts.items():
        labels: set[str] = set()
        for example in part:
            labels.update(_looked_for(pictures[example.name]))
        if labels.isdisjoint(spec.classes):
            problem = f"the {split} split ({len(part)} pictures) has no box of a class of training"
            raise BadData(problem, file=raw, hint="It needs more pictures with boxes")


def _write_split(
    out: Path,
    split: str,
    part: list[Example],
    pictures: dict[str, Annotated],
    spec: DetectionSpec,
) -> None:
    sizes = [pictures[example.name].size for example in part]
    write_pictures(out, split, [example.file for example in part], sizes, spec)
    rows: list[list[float]] = []
    for place, example in enumerate(part):
        one = pictures[example.name]
        columns = zip(one.labels, one.boxes.tolist(), one.ignored.tolist(), strict=True)
        for label, box, ignored in columns:
            if label in spec.classes:
                rows.append([place, spec.classes.index(label), *box, ignored])
            elif ignored:
                rows.append([place, EVERY, *box, ignored])
    objects = np.array(rows, np.float64).reshape(-1, 7)
    save_beside(out, split, "objects", objects)
    save_groups_of(out, split, [example.group for example in part])


def _summary(
    listing: Scenes,
    parts: dict[str, list[Example]],
    pictures: dict[str, Annotated],
    spec: DetectionSpec,
) -> dict[str, Any]:
    rows = {split: len(part) for split, part in parts.items()}
    some: list[Annotated] = []
    looked_for: Counter[str] = Counter()
    counts: dict[str, Counter[str]] = {}
    for split, part in parts.items():
        counts[split] = Counter()
        for example in part:
            one = pictures[example.name]
            some.append(one)
            counts[split].update(one.labels)
            looked_for.update(_looked_for(one))
    total: Counter[str] = Counter()
    for count in counts.values():
        total.update(count)
    headline = f"{listing.format}: {sum(rows.values()):,} pictures, {total.total():,} boxes of "
    headline += f"{len(spec.classes)} classes, {spec.size} px"
    ignored = sum(int(picture.ignored.sum()) for picture in some)
    said = {
        "pictures without boxes": sum(not picture.labels for picture in some),
        "of the boxes cut at the picture's edge": sum(picture.cut for picture in some),
        "crowds, regions or difficult objects, neither found nor missed": ignored,
        f"pictures {PAGES}": sum(picture.pages for picture in some),
    }
    for words, number in said.items():
        if number:
            headline += f", {number:,} {words}"
    listing.drop("boxes: without area in the picture", sum(picture.empty for picture in some))
    strange = sorted(looked_for.keys() - set(spec.classes))
    lost = sum(looked_for[name] for name in strange)
    listing.drop(f"boxes: of a class that training lacks ({first_of(strange, NAMED)})", lost)
    if turns := sum(picture.was_turned for picture in some):
        listing.notes.append(f"{turns} pictures were turned by EXIF, and their boxes with them.")
    classes = {}
    for name in spec.classes:
        classes[name] = {split: counts[split][name] for split in SPLITS}
    return {
        "headline": headline,
        "rows": rows,
        "dropped": listing.dropped,
        "unit": PICTURES.many,
        "classes": classes,
        "side": spec.size,
        "notes": listing.notes,
    }
