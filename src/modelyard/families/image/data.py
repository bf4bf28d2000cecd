"""From a folder of pictures to splits and assets."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, TypeVar

import numpy as np

from modelyard.errors import BadData
from modelyard.families.image import store
from modelyard.families.image.config import ImageConfig, ImageFeatures
from modelyard.families.image.divide import SPLITS, divide, without_copies
from modelyard.families.image.earlier import earlier_spec, grown
from modelyard.families.image.pixels import Limits, has_colour, open_picture, to_array
from modelyard.families.image.read import LABELS, Example, read_folder
from modelyard.families.image.samples import write_sample
from modelyard.families.image.spec import ImageSpec
from modelyard.family import Data, Split
from modelyard.store.base import base_of

SHOWN_BROKEN = 5
SMALLEST, LARGEST, STEP = 32, 96, 16
"""Sides that `features.size` of None chooses from."""
T = TypeVar("T")


@dataclass(frozen=True)
class Look:
    """What one look at a file tells."""

    digest: str
    """Equal for equal pixels, whatever the file's format."""
    width: int
    height: int
    colour: bool


class ImageData(Data[ImageConfig]):
    """From a folder of pictures to arrays of pixels."""

    def sample(self, raw: Path) -> None:
        """Writes `<class>/<number>.png` of `features.sample`."""
        settings = self.config.features
        write_sample(raw, settings.sample, settings.sample_images, settings.sample_drift, self.config.seed)

    def features(self, raw: Path, out: Path) -> dict[str, Any]:
        """Reads the pictures in `raw`; writes splits and assets to `out`. Returns the summary for the card.

        Raises:
            BadData: with file, and row of labels.csv.
            UsageError: the settings are not those of the model to go on from.
        """
        config, settings = self.config, self.config.features
        base = base_of(out)
        earlier = earlier_spec(base, config) if base is not None else None
        limits = Limits(round(settings.most_megabytes * 1e6), round(settings.most_megapixels * 1e6))
        listing = read_folder(raw, settings, earlier.classes if earlier else ())
        looks = _each(listing.examples, lambda one: _look(one, limits), listing.raw)
        kept, copies, notes = without_copies(listing.examples, [look.digest for look in looks])
        if lost := sorted({one.label for one in listing.examples} - {one.label for one in kept}):
            raise BadData("every picture of this class is also under another label", file=listing.raw / lost[0])
        parts = divide(kept, settings, config.seed, listing.raw)
        by_name = {one.name: look for one, look in zip(listing.examples, looks, strict=True)}
        if earlier is not None:
            spec = grown(earlier, [one.label for one in parts["train"]], limits)
        else:
            spec = _spec(parts, [by_name[one.name] for one in parts["train"]], settings, limits)
        for split in SPLITS:
            _write_split(out, split, parts[split], spec, listing.raw)
        if earlier is None:
            mean, std = moments(store.load_pixels(out, "train"))
            spec = spec.model_copy(update={"mean": mean, "std": std})
        spec.save(Path(out) / "assets")
        return _summary(parts, spec, listing.dropped | copies, notes)

    def requests(self, features: Path, split: Split, limit: int | None = None) -> list[dict[str, Any]]:
        """Files of a split as JSON bodies."""
        files = store.load_files(features, split, limit)
        return [{"image": base64.b64encode(data).decode()} for _, data in files]


def moments(pixels: np.ndarray) -> tuple[list[float], list[float]]:
    """Mean and standard deviation by channel of uint8 (n, channels, size, size); a deviation is at least 1."""
    total = np.zeros((2, pixels.shape[1]))
    for start in range(0, len(pixels), 256):
        part = pixels[start : start + 256].astype(np.float64)
        total += [part.sum(axis=(0, 2, 3)), np.square(part).sum(axis=(0, 2, 3))]
    mean, square = total / (pixels.size / pixels.shape[1])
    return mean.tolist(), np.maximum(np.sqrt(np.maximum(square - mean**2, 0)), 1.0).tolist()


def _look(example: Example, limits: Limits) -> Look:
    picture = open_picture(_bytes(example.path, limits), limits)
    content = hashlib.sha256(f"{picture.size}".encode() + picture.convert("RGB").tobytes())
    return Look(content.hexdigest(), picture.width, picture.height, has_colour(picture))


