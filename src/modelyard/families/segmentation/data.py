"""From a folder of pictures with masks to splits and assets.

train.npy …                what the model sees: uint8 (pictures, 3, size, size)
train.masks.npy …          the class of each of these pixels, uint8 (pictures, size, size)
train.truth.files …        the class of each pixel of a mask as it is answered, PNG files
train.sizes.npy …          width and height of each picture
train.files …              the files' own bytes
"""

from __future__ import annotations

import base64
import hashlib
import io
import json
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np

from modelyard.errors import BadData
from modelyard.families.segmentation.config import SegmentationConfig
from modelyard.families.segmentation.masks import LARGEST
from modelyard.families.segmentation.reading import Drawn, Pair, Pairs, read_pairs
from modelyard.families.segmentation.samples import write_sample
from modelyard.families.segmentation.spec import (
    IGNORED,
    MOST_CLASSES,
    SegmentationSpec,
    answered,
    resized,
)
from modelyard.family import Data, Split
from modelyard.kit.boxes.annotated import Look, look
from modelyard.kit.classifier import store
from modelyard.kit.classifier.divide import SPLITS
from modelyard.kit.classifier.examples import Example
from modelyard.kit.classifier.kind import read_bytes
from modelyard.kit.classifier.work import each
from modelyard.kit.pictures.parts import parted
from modelyard.kit.pictures.pixels import PAGES, PICTURES, moments
from modelyard.kit.pictures.square import limits_of, save_sizes, side_of, sizes_of
from modelyard.kit.warm_start import check_same
from modelyard.store.base import base_of

NAMED = 5
"""Classes that a reason names."""


@dataclass(frozen=True)
class Masked:
    """A picture whose mask was looked at."""

    pair: Pair
    look: Look
    counts: Counter[int]
    """Pixels by class number; -1 is ignored."""
    digest: str
    """Of the mask."""
    objects: tuple[Drawn, ...] = ()
    """For kinds that tell objects apart: `counts` are then numbers of objects."""


