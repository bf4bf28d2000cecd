"""From a folder of pictures with masks to splits and assets.

train.masks.npy …          the class of each of these pixels, uint8 (pictures, size, size)
train.truth.files …        the class of each pixel of a mask as it is answered, PNG files

and what `modelyard.kit.pictures.data` writes.
"""

from __future__ import annotations

import hashlib
import io
from collections import Counter
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any, Literal, TypeVar

import numpy as np

from modelyard.errors import BadData, first_of
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
from modelyard.families.segmentation.voids import voids
from modelyard.family import Split
from modelyard.kit.boxes.annotated import Look, look
from modelyard.kit.classifier import store
from modelyard.kit.classifier.divide import SPLITS
from modelyard.kit.classifier.examples import Example
from modelyard.kit.classifier.kind import read_bytes
from modelyard.kit.classifier.work import each
from modelyard.kit.pictures.data import NAMED, SquareData, grown, write_pictures
from modelyard.kit.pictures.parts import parted
from modelyard.kit.pictures.pixels import PAGES, PICTURES
from modelyard.kit.pictures.square import sizes_of
from modelyard.kit.splits import save_groups_of

T = TypeVar("T")


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


class SegmentationData(SquareData[SegmentationConfig, SegmentationSpec]):
    """From a folder of pictures with masks to arrays."""

    Spec = SegmentationSpec

    counted = "pixels"
    """What classes have more or fewer of."""
    least_classes = 2
    preferred: Literal["masks", "outlines"] = "masks"
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
        earlier, settings = self.earlier(out), self.config.features
        index = settings.ignore_index
        listing = read_pairs(
            raw, settings.format, settings.background, index, self.limits, self.preferred
        )
        seen = self._looked_at(listing)
        total = _total(list(seen.values()))
        ignored = _ignored(listing, total.keys() - {-1}, index)
        names = self._names(listing, total, ignored, earlier)
        examples: list[Example] = []
        digests: list[str] = []
        for name, one in seen.items():
            # Copies of a picture with other masks are told apart by the mask's digest.
            examples.append(Example(name, one.pair.picture, one.digest[:6], one.pair.split))
            digests.append(one.look.digest)
        seed = self.config.data.split_seed
        parts = parted(raw, listing, examples, digests, settings, seed, "masks")
        masked = {}
        for split, part in parts.items():
            masked[split] = [seen[example.name] for example in part]
        spec = self._fitted(raw, names, masked["train"], ignored, earlier)
        table = _table(names, spec)
        self._check_splits(raw, masked, table)
        for split, some in masked.items():
            files, sizes = [one.pair.picture for one in some], [one.look.size for one in some]
            write_pictures(out, split, files, sizes, spec)
            self._write_masks(out, split, some, table, spec)
            save_groups_of(out, split, [example.group for example in parts[split]])
        self.save_spec(out, spec, earlier)
        return self._summary(listing, masked, names, table, spec)

    def requests(
        self, features: Path, split: Split, limit: int | None = None
    ) -> list[dict[str, Any]]:
        """Pictures of a split as JSON bodies; of kind sam with a point in the middle, where
        something is in every picture."""
        bodies = super().requests(features, split, limit)
        if self.config.model.kind == "sam":
            for body, (width, height) in zip(bodies, sizes_of(features, split), strict=False):
                body["points"] = [{"x": width / 2, "y": height / 2}]
        return bodies

    def _names(
        self,
        listing: Pairs,
        total: Counter[int],
        ignored: int | None,
        earlier: SegmentationSpec | None,
    ) -> dict[int, str]:
        """The names of the classes by number, without what is ignored. `total` are the counts of all
        pictures."""
        names = listing.names
        if names is None:
            names = {value: f"class {value}" for value in sorted(total) if value != -1}
        names = {value: name for value, name in names.items() if value != ignored}
        if self.counted != "pixels":
            return names
        known = [self.config.features.background]
        if earlier is not None:
            known += earlier.classes
        void, notes = voids(names, total, known)
        listing.notes += notes
        return {value: name for value, name in names.items() if value not in void}

    def _looked_at(self, listing: Pairs) -> dict[str, Masked]:
        """By the picture's name, in the order of names."""
        limits = self.limits
        examples = [Example(pair.picture.name, pair.picture, "") for pair in listing.pairs]
        looks = each(examples, lambda example: look(read_bytes(example.file, limits), limits))
        with ThreadPoolExecutor() as pool:
            masks = list(pool.map(self._masked, listing.pairs, looks))
        return {masked.pair.picture.name: masked for masked in masks}

    def _masked(self, pair: Pair, seen: Look) -> Masked:
        values = pair.values(seen, self.limits)
        # One higher, for bincount takes no -1.
        counts = np.bincount(values.ravel() + 1)
        found: Counter[int] = Counter()
        for place in np.flatnonzero(counts).tolist():
            found[place - 1] = int(counts[place])
        digest = hashlib.sha256(np.ascontiguousarray(values).tobytes()).hexdigest()
        return Masked(pair, seen, found, digest)

    def _fitted(
        self,
        raw: Path,
        names: dict[int, str],
        train: list[Masked],
        ignored: int | None,
        earlier: SegmentationSpec | None,
    ) -> SegmentationSpec:
        """What the training pictures ask for; the earlier model's, with new classes behind."""
        mine: dict[str, int] = {}
        for value, count in sorted(_total(train).items()):
            if value in names:
                mine[names[value]] = count
        every = grown(earlier, mine)
        if not self.least_classes <= len(every) <= MOST_CLASSES:
            first = ", ".join(list(every)[:NAMED])
            problem = f"the training masks hold {len(every)} classes: {first}"
            hint = ""
            if ignored is not None:
                hint = f"{ignored} is ignored (features.ignore_index)"
            allowed = f"allowed are {self.least_classes} to {MOST_CLASSES}"
            raise BadData(f"{problem}; {allowed}", file=raw, hint=hint)
        return self.spec_of(every, [seen.look.size for seen in train], earlier)

    def _check_splits(self, raw: Path, masked: dict[str, list[Masked]], table: np.ndarray) -> None:
        """Every split has a pixel of a known class."""
        for split, part in masked.items():
            values = list(_total(part))
            if (table[values] == IGNORED).all():
                problem = f"the {split} split ({len(part)} pictures) has no {self.counted} of a class of training"
                raise BadData(problem, file=raw, hint="It needs more pictures with masks")

    def _write_masks(
        self, out: Path, split: str, part: list[Masked], table: np.ndarray, spec: SegmentationSpec
    ) -> None:
        def drawn(one: Masked) -> tuple[np.ndarray, bytes]:
            labels = table[one.pair.values(one.look, spec.limits)]
            return labels, _png(resized(labels, answered(one.look.size)))

        truth = write_masks(out, split, part, spec, drawn)
        names = [seen.pair.picture.name for seen in part]
        store.save_contents(out, f"{split}.truth", names, truth)

    def _summary(
        self,
        listing: Pairs,
        masked: dict[str, list[Masked]],
        names: dict[int, str],
        table: np.ndarray,
        spec: SegmentationSpec,
    ) -> dict[str, Any]:
        rows = {split: len(part) for split, part in masked.items()}
        every = list(chain.from_iterable(masked.values()))
        total = _total(every)
        headline = (
            f"{listing.format}: {len(every):,} pictures, {len(spec.classes)} classes, "
            f"{spec.size} px{self._also(total, table)}"
        )
        if pages := sum(seen.look.pages for seen in every):
            headline += f", {pages:,} {PICTURES.of(pages)} {PAGES}"
        lost: Counter[str] = Counter()
        for value, count in total.items():
            if value in names and table[value] == IGNORED:
                lost[names[value]] = count
        named = first_of(sorted(lost), NAMED)
        listing.drop(f"{self.counted}: of a class that training lacks ({named})", lost.total())
        return {
            "headline": headline,
            "rows": rows,
            "dropped": listing.dropped,
            "unit": PICTURES.many,
            "classes": _by_class(masked, names, spec),
            "side": spec.size,
            "notes": listing.notes,
        }

    def _also(self, total: Counter[int], table: np.ndarray) -> str:
        """What the headline says of masks besides; `total` are the counts of all pictures."""
        unlabelled = 0
        for value, count in total.items():
            if table[value] == IGNORED:
                unlabelled += count
        if not unlabelled:
            return ""
        return f", {unlabelled / total.total():.1%} of the pixels ignored"


