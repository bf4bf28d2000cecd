"""Reading: from a folder of labelled files to arrays, labels and assets."""

from __future__ import annotations

import hashlib
from abc import abstractmethod
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic, TypeVar

import numpy as np

from modelyard.errors import BadData
from modelyard.family import Data, Split
from modelyard.kit.classes.positive import Positive, positive_class
from modelyard.kit.classes.rare import left_out
from modelyard.kit.classifier import store
from modelyard.kit.classifier.config import ClassifierConfig
from modelyard.kit.classifier.divide import SPLITS, Unique, divide, is_list, rare_in, without_copies
from modelyard.kit.classifier.examples import (
    Example,
    Listing,
    check_labels,
    name_single_flags,
)
from modelyard.kit.classifier.folders import read_folder
from modelyard.kit.classifier.kind import FileLimits, read_bytes
from modelyard.kit.classifier.lacking import check_training, lacking_in
from modelyard.kit.classifier.spec import FileSpec
from modelyard.kit.classifier.work import each
from modelyard.kit.splits import save_groups_of
from modelyard.kit.warm_start import check_same
from modelyard.store.base import base_of

C = TypeVar("C", bound=ClassifierConfig)
S = TypeVar("S", bound=FileSpec)
Parts = dict[str, list[Example]]
"""Examples by split."""


@dataclass(frozen=True)
class Look:
    """What one look at a file tells, before the files are divided."""

    digest: str
    """Equal for equal content, whatever the file's format."""
    facts: Any = None
    """What `fitted` needs to know of it."""
    remark: str = ""
    """What was not used of it: the stage's line says of how many files."""


def digest_of(data: bytes) -> str:
    """Equal for equal bytes."""
    return hashlib.sha256(data).hexdigest()


