"""Training: packing, adapters, checkpoints; and the figures, recomputed another way."""

from __future__ import annotations

import json
import math
from itertools import count

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from scipy.stats import ks_2samp
from torch.nn import functional

from modelyard.errors import BadData, BrokenArtifact, Unavailable, UsageError
from modelyard.families.language.architecture import new_config
from modelyard.families.language.config import LanguageConfig
from modelyard.families.language.data import read_split
from modelyard.families.language.decoder import MAIN
from modelyard.families.language.documents import Document
from modelyard.families.language.evaluate import evaluate
from modelyard.families.language.family import Language
from modelyard.families.language.model import CausalLanguageModel, loss
from modelyard.families.language.pack import pack
from modelyard.families.language.prompt import Prompt
from modelyard.families.language.scoring import judge_documents
from modelyard.families.language.train import load
from modelyard.judging.evaluation import Part
from modelyard.settings.family import resolve
from tests.unit.language.conftest import config, train

KINDS = ("gpt2", "llama", "mistral")


@pytest.mark.parametrize("kind", KINDS)
def test_packed_documents_do_not_see_each_other(kind):
    torch.manual_seed(0)
    settings = config(kind).model
    model = CausalLanguageModel(new_config(settings, 50, 2)).eval()
    documents = [torch.randint(1, 50, (size,)).tolist() for size in (20, 9, 25, 4)]
    packed = pack(documents, 64, start=0, end=0)
    batch = {name: torch.from_numpy(array) for name, array in vars(packed).items()}
    assert len(batch["input_ids"]) == 1
    with torch.inference_mode():
        together = loss(model, batch).item()
        summed = total = 0
        for ids in documents:
            tokens = torch.tensor([[0, *ids, 0]])
            logits = model.network(tokens[:, :-1]).logits[0]
            summed += functional.cross_entropy(logits, tokens[0, 1:], reduction="sum").item()
            total += tokens.shape[1] - 1
    assert together == pytest.approx(summed / total, rel=1e-5)


def test_figures_are_those_of_torch_over_whole_documents(trained, onnx):
    one = trained("llama")
    host, network = one.host, load(one.model)[MAIN].network
    text = read_split(one.features, "test")[0].text[:70]
    (judged,) = judge_documents(host, onnx("llama"), [Document(text, "short")])
    ids = torch.tensor([[host.spec.start, *host.codec.encode(text), host.spec.end]])
    with torch.inference_mode():
        logits = network(ids[:, :-1]).logits[0]
    expected = functional.cross_entropy(logits, ids[0, 1:], reduction="none")
    np.testing.assert_allclose(judged.losses, expected, atol=1e-4)
    np.testing.assert_array_equal(judged.hits, logits.argmax(1) == ids[0, 1:])


def test_a_long_document_is_judged_with_half_a_context_before_each_token(trained, onnx):
    one = trained("llama")
    host, network = one.host, load(one.model)[MAIN].network
    document = read_split(one.features, "test")[0]
    (judged,) = judge_documents(host, onnx("llama"), [document])
    ids = [host.spec.start, *host.codec.encode(document.text), host.spec.end]
    assert len(judged.losses) == len(ids) - 1
    assert judged.seen[:64].tolist() == list(range(1, 65))
    assert judged.seen[64:].min() == 33
    for place in (70, 200, len(ids) - 2):
        window = torch.tensor([ids[place + 1 - judged.seen[place] : place + 1]])
        with torch.inference_mode():
            logs = network(window).logits[0, -1].log_softmax(-1)
        assert judged.losses[place] == pytest.approx(-logs[ids[place + 1]].item(), abs=1e-4)


