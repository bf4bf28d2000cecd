"""Which examples train, which tune and which judge: drawn by what each of them holds.

So an example stays in its split when the data grow, come in another order, or a model learns with
another seed. A champion is judged on the test split of later data; drawn again, most of it would be
examples that the champion learned from.

Examples are put in an order that their content decides, and test takes the first of them, then
validation, then training. Growing data move these two borders a little: between test and validation,
and between validation and training. From training to test an example would have to cross all of
validation, which happens in classes of a handful only, or where the data name their validation split.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

import numpy as np

from modelyard.kit.arrays import find_beside, save_beside
from modelyard.store.files import File

if TYPE_CHECKING:
    import pandas as pd

LEAST_DIFFERENT = 20
"""A table with fewer different rows shows nothing about equal ones."""
SPLIT_NAMES = {
    "train": "train",
    "training": "train",
    "validation": "validation",
    "valid": "validation",
    "val": "validation",
    "dev": "validation",
    "test": "test",
    "testing": "test",
}
"""Names of split folders, and what they are here."""
WORDS_OF_SPLITS = SPLIT_NAMES | {"testa": "validation", "testb": "test"}
"""Words in the names of files, with those of CoNLL-2003."""
ORDER = ("test", "validation", "train")
"""Of the splits, along the examples' keys."""


def split_of(file: File) -> str | None:
    """The split that a word of a file's name says, or else the nearest folder that is called as a split:
    `train.conll`, `eng.testa`, `dev-v2.0.json`, `train/seq.in`; none of `test_corpus/a.conll`."""
    *folders, name = PurePosixPath(file.name).parts
    if split := split_in(name):
        return split
    for folder in reversed(folders):
        if split := WORDS_OF_SPLITS.get(folder.lower()):
            return split
    return None


def split_in(name: str) -> str | None:
    """The split that a word of a name says: `eng.testa`, `oos_train`."""
    for word in re.split(r"[^a-z]+", name.lower()):
        if word in WORDS_OF_SPLITS:
            return WORDS_OF_SPLITS[word]
    return None


def evenly(count: int, most: int | None) -> np.ndarray:
    """Numbers of at most `most` of `count` rows, int64, evenly spread from the first to the last."""
    rows = count
    if most is not None:
        rows = min(count, most)
    return np.linspace(0, count - 1, rows).round().astype(np.int64)


def keys_of(contents: Iterable[str | bytes], seed: int) -> np.ndarray:
    """A number of each content, uint64 (n,), as if it were drawn; equal contents have equal ones."""
    salt = seed.to_bytes(8, "little", signed=True)
    found = []
    for content in contents:
        if isinstance(content, str):
            data = content.encode()
        else:
            data = content
        found.append(hashlib.blake2b(data, digest_size=8, salt=salt).digest())
    return np.frombuffer(b"".join(found), "<u8")


def keys_of_rows(frame: pd.DataFrame, seed: int) -> np.ndarray:
    """A number of each row of a table, uint64 (n,), as if it were drawn.

    Rows that are copies of one another have the same one, so that they stay together: in two splits, a
    model would be judged on what it learnt by heart. Where equal rows are no copies, for a table has
    few different ones, they have different numbers, by how many of them stand above: else all of one
    kind would be in one split.
    """
    import pandas as pd

    rows = pd.util.hash_pandas_object(frame, index=False).to_numpy()
    copies = pd.Series(rows).groupby(rows).cumcount().to_numpy().astype(np.uint64)
    if copies.any() and _are_copies(frame[copies == 0]):
        copies[:] = 0
    return mixed(rows ^ mixed(copies + mixed(np.full(1, seed % 2**64, np.uint64))))


def _are_copies(different: pd.DataFrame) -> bool:
    """Whether rows that are equal in every column, as `different` ones are not, are the same event
    twice: a column that tells most of the different rows apart is not equal by chance."""
    if len(different) < LEAST_DIFFERENT:
        return False
    return any(different[name].nunique() >= len(different) / 2 for name in different.columns)