def _bytes(path: Path, limits: Limits) -> bytes:
    """At most one byte more than is allowed: enough to refuse it."""
    with path.open("rb") as stream:
        return stream.read(limits.bytes + 1)


def _each(examples: Sequence[Example], work: Callable[[Example], T], raw: Path) -> list[T]:
    """`work` of every example on all cores, in order; Pillow decodes outside of Python's lock.

    Raises:
        BadData: for the files that `work` refuses: the first, and how many more.
    """

    def attempt(example: Example) -> T | BadData:
        try:
            return work(example)
        except BadData as problem:
            return problem

    with ThreadPoolExecutor() as pool:
        results = list(pool.map(attempt, examples))
    broken = [(one, found) for one, found in zip(examples, results, strict=True) if isinstance(found, BadData)]
    if broken:
        _refuse(broken, raw)
    return [found for found in results if not isinstance(found, BadData)]


def _refuse(broken: list[tuple[Example, BadData]], raw: Path) -> None:
    first, problem = broken[0]
    names = ", ".join(one.name for one, _ in broken[1:SHOWN_BROKEN])
    more = f". So are {len(broken) - 1} more: {names}" if len(broken) > 1 else ""
    hint = f"Mend or remove {'them' if more else 'it'}"
    if first.row is None:
        raise BadData(f"{problem.problem}{more}", file=first.path, hint=hint)
    raise BadData(f"{first.name} {problem.problem}{more}", file=raw / LABELS, row=first.row, column="file", hint=hint)


def _spec(parts: dict[str, list[Example]], looks: Sequence[Look], settings: ImageFeatures, limits: Limits) -> ImageSpec:
    train = [one.label for one in parts["train"]]
    classes = sorted(set(train))
    if len(classes) == 2:
        positive = settings.positive or min(reversed(classes), key=train.count)
        classes.sort(key=lambda name: name == positive)
    gray = not any(look.colour for look in looks) if settings.channels == "auto" else settings.channels == "gray"
    channels: Literal[1, 3] = 1 if gray else 3
    return ImageSpec(
        size=settings.size or _side(looks), channels=channels, fit=settings.fit, limits=limits, classes=classes,
        counts=[train.count(name) for name in classes], mean=[0.0] * channels, std=[1.0] * channels,
    )  # fmt: skip


def _side(looks: Iterable[Look]) -> int:
    median = float(np.median([min(look.width, look.height) for look in looks]))
    return int(min(max(np.ceil(median / STEP) * STEP, SMALLEST), LARGEST))


def _write_split(out: Path, split: str, part: list[Example], spec: ImageSpec, raw: Path) -> None:
    pixels = store.new_pixels(out, split, (len(part), spec.channels, spec.size, spec.size))
    places = {one.name: place for place, one in enumerate(part)}

    def decode(example: Example) -> None:
        picture = open_picture(_bytes(example.path, spec.limits), spec.limits)
        pixels[places[example.name]] = to_array(picture, spec.size, spec.channels, spec.fit)

    _each(part, decode, raw)
    pixels.flush()
    store.save_labels(out, split, np.array([spec.classes.index(one.label) for one in part]))
    store.save_files(out, split, [one.name for one in part], [one.path for one in part])


def _summary(
    parts: dict[str, list[Example]], spec: ImageSpec, dropped: dict[str, int], notes: list[str]
) -> dict[str, Any]:
    rows = {split: len(part) for split, part in parts.items()}
    labels = {split: [one.label for one in part] for split, part in parts.items()}
    if groups := {one.group for part in parts.values() for one in part if one.group is not None}:
        notes = [*notes, f"Divided by {len(groups)} groups: all pictures of one are in one split."]
    colour = "gray" if spec.channels == 1 else "colour"
    return {
        "headline": f"{sum(rows.values()):,} pictures of {len(spec.classes)} classes, {spec.size} px {colour}"
        + (f"; left out: {', '.join(f'{count} ({why})' for why, count in dropped.items())}" if dropped else ""),
        "rows": rows,
        "dropped": dropped,
        "classes": {name: {split: labels[split].count(name) for split in SPLITS} for name in spec.classes},
        "side": spec.size,
        "colour": colour,
        "fit": spec.fit,
        "positive_class": spec.classes[1] if len(spec.classes) == 2 else "",
        "notes": notes,
    }