def test_the_baseline_is_a_smoothed_unigram_and_the_model_beats_it(trained, onnx):
    one = trained("llama")
    result = one.family.evaluate(one.host, onnx("llama"), one.features, "test")
    codec, size = one.host.codec, one.host.spec.vocabulary
    counts = dict.fromkeys(range(size), 1)
    for document in read_split(one.features, "train"):
        for token in [*codec.encode(document.text), 0]:
            counts[token] += 1
    total, tokens = sum(counts.values()), []
    texts = [document.text for document in read_split(one.features, "test")]
    for text in texts:
        tokens += [*codec.encode(text), 0]
    nats = -sum(math.log(counts[token] / total) for token in tokens)
    assert result.baseline["perplexity"] == pytest.approx(math.exp(nats / len(tokens)))
    bits = nats / math.log(2) / sum(len(text.encode()) for text in texts)
    assert result.baseline["bits_per_byte"] == pytest.approx(bits)
    assert result.metrics["bits_per_byte"] < result.baseline["bits_per_byte"]
    ratio = result.metrics["bits_per_byte"] / math.log(result.metrics["perplexity"])
    assert ratio == pytest.approx(bits / (nats / len(tokens)))
    assert {plot.title for plot in result.plots} == {
        "Perplexity by position",
        "Bits per byte by document",
    }


def test_only_the_first_documents_are_judged_where_there_are_too_many(trained, onnx):
    one = trained("llama")
    result = evaluate(one.host, onnx("llama"), one.features, "train", 1_000)
    assert any("further documents" in note for note in result.notes)
    assert result.rows < evaluate(one.host, onnx("llama"), one.features, "train", 10**6).rows


def test_part_of_a_split_is_its_first_documents(trained, onnx, monkeypatch):
    monkeypatch.setattr("modelyard.families.language.evaluate.GROUP", 1)
    one = trained("llama")
    judged = (one.host, onnx("llama"), one.features, "train", 10**6)
    part = evaluate(*judged, Part(rows=1))
    texts = [document.text for document in read_split(one.features, "train")]
    assert part.part == 1
    assert part.rows == sum(len(one.host.codec.encode(text)) + 1 for text in texts[:1])
    whole = evaluate(*judged, Part(rows=len(texts)))
    assert whole.part is None
    assert whole.rows == sum(len(one.host.codec.encode(text)) + 1 for text in texts)


@pytest.mark.parametrize("kind", ["gpt2", "llama"])
def test_merged_adapters_change_the_checkpoint_and_are_saved_beside_it(
    kind, trained, features, tmp_path
):
    base = trained(kind)
    family = Language(config(kind, checkpoint=str(base.model), lora_rank=4, lora_alpha=16))
    tuned = train(family, features, tmp_path)
    adapters = load_file(tuned.model / "adapters.safetensors")
    before, after = (load_file(one.model / "model.safetensors") for one in (base, tuned))
    assert before.keys() == after.keys()
    changed = {name for name in before if not torch.equal(before[name], after[name])}
    assert changed == {
        name
        for name in before
        if name.endswith(
            ("c_attn.weight", "c_proj.weight") if kind == "gpt2" else ("_proj.weight",)
        )
        and ("attn" in name or kind == "gpt2")
    }
    name = min(changed)
    stem = next(
        key for key in adapters if name.removesuffix(".weight").split("network.", 1)[1] in key
    )
    down = adapters[stem.replace("lora_B", "lora_A")]
    up = adapters[stem.replace("lora_A", "lora_B")]
    delta = (up @ down) * 16 / 4
    torch.testing.assert_close(
        after[name] - before[name], delta.T if kind == "gpt2" else delta, atol=1e-5, rtol=1e-4
    )
    assert json.loads((tuned.model / "adapters.json").read_text())["r"] == 4
    answer = tuned.host.predict(
        family.native(tuned.model), [Prompt(prompt="import", max_new_tokens=4)]
    )
    assert len(answer[0].tokens) > 0


@pytest.fixture
def foreign(tmp_path, trained):
    """A checkpoint as transformers and tokenizers write it."""
    one = trained("mistral")
    network = load(one.model)[MAIN].network
    network.save_pretrained(tmp_path / "foreign", safe_serialization=True)
    (tmp_path / "foreign/tokenizer.json").write_bytes(
        (one.model / "assets/tokenizer.json").read_bytes()
    )
    return tmp_path / "foreign"


