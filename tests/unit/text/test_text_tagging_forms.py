"""What a tagger sees in how a word is written, and in the words next to it."""

from __future__ import annotations

import random
import shutil
from pathlib import Path
from typing import Any

from modelyard.families.text.config import TextConfig
from modelyard.families.text.tagging.network import FORMS, TagRecurrent, form_of
from modelyard.families.text.tasks.build import build as open_family
from modelyard.families.text.tasks.host import host as open_host
from modelyard.judging.evaluation import Evaluation
from modelyard.runtimes.torch import TorchRuntime
from modelyard.training.loop import Trainer

SYLLABLES = [begin + vowel for begin in "bdfgklmnprst" for vowel in "aeiou"]


def write(raw: Path, count: int = 240) -> None:
    """Sentences in which only a capital tells a name from other words, all made of syllables."""
    draw = random.Random(0)
    lines = []
    for _ in range(count):
        for _ in range(8):
            word = "".join(draw.choices(SYLLABLES, k=3))
            is_name = draw.random() < 0.3
            lines.append(f"{word.capitalize()} B-PER" if is_name else f"{word} O")
        lines.append("")
    raw.mkdir()
    (raw / "names.conll").write_text("\n".join(lines))


def trained(folder: Path, **features: Any) -> Evaluation:
    config = TextConfig.model_validate(
        {
            "features": {"task": "tag", "vocabulary": 400, **features},
            "model": {"width": 32, "dropout": 0.1},
            "training": {"epochs": 6, "batch_size": 8, "learning_rate": 5e-3, "hide": 0.1},
        }
    )
    family = open_family(config)
    raw, out, model = (folder / name for name in ("raw", "features", "model"))
    write(raw)
    (out / "assets").mkdir(parents=True)
    family.features(raw, out)
    shutil.copytree(out / "assets", model / "assets")
    family.fit(out, model, Trainer(config.seed, config.training))
    host = open_host(model / "assets")
    found: Evaluation = family.evaluate(host, TorchRuntime(family.graphs(model)), out)
    return found


def test_a_capital_tells_a_name_from_a_word(tmp_path: Path) -> None:
    (tmp_path / "cased").mkdir()
    (tmp_path / "lower").mkdir()
    assert trained(tmp_path / "cased").metrics["span_f1"] > 0.95
    # Nothing else tells them apart.
    assert trained(tmp_path / "lower", lower=True).metrics["span_f1"] < 0.7


def test_pieces_are_told_apart_by_how_they_are_written() -> None:
    pieces = ["▁NATO", "NATO", "▁Ada", "▁ada", "▁1996", "▁F1x", "▁,", ",", "▁A", ""]
    forms = [form_of(piece) for piece in pieces]
    assert forms == [3, 2, 5, 11, 7, 5, 1, 0, 5, 0]
    assert max(forms) < FORMS


def test_a_plan_of_before_makes_the_network_of_before() -> None:
    plan = {"kind": "lstm", "dropout": 0.1, "tokens": 9, "width": 8, "pairs": 4}

    class Spec:
        pad, classes = 0, ["O", "B-PER", "I-PER"]

    names = set(TagRecurrent(plan, Spec()).state_dict())  # type: ignore[arg-type]
    assert not any(name.startswith(("near", "forms", "affixes")) for name in names)
