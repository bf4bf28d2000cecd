"""The networks: what padding changes, checkpoints of other people, guessing hidden tokens."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import transformers

from modelyard.families.text.config import TextConfig
from modelyard.families.text.family import Text
from modelyard.families.text.host import TextHost, TextRequest
from modelyard.families.text.network import MOST_WEIGHTS, SPEED, WideRecurrent, plan
from modelyard.kit.classifier import store
from modelyard.kit.text.encoder import Encoder, Guesses, Guessing
from modelyard.runtimes.torch import TorchRuntime
from modelyard.training.loop import Trainer
from tests.unit.text.test_text_data import reviews, table

KINDS = ("rnn", "lstm", "bert")


def family(tmp_path: Path, kind: str, training: dict[str, Any] | None = None, **model: Any) -> Text:
    """With its features in `tmp_path/out`."""
    settings = {"kind": kind, "width": 32, **model}
    values = {"model": settings, "training": {"epochs": 4, **(training or {})}}
    found = Text(TextConfig.model_validate(values))
    (tmp_path / "out/assets").mkdir(parents=True)
    found.features(table(tmp_path / "raw", ("text", "label"), reviews()), tmp_path / "out")
    return found


def trained(found: Text, tmp_path: Path) -> tuple[TextHost, TorchRuntime, dict[str, Any]]:
    model = tmp_path / "model"
    model.mkdir()
    (tmp_path / "out/assets").rename(model / "assets")
    (tmp_path / "out/assets").symlink_to(model / "assets")
    report = found.fit(tmp_path / "out", model, Trainer(0, found.config.training))
    return TextHost(model / "assets"), TorchRuntime(found.graphs(model)), report


@pytest.mark.parametrize("kind", KINDS)
def test_padding_changes_nothing(tmp_path: Path, kind: str) -> None:
    found = family(tmp_path, kind)
    net = found.model(tmp_path / "out/assets").eval()
    tokens = torch.from_numpy(store.load_arrays(tmp_path / "out", "train")[:3].astype(np.int64))
    assert (tokens[1:, -3:] == net.pad).all()
    tokens[0, 1:] = tokens[0, 1]  # as long as a text may be: the others of its batch are padded
    with torch.inference_mode():
        alone, together = net(tokens[1:])["logits"], net(tokens)["logits"]
    assert torch.allclose(alone, together[1:], atol=1e-5)
    longer = tokens[1:].clone()
    longer[0, int((tokens[1] != net.pad).sum())] = tokens[0, 1]
    with torch.inference_mode():
        assert not torch.allclose(net(longer)["logits"][0], alone[0], atol=1e-5)


@pytest.mark.parametrize("kind", KINDS)
def test_the_order_of_words_matters(tmp_path: Path, kind: str) -> None:
    found = family(tmp_path, kind)
    net = found.model(tmp_path / "out/assets").eval()
    tokens = torch.from_numpy(store.load_arrays(tmp_path / "out", "train")[:1].astype(np.int64))
    turned = tokens.clone()
    turned[0, 1:4] = tokens[0, [3, 2, 1]]
    with torch.inference_mode():
        assert not torch.allclose(net(tokens)["logits"], net(turned)["logits"], atol=1e-6)


@pytest.mark.parametrize("kind", ["rnn", "lstm"])
def test_pieces_and_pairs_have_a_part_of_their_own(tmp_path: Path, kind: str) -> None:
    found = family(tmp_path, kind)
    net = found.model(tmp_path / "out/assets").eval()
    assert isinstance(net, WideRecurrent)
    tokens = torch.tensor([[7, 9, 7, 11], [5, net.pad, net.pad, net.pad]])
    with torch.inference_mode():
        before = net(tokens)["logits"]
        net.wide.pieces.copy_(torch.randn_like(net.wide.pieces))
        net.wide.pairs.copy_(torch.randn_like(net.wide.pairs))
        part = net(tokens)["logits"] - before

    def place(first: int, second: int) -> int:
        return (first * 1_000_003 + second * 7_919) % net.wide.pairs.shape[1]

    pieces, pairs = net.wide.pieces, net.wide.pairs
    first = 2 * pieces[:, 7] + pieces[:, 9] + pieces[:, 11]
    first = first + pairs[:, place(7, 9)] + pairs[:, place(9, 7)] + pairs[:, place(7, 11)]
    assert place(7, 9) != place(9, 7)
    assert torch.allclose(part[0], SPEED * first / 2, atol=1e-4)
    assert torch.allclose(part[1], SPEED * pieces[:, 5], atol=1e-4)


def test_the_part_of_pieces_and_pairs_can_be_left_out_and_stays_small(tmp_path: Path) -> None:
    plain = family(tmp_path, "lstm", wide=False)
    assert not hasattr(plain.model(tmp_path / "out/assets"), "wide")
    spec = plain.Spec.load(tmp_path / "out/assets")
    spec = spec.model_copy(update={"classes": [str(number) for number in range(1_000)]})
    pairs = plan(TextConfig().model, spec, None)["pairs"]
    assert 1_000 < pairs < MOST_WEIGHTS / 1_000


def test_hidden_tokens_are_never_special_and_others_in_the_next_epoch(tmp_path: Path) -> None:
    found = family(tmp_path, "lstm", {"hide": 0.5})
    features = tmp_path / "out"
    spec = found.Spec.load(features / "assets")
    whole = store.load_arrays(features, "train")
    seen = []
    for epoch in (1, 2):
        batches = found.batches(features, "train", epoch)
        tokens = batches.take(np.arange(len(whole)))["tokens"].numpy()
        changed = tokens != whole
        assert set(tokens[changed].tolist()) == {spec.hidden}
        assert not np.isin(whole[changed], spec.special).any()
        words = ~np.isin(whole, spec.special)
        assert 0.4 < changed[words].mean() < 0.6
        seen.append(changed)
    assert (seen[0] != seen[1]).any()
    still = found.batches(features, "train", 0).take(np.arange(len(whole)))["tokens"].numpy()
    assert (still == whole).all()


def test_only_hidden_tokens_are_guessed(tmp_path: Path) -> None:
    found = family(tmp_path, "bert")
    features = tmp_path / "out"
    spec = found.Spec.load(features / "assets")
    guessing = Guessing(found.model, spec, 8, 0)
    batch = next(iter(guessing.batches(features, "train", 1)))
    guessed = batch["target"] != -100
    assert 0 < guessed.float().mean() < 0.3
    assert (batch["tokens"][guessed] == spec.hidden).all()
    assert (batch["target"][guessed] != spec.hidden).all()
    again = next(iter(guessing.batches(features, "validation", 1)))
    other = next(iter(guessing.batches(features, "validation", 2)))
    assert torch.equal(again["tokens"], other["tokens"])


def test_guessing_hidden_tokens_comes_before_the_labels_and_lowers_its_loss(tmp_path: Path) -> None:
    found = family(tmp_path, "bert", {"learning_rate": 2e-3, "batch_size": 8}, pretrain_epochs=4)
    host, run, report = trained(found, tmp_path)
    (note,) = [note for note in report["notes"] if "Guessing" in note]
    first, last = (float(word.rstrip(".")) for word in note.split() if word[0].isdigit())
    assert last < first
    assert not (tmp_path / "model/pretrained").exists()
    assert len(host.predict(run, [TextRequest(text="good film")])) == 1


def test_hidden_tokens_are_guessed_by_an_electra_whose_embedding_is_narrower(
    tmp_path: Path,
) -> None:
    plain = family(tmp_path / "plain", "bert")
    spec = plain.Spec.load(tmp_path / "plain/out/assets")
    config = transformers.ElectraConfig(
        vocab_size=500,
        max_position_embeddings=40,
        pad_token_id=spec.pad,
        embedding_size=16,
        hidden_size=32,
        num_hidden_layers=1,
        num_attention_heads=2,
        intermediate_size=64,
    )
    net = Encoder(transformers.ElectraModel(config), 32, 0.0, spec).eval()
    rows = store.load_arrays(tmp_path / "plain/out", "train")[:3]
    tokens = torch.from_numpy(rows.astype(np.int64))
    logits = Guesses(net)(tokens)["logits"]
    assert logits.shape[::2] == (3, 500)


@pytest.mark.parametrize("kind", ["bert", "distilbert", "electra", "roberta"])
def test_a_checkpoint_s_weights_and_tokenizer_are_those_that_training_starts_from(
    tmp_path: Path, kind: str
) -> None:
    folder = tmp_path / "checkpoint"
    plain = family(tmp_path / "plain", "bert")
    spec = plain.Spec.load(tmp_path / "plain/out/assets")
    shape = {"vocab_size": 500, "max_position_embeddings": 40, "pad_token_id": spec.pad}
    names = ("hidden_size", "num_hidden_layers", "num_attention_heads", "intermediate_size")
    if kind == "distilbert":
        names = ("dim", "n_layers", "n_heads", "hidden_dim")
    config = transformers.AutoConfig.for_model(
        kind, **shape, **dict(zip(names, (32, 1, 2, 64), strict=True))
    )
    theirs = transformers.AutoModel.from_config(config)
    theirs.save_pretrained(folder)
    (folder / "tokenizer.json").write_text(spec.tokenizer)
    found = family(tmp_path / "fine", "bert", checkpoint=str(folder))
    mine = found.model(tmp_path / "fine/out/assets").state_dict()
    assert found.Spec.load(tmp_path / "fine/out/assets").tokenizer == spec.tokenizer
    for name, value in theirs.state_dict().items():
        if not name.startswith("pooler."):
            assert torch.equal(mine[f"encoder.{name}"], value), name
    host, run, report = trained(found, tmp_path / "fine")
    assert (
        "The checkpoint learns with a rate of 0.00015 (model.checkpoint_rate)." in report["notes"]
    )
    assert len(host.predict(run, [TextRequest(text="poor film " * 50)])) == 1
    plan = json.loads((tmp_path / "fine/model/assets/network.json").read_text())
    assert plan["config"]["model_type"] == kind