def test_a_checkpoint_folder_of_transformers_is_where_training_starts(
    foreign, trained, features, tmp_path
):
    family = Language(config("gpt2", checkpoint=str(foreign)))
    family.config.training.__dict__["learning_rate"] = 1e-9
    tuned = train(family, features, tmp_path / "tuned")
    base = trained("mistral")
    requests = [Prompt(prompt=text, max_new_tokens=8) for text in ("import os", "def f(")]
    expected = base.host.predict(base.family.native(base.model), requests)
    assert tuned.host.spec.kind == "mistral"
    assert [one.tokens for one in tuned.host.predict(family.native(tuned.model), requests)] == [
        one.tokens for one in expected
    ]


def test_checkpoints_that_cannot_be_used_say_why(foreign, tmp_path, features):
    numbers = count()

    def fit(checkpoint):
        return train(
            Language(config(checkpoint=str(checkpoint))), features, tmp_path / f"m{next(numbers)}"
        )

    with pytest.raises(Unavailable, match=r"not downloaded yet.*model\.hub=true"):
        fit("nobody/nothing")
    with pytest.raises(UsageError, match="neither a folder nor a name"):
        fit("../no such folder")
    (tmp_path / "empty").mkdir()
    with pytest.raises(UsageError, match=r"no config\.json"):
        fit(tmp_path / "empty")
    settings = json.loads((foreign / "config.json").read_text())
    (foreign / "config.json").write_text(json.dumps(settings | {"model_type": "bert"}))
    with pytest.raises(UsageError, match=r"'bert' is unknown.*gpt2, llama, mistral"):
        fit(foreign)
    (foreign / "config.json").write_text(json.dumps(settings))
    (foreign / "tokenizer.json").write_text("{}")
    with pytest.raises(BrokenArtifact, match="not a tokenizer"):
        fit(foreign)
    (foreign / "model.safetensors").unlink()
    with pytest.raises(UsageError, match="pickled weights are not read"):
        fit(foreign)


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ({"width": 30, "heads": 4}, "heads"),
        ({"heads": 4, "kv_heads": 3}, "kv_heads"),
        ({"lora_rank": 4}, "checkpoint"),
    ],
)
def test_settings_that_do_not_fit_are_refused(wrong, words):
    with pytest.raises(UsageError, match=words):
        resolve(LanguageConfig, ("--set", {"model": wrong}))


def test_drift_columns_move_with_the_text_and_stay_with_the_same_kind(trained, onnx, prompts):
    host = trained("llama").host

    def columns(texts, most=8):
        requests = [Prompt(prompt=text, max_new_tokens=most, truncate=True) for text in texts]
        rows = [
            host.describe(*pair)
            for pair in zip(requests, host.predict(onnx("llama"), requests), strict=True)
        ]
        return {name: [row[name] for row in rows] for name in rows[0]}

    first, second = columns(prompts[::2]), columns(prompts[1::2])
    other = columns([f"Größe und Länge der {number}. Straße über Köln?" for number in range(25)])
    for name in ("prompt_log_probability", "non_ascii_share", "characters_per_token"):
        assert ks_2samp(first[name], second[name]).pvalue > 0.05
        assert ks_2samp(first[name], other[name]).pvalue < 1e-4
    longer = columns(prompts[::2], 16)
    for name in ("answer_share", "answer_characters_per_token", "answer_log_probability"):
        assert ks_2samp(first[name], longer[name]).pvalue > 0.05
    assert columns([""])["prompt_log_probability"] == [None]


def test_an_empty_raw_folder_is_bad_data(tmp_path):
    (tmp_path / "out/assets").mkdir(parents=True)
    (tmp_path / "raw").mkdir()
    with pytest.raises(BadData, match="no text files"):
        Language(config()).features(tmp_path / "raw", tmp_path / "out")