class SegmentationData(Data[SegmentationConfig]):
    """From a folder of pictures with masks to arrays."""

    counted = "pixels"
    """What classes have more or fewer of."""
    least_classes = 2
    preferred: Literal["masks", "COCO"] = "masks"
    """Of the two formats, where a folder holds both."""

    def sample(self, raw: Path) -> None:
        """Writes simulated pictures with masks and outlines next to them."""
        settings = self.config.features
        write_sample(raw, settings.sample_pictures, settings.sample_drift, self.config.seed)

    def features(self, raw: Path, out: Path) -> dict[str, Any]:
        """Reads the pictures in `raw`; writes splits and assets to `out`. Returns the card's
        summary.

        Raises:
            BadData: with the file, and the pixel or entry in it.
            UsageError: the settings are not those of the earlier model.
        """
        base, settings = base_of(out), self.config.features
        earlier = self._earlier(base) if base is not None else None
        index = settings.ignore_index
        listing = read_pairs(raw, settings.format, settings.background, index, self.preferred)
        seen = self._looked_at(listing)
        values = {value for one in seen.values() for value in one.counts if value >= 0}
        ignored = _ignored(listing, values, index)
        names = listing.names
        if names is None:
            names = {value: f"class {value}" for value in sorted(values - {ignored})}
        examples = [
            Example(name, one.pair.picture, one.digest[:6], one.pair.split)
            for name, one in seen.items()
        ]
        digests = [one.look.digest for one in seen.values()]
        parts = parted(
            raw, listing, examples, digests, settings, self.config.data.split_seed, "masks"
        )
        masked = {split: [seen[one.name] for one in part] for split, part in parts.items()}
        spec = self._fitted(raw, names, masked["train"], ignored, earlier)
        table = _table(names, spec, ignored)
        self._check_splits(raw, masked, table)
        for split in SPLITS:
            self._write_split(out, split, masked[split], table, spec)
        if earlier is None:
            mean, std = moments(store.load_arrays(out, "train"))
            spec = spec.model_copy(update={"mean": mean, "std": std})
        spec.save(Path(out) / "assets")
        return self._summary(listing, masked, names, table, spec)

    def requests(
        self, features: Path, split: Split, limit: int | None = None
    ) -> list[dict[str, Any]]:
        """Pictures of a split as JSON bodies; of kind sam with a point in the middle, where
        something is in every picture."""
        found = store.load_files(features, split, limit)
        bodies: list[dict[str, Any]] = []
        for (_, data), (width, height) in zip(found, sizes_of(features, split), strict=False):
            body: dict[str, Any] = {PICTURES.field: base64.b64encode(data).decode()}
            if self.config.model.kind == "sam":
                body["points"] = [{"x": width / 2, "y": height / 2}]
            bodies.append(body)
        return bodies

    def _looked_at(self, listing: Pairs) -> dict[str, Masked]:
        """By the picture's name, in the order of names."""
        limits = limits_of(self.config.features)
        examples = [Example(pair.picture.name, pair.picture, "") for pair in listing.pairs]
        looks = each(examples, lambda example: look(read_bytes(example.file, limits), limits))
        with ThreadPoolExecutor() as pool:
            masks = list(pool.map(self._masked, listing.pairs, looks))
        return {one.pair.picture.name: one for one in masks}

    def _masked(self, pair: Pair, seen: Look) -> Masked:
        values = pair.values(seen, limits_of(self.config.features))
        counts = np.bincount(values.ravel() + 1)
        present = np.flatnonzero(counts)
        found = Counter({int(place) - 1: int(counts[place]) for place in present})
        digest = hashlib.sha256(np.ascontiguousarray(values).tobytes()).hexdigest()
        return Masked(pair, seen, found, digest)

    def _earlier(self, base: Path) -> SegmentationSpec:
        """The spec of the earlier model.

        Raises:
            UsageError: a setting asks for something else.
        """
        spec = SegmentationSpec.load(base / "assets")
        plan = json.loads((base / "assets" / store.PLAN).read_text())
        check_same("features.size", self.config.features.size, spec.size)
        check_same("model.kind", self.config.model.kind, plan["kind"])
        return spec

    def _fitted(
        self,
        raw: Path,
        names: dict[int, str],
        train: list[Masked],
        ignored: int | None,
        earlier: SegmentationSpec | None,
    ) -> SegmentationSpec:
        """What the training pictures ask for; the earlier model's, with new classes behind."""
        counts = sum((one.counts for one in train), Counter())
        before = dict(zip(earlier.classes, earlier.counts, strict=True)) if earlier else {}
        mine = {
            names[value]: counts[value] for value in sorted(counts) if value not in (-1, ignored)
        }
        classes = [*before, *(name for name in mine if name not in before)]
        if not self.least_classes <= len(classes) <= MOST_CLASSES:
            problem = (
                f"the training masks hold {len(classes)} classes: {', '.join(classes[:NAMED])}"
            )
            hint = "" if ignored is None else f"{ignored} is ignored (features.ignore_index)"
            allowed = f"allowed are {self.least_classes} to {MOST_CLASSES}"
            raise BadData(f"{problem}; {allowed}", file=raw, hint=hint)
        changed = {
            "classes": classes,
            "counts": [mine.get(name, 0) + before.get(name, 0) for name in classes],
            "limits": limits_of(self.config.features),
        }
        if earlier is not None:
            return earlier.model_copy(update=changed)
        size = self.config.features.size or side_of([one.look.size for one in train])
        return SegmentationSpec(size=size, **changed)

    def _check_splits(self, raw: Path, masked: dict[str, list[Masked]], table: np.ndarray) -> None:
        """Every split has a pixel of a known class."""
        for split, part in masked.items():
            values = {value for one in part for value in one.counts}
            if all(table[value] == IGNORED for value in values):
                problem = f"the {split} split ({len(part)} pictures) has no {self.counted} of a class of training"
                raise BadData(problem, file=raw, hint="It needs more pictures with masks")

    def _write_split(
        self, out: Path, split: str, part: list[Masked], table: np.ndarray, spec: SegmentationSpec
    ) -> None:
        side = spec.size
        arrays = store.new_arrays(out, split, (len(part), 3, side, side), np.dtype(np.uint8))
        masks = store.new_arrays(out, f"{split}.masks", (len(part), side, side), np.dtype(np.uint8))

        def write(place: int) -> bytes:
            one = part[place]
            arrays[place] = spec.decode(read_bytes(one.pair.picture, spec.limits))[0]
            labels = table[one.pair.values(one.look, spec.limits)]
            masks[place] = spec.in_square(labels)
            return _png(resized(labels, answered(one.look.size)))

        with ThreadPoolExecutor() as pool:
            truth = list(pool.map(write, range(len(part))))
        arrays.flush()
        masks.flush()
        pictures = [one.pair.picture for one in part]
        names = [picture.name for picture in pictures]
        save_sizes(out, split, [one.look.size for one in part])
        store.save_contents(out, f"{split}.truth", names, truth)
        store.save_files(out, split, names, pictures)

    def _summary(
        self,
        listing: Pairs,
        masked: dict[str, list[Masked]],
        names: dict[int, str],
        table: np.ndarray,
        spec: SegmentationSpec,
    ) -> dict[str, Any]:
        rows = {split: len(part) for split, part in masked.items()}
        counts = {
            split: sum((one.counts for one in part), Counter()) for split, part in masked.items()
        }
        total = sum(counts.values(), Counter())
        headline = (
            f"{listing.format}: {sum(rows.values()):,} pictures, {len(spec.classes)} classes, "
        )
        headline += f"{spec.size} px"
        headline += self._also(masked, table)
        if pages := sum(one.look.pages for part in masked.values() for one in part):
            headline += f", {pages:,} {PICTURES.of(pages)} {PAGES}"
        strange = {value for value in total if value >= 0 and table[value] == IGNORED}
        lost = {names[value]: total[value] for value in strange if value in names}
        named = ", ".join(sorted(lost)[:NAMED]) + (", …" if len(lost) > NAMED else "")
        listing.drop(
            f"{self.counted}: of a class that training lacks ({named})", sum(lost.values())
        )
        numbers = {name: value for value, name in names.items()}
        return {
            "headline": headline,
            "rows": rows,
            "dropped": listing.dropped,
            "unit": PICTURES.many,
            "classes": {
                name: {split: counts[split][numbers.get(name, -2)] for split in SPLITS}
                for name in spec.classes
            },
            "side": spec.size,
            "notes": listing.notes,
        }

    def _also(self, masked: dict[str, list[Masked]], table: np.ndarray) -> str:
        """What the headline says of masks besides."""
        total = sum((one.counts for part in masked.values() for one in part), Counter())
        unlabelled = sum(count for value, count in total.items() if table[value] == IGNORED)
        if not unlabelled:
            return ""
        return f", {unlabelled / sum(total.values()):.1%} of the pixels ignored"


def _ignored(listing: Pairs, values: set[int], index: int | None) -> int | None:
    """The number that is ignored. Masks of 0 and 255 only are of one thing and the rest: there 255
    is a class."""
    if listing.format == "COCO":
        return None
    if listing.names is None and values == {0, index}:
        said = f"The masks hold 0 and {index} only: {index} is a class, and nothing is ignored."
        listing.notes.append(said)
        return None
    return index


def _table(names: dict[int, str], spec: SegmentationSpec, ignored: int | None) -> np.ndarray:
    """The class of each number of a mask, uint8; at -1, the last one, what is ignored."""
    table = np.full(LARGEST + 2, IGNORED, np.uint8)
    for value, name in names.items():
        if name in spec.classes and value != ignored:
            table[value] = spec.classes.index(name)
    return table


def _png(labels: np.ndarray) -> bytes:
    from PIL import Image

    stream = io.BytesIO()
    Image.fromarray(labels).save(stream, "PNG")
    return stream.getvalue()


def reading(config: SegmentationConfig) -> SegmentationData:
    """The half that reads data of the kind that is set."""
    if config.model.kind == "mask2former":
        from modelyard.families.segmentation.instances import InstanceData

        return InstanceData(config)
    return SegmentationData(config)
