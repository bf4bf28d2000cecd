"""How words begin and end, whatever their pieces."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pytest
import torch

from modelyard.families.text.config import TextConfig
from modelyard.families.text.tagging.affixes import Affixes
from modelyard.families.text.tagging.network import TagRecurrent
from modelyard.families.text.tagging.spec import TagSpec
from modelyard.families.text.tasks.build import build as open_family
from modelyard.families.text.tasks.data import data as open_data
from modelyard.runtimes.export import to_onnx
from modelyard.runtimes.types import Graph

PIECES = ["[PAD]", "▁Zeit", "ung", "▁Verwalt", "un", "g", "▁un", "▁", "n", "u", "▁g"]


def tokens_of(*pieces: str) -> torch.Tensor:
    return torch.tensor([[PIECES.index(piece) for piece in pieces]])


def spelled(letters: torch.Tensor) -> str:
    return "".join(chr(letter) for letter in letters.tolist() if letter)


@pytest.mark.parametrize("pieces", [("ung",), ("un", "g"), ("u", "n", "g")])
def test_a_word_ends_alike_whatever_its_pieces(pieces: tuple[str, ...]) -> None:
    affixes = Affixes(PIECES, [0], 4)
    tokens = tokens_of("▁un", "▁Verwalt", *pieces, "▁g", "▁", *pieces, "[PAD]")
    last = affixes.last_letters(tokens)[0]
    second = 4 + len(pieces) - 1
    # At a word's first piece, the last letter first.
    assert spelled(last[0]) == "nu"
    assert spelled(last[1]) == "gnut"
    assert spelled(last[second - 1]) == "g"
    assert spelled(last[second]) == "gnu"
    # Nowhere else, nor at a token that is of no word.
    elsewhere = [place for place in range(len(last)) if place not in (0, 1, second - 1, second)]
    assert not last[elsewhere].any()


def test_a_beginning_is_not_the_ending_of_the_same_letters() -> None:
    affixes = Affixes(PIECES, [0], 4)
    places = affixes.places(tokens_of("▁g", "[PAD]", "▁Zeit", "ung"))[0]
    assert (places[0] > 0).tolist() == [True, False, False, False] * 2
    assert places[0, 0] != places[0, 4]
    # -ung ends in g, too; Zeit- does not begin so.
    assert places[0, 4] == places[2, 4]
    assert places[0, 0] != places[2, 0]
    # Padding has a vector of its own, which is 0.
    assert not affixes(tokens_of("[PAD]")).any()


def built(folder: Path) -> TagSpec:
    raw, out = folder / "raw", folder / "out"
    raw.mkdir()
    words = ["Zeitungen", "Verwaltung", "x1", ",", "gehen"]
    lines = []
    for number in range(40):
        lines += [f"{word} O" for word in words] + [f"Nummer{number} B-N", ""]
    (raw / "data.conll").write_text("\n".join(lines))
    (out / "assets").mkdir(parents=True)
    config = TextConfig.model_validate({"features": {"task": "tag", "vocabulary": 100}})
    open_data(config).features(raw, out)
    return TagSpec.load(out / "assets")


class OnlyAffixes(torch.nn.Module):
    """A graph of what affixes add: a whole tagger takes long to export."""

    def __init__(self) -> None:
        super().__init__()
        self.affixes = Affixes(PIECES, [0], 4)

    def forward(self, tokens: torch.Tensor) -> dict[str, torch.Tensor]:
        return {"vectors": self.affixes(tokens)}


def test_onnx_reads_the_same_affixes_of_texts_of_any_length(tmp_path: Path) -> None:
    net = OnlyAffixes()
    text = tokens_of("▁un", "▁Verwalt", "un", "g", "▁Zeit", "ung", "▁", "u", "n", "g", "[PAD]")
    example = {"tokens": text.repeat(2, 1).numpy()}
    to_onnx(Graph("model", example, net, dynamic={"tokens": (1,)}), tmp_path / "model.onnx", 18)
    session = onnxruntime.InferenceSession(tmp_path / "model.onnx")
    for length in (11, 4):
        tokens = text[:, :length].repeat(3, 1)
        expected = net(tokens)["vectors"].detach().numpy()
        found = session.run(None, {"tokens": tokens.numpy()})[0]
        np.testing.assert_allclose(found, expected, atol=1e-6)


def test_a_tagger_s_scores_change_with_the_affixes(tmp_path: Path) -> None:
    spec = built(tmp_path)
    tokens = torch.from_numpy(spec.laid_out(["Verwaltungen", "gehen"]).rows).long()
    made = {"kind": "lstm", "dropout": 0.1, "tokens": spec.opened.get_vocab_size(), "width": 8}
    net = TagRecurrent(made | {"affixes": True}, spec).eval()
    before = net(tokens)["logits"]
    assert net.affixes is not None
    torch.nn.init.zeros_(net.affixes.vectors.weight)
    assert (net(tokens)["logits"] - before).abs().max() > 1e-3


@pytest.mark.parametrize(
    ("model", "reads"),
    [({}, True), ({"kind": "rnn"}, True), ({"wide": False}, False), ({"kind": "bert"}, False)],
)
def test_recurrent_taggers_read_affixes_unless_told_not_to(
    tmp_path: Path, model: dict[str, Any], reads: bool
) -> None:
    config = TextConfig.model_validate({"features": {"task": "tag"}, "model": model})
    plan = open_family(config).plan(built(tmp_path))
    assert plan.get("affixes", False) == reads
