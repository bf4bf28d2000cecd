"""Forgetting, without exemplars and with them: `python benchmarks/continual.py`.

Real handwritten digits arrive in two parts, 0 to 4 first and 5 to 9 later. A network of the image
family learns the first part, then goes on with the second alone: without exemplars of the first,
with 100 or 300 by reservoir or by herding; and beside them anew on both parts together, which is
the most that can be had. All trainings have the same pictures in the same splits and the same
number of epochs but the last, which has as many as both parts had; the best epoch on the data at
hand counts, as in every run. An epoch that replays exemplars has twice the steps. Prints a table of
accuracies on test pictures (mean and standard deviation over seeds), and writes
`plots/continual.json` and `plots/continual.png` beside this file.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch

from modelyard.families.image.config import ImageConfig
from modelyard.families.image.family import Image
from modelyard.families.image.host import ImageHost
from modelyard.family import Family
from modelyard.store.base import FOLDER, carry
from modelyard.training.loop import Trainer

OLD, NEW = "01234", "56789"
MEMORIES = (100, 300)
PLOTS = Path(__file__).parent / "plots"
Accuracies = dict[str, float]


def config(seed: int, epochs: int, **continual: object) -> ImageConfig:
    """A narrow network on pictures of 16 pixels."""
    return ImageConfig.model_validate(
        {
            "seed": seed,
            "features": {"size": 16},
            "model": {"width": 8, "calibration": "none"},
            "training": {
                "epochs": epochs,
                "patience": epochs,
                "batch_size": 32,
                "learning_rate": 3e-3,
            },
            "continual": continual,
        }
    )


def features(family: Image, raw: Path, out: Path, base: Path | None) -> Path:
    """A features folder; `base` is the model folder that it goes on from."""
    (out / "assets").mkdir(parents=True)
    if base is not None:
        carry(base, out / FOLDER)
        shutil.copytree(base / "assets", out / FOLDER / "assets")
    family.features(raw, out)
    return out


def model(family: Image, found: Path, out: Path) -> Path:
    """A model folder."""
    shutil.copytree(found / "assets", out / "assets")
    family.fit(
        found,
        out,
        Trainer(family.config.seed, family.config.training, continual=family.config.continual),
    )
    return out


def accuracy(family: Family[ImageConfig], trained: Path, found: Path) -> float:
    """On the test split of a features folder."""
    return family.evaluate(ImageHost(trained / "assets"), family.native(trained), found).metrics[
        "accuracy"
    ]


def judged(family: Image, trained: Path, old: Path, new: Path, both: Path) -> Accuracies:
    """Accuracies on old, new and all digits."""
    return {
        name: accuracy(family, trained, one)
        for name, one in (("old", old), ("new", new), ("all", both))
    }


def run(seed: int, epochs: int, root: Path) -> Iterator[tuple[str, Accuracies]]:
    """Every way to learn the second part, with its accuracies."""
    raws = parts(seed, root)
    anew = Image(config(seed, epochs))
    both = features(anew, raws["all"], root / "features-all", None)
    old = features(anew, raws["old"], root / "features-old", None)
    new = features(anew, raws["new"], root / "features-new", None)
    splits = (old, new, both)
    first = model(anew, old, root / "first")
    yield "before: 0 to 4 alone", judged(anew, first, *splits)
    plain = features(anew, raws["new"], root / "plain", first)
    yield "no exemplars", judged(anew, model(anew, plain, root / "plain-model"), *splits)
    for choose in ("reservoir", "herding"):
        for count in MEMORIES:
            name = f"{choose}, {count}"
            family = Image(config(seed, epochs, memory=count, choose=choose))
            keeper = model(family, old, root / f"{name} keeper")
            found = features(family, raws["new"], root / f"{name} features", keeper)
            yield name, judged(family, model(family, found, root / f"{name} model"), *splits)
    for name, times in (("both parts together, anew", 1), ("the same, twice the epochs", 2)):
        longer = Image(config(seed, times * epochs))
        yield name, judged(longer, model(longer, both, root / name), *splits)


def parts(seed: int, root: Path) -> dict[str, Path]:
    """Folders of all digits and of each part, divided alike into train, validation and test
    folders."""
    made = root / "made"
    made.mkdir()
    Image(config(seed, 1)).sample(made)
    rng = np.random.default_rng(seed)
    for file in sorted(made.rglob("*.png")):
        digit, split = (
            file.parent.name,
            str(rng.choice(["train", "validation", "test"], p=[0.65, 0.15, 0.2])),
        )
        for part in ("all", "old" if digit in OLD else "new"):
            folder = root / part / split / digit
            folder.mkdir(parents=True, exist_ok=True)
            shutil.copy2(file, folder)
    return {name: root / name for name in ("all", "old", "new")}


def table(found: dict[str, list[Accuracies]]) -> str:
    """As Markdown: percent, mean ± standard deviation over seeds."""
    lines = ["| second part learnt with | 0 to 4 | 5 to 9 | all |", "|---|---|---|---|"]
    for name, rows in found.items():
        cells = []
        for part in ("old", "new", "all"):
            values = 100 * np.array([row[part] for row in rows])
            cells.append(
                f"{values.mean():.1f} ± {values.std(ddof=1) if len(values) > 1 else 0:.1f}"
            )
        lines.append(f"| {name} | {' | '.join(cells)} |")
    return "\n".join(lines)


def draw(found: dict[str, list[Accuracies]], file: Path) -> None:
    """Bars of old and new accuracy, a dot a seed."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(figsize=(8, 3.6), layout="constrained")
    places = np.arange(len(found))
    for part, label, shift, colour in (
        ("old", "0 to 4", -0.2, "#2f6f9f"),
        ("new", "5 to 9", 0.2, "#d9903d"),
    ):
        values = [[100 * row[part] for row in rows] for rows in found.values()]
        axes.barh(places + shift, [np.mean(one) for one in values], 0.36, color=colour, label=label)
        for place, one in zip(places, values, strict=True):
            axes.plot(one, [place + shift] * len(one), "k.", markersize=4)
    axes.set_yticks(places, list(found))
    axes.invert_yaxis()
    axes.set_xlabel("accuracy on test pictures, %")
    axes.legend(loc="lower center", bbox_to_anchor=(0.5, 1.0), ncols=2, frameon=False)
    figure.savefig(file, dpi=130)


def main() -> None:
    """Runs all seeds."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--epochs", type=int, default=12)
    asked = parser.parse_args()
    torch.set_num_threads(int(os.environ.get("OMP_NUM_THREADS", "2")))
    start = time.perf_counter()
    found: dict[str, list[Accuracies]] = {}
    for seed in range(asked.seeds):
        with tempfile.TemporaryDirectory(prefix="modelyard-") as folder:
            for name, accuracies in run(seed, asked.epochs, Path(folder)):
                found.setdefault(name, []).append(accuracies)
    PLOTS.mkdir(exist_ok=True)
    seconds = round(time.perf_counter() - start)
    told = {"seeds": asked.seeds, "epochs": asked.epochs, "seconds": seconds, "accuracies": found}
    (PLOTS / "continual.json").write_text(json.dumps(told, indent=1) + "\n")
    draw(found, PLOTS / "continual.png")
    print(f"{table(found)}\n\n{asked.seeds} seeds, {asked.epochs} epochs each, {seconds} s")


if __name__ == "__main__":
    main()