class ClassifierData(Data[C], Generic[C, S]):
    """From a folder of labelled files to arrays. A family gives `Spec`, `sample` and `fitted`."""

    Spec: type[S]
    """The asset that decodes a file's bytes."""

    @abstractmethod
    def fitted(self, classes: list[str], counts: list[int], facts: Sequence[Any]) -> S:
        """The spec that training examples ask for.

        Args:
            classes: in the order of the logits; counts: training examples by class.
            facts: of the training examples, as `look` found them.
        """

    def look(self, data: bytes) -> Look:
        """What a file's bytes tell before the files are divided. By default equal bytes are equal.

        Raises:
            BadData: not such a file within the limits.
        """
        if not data:
            raise BadData("is empty")
        return Look(digest_of(data))

    def listing(self, raw: Path) -> Listing:
        """The labelled examples of a raw folder: by default files, in class folders or listed in
        labels.csv."""
        return read_folder(raw, self.Spec.KIND, self.config.features)

    def check_labels(self, listing: Listing, earlier: Sequence[str]) -> None:
        """Refuses labels that nothing can be learnt from. `earlier` names classes that the data
        need not have.

        Raises:
            BadData: with file and row.
            UsageError: `features.positive` does not fit the data.
        """
        name_single_flags(listing)
        check_labels(listing, self.config.features, earlier)
        check_training(listing.examples, listing.kind, self.config.features.classes)

    def labels_of(self, example: Example) -> list[str]:
        """The classes of an example: one."""
        return [example.label]

    def ordered(self, counts: Counter[str]) -> list[str]:
        """Classes in the order of the logits; `counts` are training examples by class."""
        classes = sorted(counts)
        if len(classes) == 2:
            found = positive_class(counts, self.config.features.positive)
            classes = [found.other, found.name]
        return classes

    def encoded(self, examples: Sequence[Example], spec: S) -> np.ndarray:
        """Labels as they are stored: class indices (n,)."""
        return np.array([spec.classes.index(example.label) for example in examples])

    def divided(self, examples: Sequence[Example], raw: Path) -> Parts:
        """Examples by split, each class with the same share in all of them.

        Raises:
            BadData: a class has too few.
        """
        settings = self.config.features
        wanted = {"validation": settings.validation_share, "test": settings.test_share}
        return divide(examples, self.Spec.KIND, wanted, self.config.data.split_seed, raw)

    def rare(self, examples: Sequence[Example]) -> dict[str, int]:
        """Classes that are left out for having too few examples, with their counts."""
        return rare_in(examples, self.config.features.classes)

    def limits(self) -> FileLimits:
        """What the settings allow a file to be at most."""
        return FileLimits(round(self.config.features.most_megabytes * 1e6))

    def scaled(self, spec: S, train: np.ndarray) -> S:
        """The spec with what is fitted on the decoded training examples (n, …): their mean, …"""
        return spec

    def unchangeable(self, spec: S, plan: dict[str, Any]) -> list[tuple[str, Any, Any]]:
        """What a run must not change of the model that it starts from.

        Returns:
            Names of settings, each with its value here (None: any) and its value there.
        """
        return []

    def summary(self, spec: S) -> tuple[str, dict[str, Any]]:
        """What the card tells of decoded files: words for the headline, and further entries."""
        return "", {}

    def features(self, raw: Path, out: Path) -> dict[str, Any]:
        """Reads the files in `raw`; writes splits and assets to `out`. Returns the card's summary.

        Raises:
            BadData: with file, and row of labels.csv.
            UsageError: the settings are not those of the earlier model.
        """
        kind = self.Spec.KIND
        base = base_of(out)
        earlier: S | None = None
        known: list[str] = []
        if base is not None:
            earlier = self._earlier(base)
            known = earlier.classes
        # What is wrong is said in this order: labels, then files, then splits.
        listing = self.listing(raw)
        self.check_labels(listing, known)
        limits = self.limits()
        looks = each(listing.examples, lambda example: self.look(read_bytes(example.file, limits)))
        unique = without_copies(listing.examples, [look.digest for look in looks], kind)
        self._check_no_class_is_lost(listing, unique)
        examples = self._without_rare(listing, unique.examples)
        parts = self.divided(examples, listing.raw)
        if earlier is not None:
            spec = self._grown(earlier, parts)
        else:
            names = [example.name for example in listing.examples]
            facts = [look.facts for look in looks]
            spec = self._fitted(parts, dict(zip(names, facts, strict=True)))
        for split in SPLITS:
            _write_split(out, split, parts[split], spec)
            store.save_labels(out, split, self.encoded(parts[split], spec))
        # The earlier network has learnt on inputs of its own scale, which a run on it keeps.
        if earlier is None:
            spec = self.scaled(spec, store.load_arrays(out, "train"))
        spec.save(Path(out) / "assets")
        notes = [*listing.notes, *unique.notes]
        summary = self._summary(parts, spec, listing.dropped | unique.dropped, notes)
        if listing.headline:
            summary["headline"] += f"; {listing.headline}"
        remarks = Counter(look.remark for look in looks)
        for remark, count in sorted(remarks.items()):
            if remark:
                summary["headline"] += f"; {count:,} {kind.of(count)} {remark}"
        return summary

    def body(self, data: bytes) -> dict[str, Any]:
        """A file's bytes as JSON body of a request."""
        return self.Spec.KIND.request(data)

    def requests(
        self, features: Path, split: Split, limit: int | None = None
    ) -> list[dict[str, Any]]:
        """Files of a split as JSON bodies."""
        return [self.body(data) for _, data in store.load_files(features, split, limit)]

    def truths(
        self, features: Path, split: Split, limit: int | None = None
    ) -> list[float | str] | None:
        """The classes of a split's files; None where one has several labels."""
        classes = self.Spec.load(Path(features) / "assets").classes
        labels = store.load_labels(features, split)[:limit]
        if labels.ndim == 1:
            return [classes[label] for label in labels.tolist()]
        return None

    def _earlier(self, base: Path) -> S:
        """The spec of the earlier model.

        Raises:
            UsageError: a setting asks for something else.
        """
        assets = base / "assets"
        spec = self.Spec.load(assets)
        plan = store.load_plan(assets)
        fixed = self.unchangeable(spec, plan)
        fixed.append(("features.positive", self.config.features.positive, spec.classes[1]))
        for name, seen, earlier in fixed:
            check_same(name, seen, earlier)
        return spec

    def _grown(self, earlier: S, parts: Parts) -> S:
        """The earlier classes, then those that training examples add; counts are of all so far."""
        found = self._counts(parts["train"])
        # New ones at the end: the earlier network's logits keep their places.
        new = sorted(found.keys() - set(earlier.classes))
        classes = [*earlier.classes, *new]
        before = dict(zip(earlier.classes, earlier.counts, strict=True))
        counts = [before.get(name, 0) + found[name] for name in classes]
        changed = {"classes": classes, "counts": counts, "limits": self.limits()}
        return earlier.model_copy(update=changed)

    def _fitted(self, parts: Parts, facts: dict[str, Any]) -> S:
        found = self._counts(parts["train"])
        classes = self.ordered(found)
        counts = [found[name] for name in classes]
        return self.fitted(classes, counts, [facts[example.name] for example in parts["train"]])

    def _counts(self, examples: Sequence[Example]) -> Counter[str]:
        """Examples by class."""
        counts: Counter[str] = Counter()
        for example in examples:
            counts.update(self.labels_of(example))
        return counts

    def _without_rare(self, listing: Listing, examples: list[Example]) -> list[Example]:
        """The examples that are of no rare class; the others are counted."""
        rare = self.rare(examples)
        if not rare:
            return examples
        kept = [example for example in examples if example.label not in rare]
        lacking = bool(lacking_in(examples))
        lost = left_out(list(rare), rare, listing.kind.many, lacking=lacking)
        listing.drop("of rare classes", len(examples) - len(kept))
        listing.notes.append(f"{lost}. To learn them, add {listing.kind.many}.")
        listing.headline = "; ".join(filter(None, [listing.headline, lost]))
        return kept

    def _check_no_class_is_lost(self, listing: Listing, unique: Unique) -> None:
        before, after = self._counts(listing.examples), self._counts(unique.examples)
        if lost := sorted(before.keys() - after.keys()):
            kind = self.Spec.KIND
            problem = f"every {kind.one} of class {lost[0]!r} is also under another label"
            hint = ""
            if is_list(lost[0]) and hasattr(self.config.features, "labels"):
                hint = f"Should a {kind.one} have any number of labels: --set features.labels=many"
            elif (listing.raw / lost[0]).is_dir():
                hint = "If the folder is no class, move it away, or let data.uri name that of the classes"
            raise BadData(problem, file=listing.raw, hint=hint)

    def positive_of(self, spec: S) -> Positive | None:
        """Which of two classes is the positive one, and what the card says of it."""
        if len(spec.classes) != 2:
            return None
        counts = dict(zip(spec.classes, spec.counts, strict=True))
        found = positive_class(counts, self.config.features.positive)
        if found.name != spec.classes[1]:
            found = positive_class(counts, spec.classes[1], "the model that it starts from")
        return found

    def _summary(
        self, parts: Parts, spec: S, dropped: dict[str, int], notes: list[str]
    ) -> dict[str, Any]:
        many = spec.KIND.many
        rows = {split: len(part) for split, part in parts.items()}
        counts = {split: self._counts(part) for split, part in parts.items()}
        groups: set[str | None] = set()
        for part in parts.values():
            groups.update(example.group for example in part)
        groups.discard(None)
        if groups:
            said = f"Divided by {len(groups)} groups: all {many} of one are in one split."
            notes = [*notes, said]
        classes = {}
        for name in spec.classes:
            classes[name] = {split: counts[split][name] for split in SPLITS}
        words, entries = self.summary(spec)
        headline = f"{sum(rows.values()):,} {many} of {len(spec.classes)} classes"
        if words:
            headline += f", {words}"
        positive, positive_name = self.positive_of(spec), ""
        if positive is not None:
            positive_name = positive.name
            headline += positive.headline
            notes = [*notes, positive.note]
        return {
            "headline": headline,
            "rows": rows,
            "dropped": dropped,
            "unit": many,
            "classes": classes,
            **entries,
            "positive_class": positive_name,
            "notes": notes,
        }


def _write_split(out: Path, split: str, part: list[Example], spec: FileSpec) -> None:
    arrays = store.new_arrays(out, split, (len(part), *spec.shape), np.dtype(spec.DTYPE))
    # Files are decoded by many threads, each into its own row.
    places = {example.name: place for place, example in enumerate(part)}

    def decode(example: Example) -> None:
        arrays[places[example.name]] = spec.decode(read_bytes(example.file, spec.limits))

    each(part, decode)
    arrays.flush()
    groups = [example.group for example in part]
    names = [example.name for example in part]
    files = [example.file for example in part]
    save_groups_of(out, split, groups)
    store.save_files(out, split, names, files)
