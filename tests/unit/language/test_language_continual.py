"""A model of sentences goes on with arithmetic: what it keeps of the sentences."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from modelyard.errors import UsageError
from modelyard.families.language.config import LanguageConfig
from modelyard.families.language.family import Language
from modelyard.families.language.tokens import Codec
from modelyard.training.memory import Memory
from tests.training.going_on import features_of, judged, model_of

WORDS = (
    ("the cat", "the dog", "a bird", "the fox"),
    ("sees", "likes", "hears"),
    ("the river", "a tree", "the moon"),
)


def family(**changes: object) -> Language:
    values = LanguageConfig.debug().model_dump()
    values["model"] |= {"context": 32, "draft_layers": 0, "layers": 1}
    values["training"] |= {"epochs": 5, "batch_size": 4, "patience": 5}
    for name, value in changes.items():
        section, _, field = name.partition("__")
        values[section] |= {field: value}
    return Language(LanguageConfig.model_validate(values))


def texts(folder: Path, sentences: bool) -> Path:
    folder.mkdir()
    rng = np.random.default_rng(int(sentences))
    for number in range(24):
        lines = []
        for _ in range(12):
            a, b = (int(one) for one in rng.integers(0, 50, 2))
            words = " ".join(part[int(rng.integers(len(part)))] for part in WORDS)
            lines.append(f"{words}." if sentences else f"{a}+{b}={a + b};")
        (folder / f"{number}.txt").write_text("\n".join(lines))
    return folder


@pytest.fixture(scope="module")
def parts(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    root = tmp_path_factory.mktemp("texts")
    return texts(root / "sentences", True), texts(root / "sums", False)


@pytest.fixture(scope="module")
def first(parts: tuple[Path, Path], tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    out, one = tmp_path_factory.mktemp("first"), family(continual__memory=16, model__draft_layers=1)
    features = features_of(one, parts[0], out / "features")
    return features, model_of(one, features, out / "model")


def test_the_tokenizer_is_the_earlier_ones(
    parts: tuple[Path, Path], first: tuple[Path, Path], tmp_path: Path
) -> None:
    features = features_of(family(), parts[1], tmp_path / "features", first[1])
    files = [(folder / "assets" / "tokenizer.json").read_bytes() for folder in (features, first[0])]
    assert files[0] == files[1]
    codec = Codec(features / "assets" / "tokenizer.json")
    assert codec.decode(codec.encode("12+7=19;")) == "12+7=19;"


def test_rows_of_text_are_kept_and_the_draft_beside_the_model_keeps_none(
    first: tuple[Path, Path],
) -> None:
    memory = Memory.load(first[1] / "memory.safetensors")
    assert {name: tuple(rows.shape) for name, rows in memory.rows.items()} == dict.fromkeys(
        ("input_ids", "targets", "positions", "segments"), (16, 32)
    )
    assert not (first[1] / "draft" / "memory.safetensors").exists()
    assert (first[1] / "memory.safetensors").stat().st_size < 4 * 16 * 32 * 2 + 1000


def test_with_exemplars_the_sentences_are_not_forgotten(
    parts: tuple[Path, Path], first: tuple[Path, Path], tmp_path: Path
) -> None:
    perplexity = {"before": judged(family(), first[1], first[0]).metrics["perplexity"]}
    for replay in (0.0, 0.5):
        one = family(continual__replay=replay)
        features = features_of(one, parts[1], tmp_path / f"{replay}", first[1])
        model = model_of(one, features, tmp_path / f"{replay}-model")
        perplexity[f"{replay}"] = judged(one, model, first[0]).metrics["perplexity"]
    assert perplexity["0.5"] < 1.5 * perplexity["before"]
    assert perplexity["0.0"] > 2 * perplexity["0.5"]


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"model__kind": "gpt2"}, r"'model\.kind' = 'gpt2'.*--set model\.kind=llama"),
        ({"model__layers": 2}, r"--set model\.layers=1"),
        ({"model__width": 64}, r"--set model\.width=32"),
        ({"model__context": 64}, r"'model\.context' = 64.*--set model\.context=32"),
    ],
)
def test_another_shape_or_context_does_not_go_on(
    changes: dict[str, object],
    said: str,
    parts: tuple[Path, Path],
    first: tuple[Path, Path],
    tmp_path: Path,
) -> None:
    with pytest.raises(UsageError, match=said):
        features_of(family(**changes), parts[1], tmp_path / "features", first[1])