def _total(part: Sequence[Masked]) -> Counter[int]:
    """The counts of several pictures, added up."""
    total: Counter[int] = Counter()
    for seen in part:
        total.update(seen.counts)
    return total


def _by_class(
    masked: dict[str, list[Masked]], names: dict[int, str], spec: SegmentationSpec
) -> dict[str, dict[str, int]]:
    """Of each class its count in each split; 0 of one that only the earlier model knows."""
    found = {name: dict.fromkeys(SPLITS, 0) for name in spec.classes}
    for split, part in masked.items():
        for value, count in _total(part).items():
            name = names.get(value)
            if name in found:
                found[name][split] = count
    return found


def write_masks(
    out: Path,
    split: str,
    part: list[Masked],
    spec: SegmentationSpec,
    drawn: Callable[[Masked], tuple[np.ndarray, T]],
) -> list[T]:
    """Writes the masks of a split in the square that the model sees.

    Args:
        drawn: the mask of a picture, uint8 (height, width), and what else is made of it.

    Returns:
        What else was made.
    """
    shape = (len(part), spec.size, spec.size)
    masks = store.new_arrays(out, f"{split}.masks", shape, np.dtype(np.uint8))

    def write(place: int) -> T:
        labels, more = drawn(part[place])
        masks[place] = spec.in_square(labels)
        return more

    with ThreadPoolExecutor() as pool:
        found = list(pool.map(write, range(len(part))))
    masks.flush()
    return found


def _ignored(listing: Pairs, values: set[int], index: int | None) -> int | None:
    """The number that is ignored. Masks of 0 and 255 only are of one thing and the rest: there 255
    is a class."""
    if listing.format != "masks":
        return None
    if listing.names is None and values == {0, index}:
        said = f"The masks hold 0 and {index} only: {index} is a class, and nothing is ignored."
        listing.notes.append(said)
        return None
    return index


def _table(names: dict[int, str], spec: SegmentationSpec) -> np.ndarray:
    """The class of each number of a mask, uint8; at -1, the last one, what is ignored."""
    table = np.full(LARGEST + 2, IGNORED, np.uint8)
    for value, name in names.items():
        if name in spec.classes:
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