def draw(
    keys: np.ndarray,
    shares: Mapping[str, float],
    strata: np.ndarray | None = None,
    *,
    least: int = 1,
) -> dict[str, np.ndarray]:
    """Places of examples by split, int64; what is in no split of `shares` trains.

    Examples of equal keys, a group, stay together. Each class is divided in the same shares, as
    nearly as groups allow. Within a split the order is as if shuffled.

    Args:
        keys: of the examples, uint64 (n,).
        shares: of all examples, by split: `test`, `validation` or both.
        strata: the class of each example, integers (n,); None: they are of one.
        least: examples of a class in each split, where nothing is grouped.
    """
    if strata is None:
        strata = np.zeros(len(keys), np.int64)
    _, strata = np.unique(strata, return_inverse=True)
    order = np.argsort(keys, kind="stable")
    ordered = keys[order]
    grouped = bool((ordered[1:] == ordered[:-1]).any())
    wanted = [split for split in ORDER if split in shares]
    if grouped:
        taken = _grouped(keys, [shares[split] for split in wanted], strata)
        # Else the first examples of a split would all be of one group.
        order = np.argsort(mixed(keys + np.arange(len(keys), dtype=np.uint64)), kind="stable")
    else:
        taken = _single(order, [shares[split] for split in wanted], strata, least)
    parts = {"train": order[taken[order] == len(wanted)]}
    for place, split in enumerate(wanted):
        parts[split] = order[taken[order] == place]
    return parts


def save_groups(features: Path, split: str, groups: np.ndarray) -> None:
    """Writes the groups of a split's examples, integers (n,), next to them."""
    save_beside(features, split, "groups", groups)


def save_groups_of(features: Path, split: str, names: Sequence[str | None]) -> None:
    """The same by the names of the groups; an example without one is its own. Writes nothing where no
    example has one."""
    if all(name is None for name in names):
        return
    numbers: dict[str | int, int] = {}
    found = []
    for place, name in enumerate(names):
        # A place is no name: an example without a group is one by itself.
        key = place if name is None else name
        found.append(numbers.setdefault(key, len(numbers)))
    save_groups(features, split, np.array(found, np.int64))


def load_groups(features: Path, split: str, most: int | None = None) -> np.ndarray | None:
    """The groups of a split's examples, or of the first `most`, integers (n,); None where they are
    not grouped."""
    groups = find_beside(features, split, "groups")
    if groups is None:
        return None
    return groups[:most]


def _single(order: np.ndarray, shares: list[float], strata: np.ndarray, least: int) -> np.ndarray:
    """Of each example the place of its split among `shares`, or their number for the rest."""
    taken = np.full(len(order), len(shares))
    for stratum in range(strata.max(initial=-1) + 1):
        members = order[strata[order] == stratum]
        start = 0
        for place, share in enumerate(shares):
            count = max(least, round(share * len(members)))
            taken[members[start : start + count]] = place
            start += count
    return taken


def _grouped(keys: np.ndarray, shares: list[float], strata: np.ndarray) -> np.ndarray:
    """The same where examples of one key stay together."""
    groups, group_of = np.unique(keys, return_inverse=True)
    counts = np.zeros((len(groups), strata.max() + 1))
    np.add.at(counts, (group_of, strata), 1)
    taken = np.full(len(groups), len(shares))
    for place, share in enumerate(shares):
        wanted = share * counts.sum(axis=0)
        lacking = wanted.copy()
        for group in np.flatnonzero(taken == len(shares)):
            # A group is taken where the split is nearer to its share with it.
            if np.abs(lacking - counts[group]).sum() < np.abs(lacking).sum():
                taken[group] = place
                lacking -= counts[group]
            if np.abs(lacking).max() < 0.5:
                break
        for stratum in np.flatnonzero((lacking == wanted) & (wanted > 0)):
            # No group of this class was small enough: the smallest of those that are left, but one.
            left = np.flatnonzero((taken == len(shares)) & (counts[:, stratum] > 0))
            if len(left) > 1:
                taken[left[np.argmin(counts[left].sum(axis=1))]] = place
    return taken[group_of]


def mixed(values: np.ndarray) -> np.ndarray:
    """uint64 to uint64, near ones to far ones (the finalizer of SplitMix64: Steele et al. 2014)."""
    values = values + np.uint64(0x9E3779B97F4A7C15)
    values = (values ^ (values >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    values = (values ^ (values >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    found: np.ndarray = values ^ (values >> np.uint64(31))
    return found
