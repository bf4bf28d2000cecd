"""A learnt prefix before a checkpoint: few trained numbers, a lower loss, and the same answers in
torch and in the service, whatever the memory drops."""

from __future__ import annotations

import shutil
from functools import cache
from pathlib import Path

import numpy as np
import openai
import pytest
import torch
from safetensors.numpy import load_file, save_file
from transformers import DynamicCache

from modelyard.contract.isolated import ask
from modelyard.errors import BrokenArtifact, UsageError
from modelyard.families.language.config import LanguageConfig
from modelyard.families.language.data import read_split
from modelyard.families.language.decoder import MAIN, prefill
from modelyard.families.language.family import Language
from modelyard.families.language.host import LanguageHost
from modelyard.families.language.prefix import PREFIX_FILE
from modelyard.families.language.prompt import Prompt
from modelyard.families.language.setup import decoder_teacher
from modelyard.families.language.train import load
from modelyard.packages.package import Package
from modelyard.runtimes.opening import open_variant
from modelyard.runtimes.torch import TorchRuntime
from modelyard.serving.app import create_app
from modelyard.settings.family import resolve
from modelyard.settings.training import TrainingSettings
from modelyard.training import optimizers
from modelyard.training.loop import Trainer
from tests.service.test_streaming import listening
from tests.toy.build import build
from tests.training.going_on import features_of, judged, model_of
from tests.unit.language.conftest import KINDS, Trained, config, train

TOKENS = 6
COMPRESSED = ("onnx-int8", "onnx-int8-weights", "onnx-int4")


NAMES = ("name", "value", "size", "file", "path", "line", "text", "data")


@pytest.fixture(scope="session")
def getters(tmp_path_factory) -> Path:
    """Texts of one sort of line that the built-in data has among many others."""
    folder, rng = tmp_path_factory.mktemp("getters"), np.random.default_rng(3)
    for number in range(40):
        lines = []
        for a, b in rng.integers(0, len(NAMES), (8, 2)).tolist():
            lines += [f"    def get_{NAMES[a]}(self, {NAMES[b]}):"]
            lines += [f"        return self.{NAMES[a]}[{NAMES[b]}]", ""]
        (folder / f"{number}.txt").write_text("\n".join(lines))
    return folder


def tuned_config(kind: str, checkpoint: Path, **model: object) -> LanguageConfig:
    settings = {"checkpoint": str(checkpoint), "prefix_tokens": TOKENS} | model
    found = config(kind, epochs=6, **settings)
    training = found.training.model_copy(update={"learning_rate": 0.1, "patience": 6})
    return found.model_copy(update={"training": training})


@pytest.fixture(scope="session")
def tuned(trained, getters, tmp_path_factory):
    """A checkpoint with a prefix for the getters, by kind; the mistral has a draft too."""

    @cache
    def make(kind: str) -> Trained:
        draft = int(kind == "mistral")
        family = Language(tuned_config(kind, trained(kind).model, draft_layers=draft))
        folder = tmp_path_factory.mktemp(f"tuned-{kind}")
        features = features_of(family, getters, folder / "features")
        return train(family, features, folder)

    return make


@pytest.fixture(scope="session")
def served(tuned):
    """Its graphs on ONNX Runtime."""
    return cache(lambda kind: tuned(kind).onnx())


@pytest.fixture(scope="session")
def texts(tuned) -> list[str]:
    """Prompts of 4 to 50 tokens."""
    documents = read_split(tuned("llama").features, "test")
    text = "\n".join(document.text for document in documents)
    return [text[7 * number : 7 * number + 4 + 5 * number] for number in range(12)]


@cache
def model_at(folder: Path) -> torch.nn.Module:
    return load(folder)[MAIN]


def torch_logits(one: Trained, ids: list[int]) -> torch.Tensor:
    """Logits (tokens, vocabulary) behind the prefix, of all tokens at once. Without a window they are
    those of transformers' network, with a mask that is written down here."""
    spec, count = one.host.spec.main, len(ids)
    place = torch.arange(count)
    if spec.window is not None:
        with torch.inference_mode():
            return model_at(one.model)(torch.tensor([ids]), place[None])["logits"][0]
    stored = load_file(one.model / "assets" / PREFIX_FILE)
    pairs = [
        tuple(torch.from_numpy(stored[f"past_{part}_{layer}"])[None] for part in ("key", "value"))
        for layer in range(spec.layers)
    ]
    hidden = place[:, None] < place
    mask = torch.zeros(1, 1, count, TOKENS + count)
    mask[..., TOKENS:].masked_fill_(hidden, torch.finfo(torch.float32).min)
    with torch.inference_mode():
        return (
            model_at(one.model)
            .network(
                input_ids=torch.tensor([ids]),
                attention_mask=mask,
                position_ids=place[None],
                past_key_values=DynamicCache(ddp_cache_data=pairs),
            )
            .logits[0]
        )


def greedy(one: Trained, prompt: str, count: int) -> list[int]:
    ids = [one.host.spec.start, *one.host.codec.encode(prompt)]
    found: list[int] = []
    while len(found) < count:
        token = int(torch_logits(one, ids + found)[-1].argmax())
        if token == one.host.spec.end:
            break
        found.append(token)
    return found


@pytest.mark.parametrize("kind", KINDS)
def test_the_optimizer_holds_under_two_percent_of_the_weights(kind, tuned):
    one = tuned(kind)
    model = one.family.model(one.features / "assets")
    groups = optimizers.make(model, TrainingSettings(), 0).param_groups
    trained = sum(weight.numel() for group in groups for weight in group["params"])
    spec = one.host.spec.main
    assert trained == 2 * spec.layers * spec.heads * spec.head_width * TOKENS
    assert trained < 0.02 * sum(weight.numel() for weight in model.parameters())
    file = one.model / "assets" / PREFIX_FILE
    assert file.stat().st_size < 4 * trained + 1000
    assert {name: array.shape for name, array in load_file(file).items()} == {
        f"past_{part}_{layer}": (spec.heads, TOKENS, spec.head_width)
        for layer in range(spec.layers)
        for part in ("key", "value")
    }


@pytest.mark.parametrize("kind", KINDS)
def test_the_checkpoints_weights_stay_and_its_loss_falls(kind, trained, tuned):
    base, one = trained(kind), tuned(kind)
    before, after = (load_file(each.model / "model.safetensors") for each in (base, one))
    assert after.keys() - before.keys() == {"prefix"}
    assert all(np.array_equal(after[name], array) for name, array in before.items())
    untuned = judged(base.family, base.model, one.features).metrics["bits_per_byte"]
    assert judged(one.family, one.model, one.features).metrics["bits_per_byte"] < 0.9 * untuned


@pytest.mark.parametrize("kind", KINDS)
def test_served_answers_are_those_of_torch_with_the_prefix(kind, tuned, served, texts):
    one = tuned(kind)
    requests = [Prompt(prompt=text, max_new_tokens=8) for text in texts]
    answers = one.host.predict(served(kind), requests)
    assert sum(answer.prompt_tokens > 14 for answer in answers) >= 4
    for text, answer in zip(texts, answers, strict=True):
        assert answer.tokens == greedy(one, text, 8)
        ids = [one.host.spec.start, *one.host.codec.encode(text)]
        logs = torch_logits(one, ids)[:-1].log_softmax(-1)
        own = logs.gather(1, torch.tensor(ids[1:])[:, None]).mean().item()
        assert answer.prompt_log_probability == pytest.approx(own, abs=1e-4)
    bare = LanguageHost(one.model / "assets")
    bare.prefix = {name: 0 * array for name, array in one.host.prefix.items()}
    other = bare.predict(served(kind), requests)
    assert [answer.tokens for answer in other] != [answer.tokens for answer in answers]


def test_the_window_slides_and_the_prefix_stays(tuned, served):
    one = tuned("mistral")
    spec, host = one.host.spec.main, one.host
    rows = [list(range(1, 41)), list(range(5, 25))]
    decoder, _ = prefill(served("mistral"), spec, MAIN, rows, prefix=host.prefix)
    for token in range(3):
        decoder.step(np.array([[token], [token]]))
        for name, array in host.prefix.items():
            past = decoder._past[name]
            assert past.shape[2] == TOKENS + spec.window
            np.testing.assert_array_equal(past[:, :, :TOKENS], np.stack([array, array]))
    decoder.forget(2)
    assert decoder._past["past_key_0"].shape[2] == TOKENS + spec.window - 2


@pytest.mark.parametrize("asked", [{"beams": 3}, {"speculative": 3}], ids=["beams", "guessing"])
def test_beams_and_guesses_are_those_of_a_memory_that_drops_nothing(asked, tuned, served, texts):
    one = tuned("mistral")
    whole = one.host
    whole.spec = whole.spec.model_copy(
        update={"main": whole.spec.main.model_copy(update={"window": None})}
    )
    for text in texts:
        request = Prompt(prompt=text, max_new_tokens=10, **asked)
        (expected,) = whole.predict(served("mistral"), [request])
        (answer,) = one.host.predict(served("mistral"), [request])
        assert answer.tokens == expected.tokens
        assert answer.log_probability == pytest.approx(expected.log_probability, abs=1e-5)
        if "speculative" in asked:
            assert answer.tokens == greedy(one, text, 10)


def test_the_prefix_takes_nothing_of_the_context(tuned, served):
    host = tuned("llama").host
    text = "    def get_name(self, size):\n" * 40
    asked = Prompt(prompt=text, max_new_tokens=10, truncate=True)
    (cut,) = host.predict(served("llama"), [asked])
    assert cut.prompt_tokens == host.spec.context - 1 - 10
    assert cut.truncated == len(host.codec.encode(text)) - cut.prompt_tokens
    kept = host.codec.decode(host.codec.encode(text)[cut.truncated :])
    assert cut.tokens == greedy(tuned("llama"), kept, 10)


def test_hidden_tokens_explain_behind_the_prefix(tuned, served):
    one = tuned("llama")
    reasons = one.host.explain(served("llama"), Prompt(prompt="    def get_name(self, "))
    ids = [one.host.spec.start, *one.host.codec.encode("    def get_name(self, ")]
    logs = torch_logits(one, ids)[-1].log_softmax(-1)
    assert float(reasons.output.split()[-1]) == pytest.approx(logs.max().item(), abs=2e-4)
    assert len(reasons.contributions) == len(ids) - 2


def test_a_teacher_with_a_prefix_answers_behind_it(tuned, served, tmp_path, monkeypatch):
    one = tuned("llama")
    monkeypatch.setattr(
        "modelyard.families.language.setup.open_variant", lambda *_: served("llama")
    )
    monkeypatch.setattr(
        "modelyard.families.language.setup.read_info",
        lambda folder: type(
            "Info", (), {"variants": [type("V", (), {"name": "onnx-fp32", "graphs": {}})]}
        ),
    )
    teach = decoder_teacher(one.model, one.model / "assets" / "tokenizer.json", 32)
    ids = [one.host.spec.start, *one.host.codec.encode("    def get_name(self, size):")]
    batch = {
        "input_ids": torch.tensor([ids]),
        "positions": torch.arange(len(ids))[None],
        "segments": torch.zeros(1, len(ids), dtype=int),
    }
    said = teach(batch)["logits"][0]
    torch.testing.assert_close(said, torch_logits(one, ids), atol=1e-4, rtol=1e-4)


def test_an_interrupted_training_resumes_with_the_same_prefix(tuned, tmp_path):
    one = tuned("gpt2")

    class Stopped(Exception):
        pass

    def stop(epoch, figures):
        if epoch == 2:
            raise Stopped

    def fit(name: str, **listening: object) -> Path:
        out = tmp_path / name
        (out / "assets").mkdir(parents=True)
        trainer = Trainer(
            one.family.config.seed,
            one.family.config.training,
            checkpoints=str(tmp_path / "saved"),
            **listening,
        )
        Language(one.family.config).fit(one.features, out, trainer)
        return out / "assets" / PREFIX_FILE

    with pytest.raises(Stopped):
        fit("first", on_epoch=stop)
    assert fit("second").read_bytes() == (one.model / "assets" / PREFIX_FILE).read_bytes()


def test_a_prefix_is_trained_further_and_never_dropped(tuned, trained, getters, tmp_path):
    one = tuned("llama")
    again = Language(tuned_config("llama", one.model))
    further = train(again, one.features, tmp_path / "further")
    before, after = (judged(each.family, each.model, one.features) for each in (one, further))
    assert after.metrics["bits_per_byte"] < 1.02 * before.metrics["bits_per_byte"]
    for wanted in (
        {"prefix_tokens": 0},
        {"prefix_tokens": 4},
        {"prefix_tokens": 0, "lora_rank": 2},
    ):
        family = Language(tuned_config("llama", one.model, **wanted))
        with pytest.raises(UsageError, match=r"prefix of 6 tokens.*--set model\.prefix_tokens=6"):
            train(family, one.features, tmp_path / f"{wanted}")


def test_a_warm_start_continues_the_prefix(tuned, getters, tmp_path):
    one = tuned("llama")
    family = Language(one.family.config)
    features = features_of(family, getters, tmp_path / "features", one.model)
    model = model_of(family, features, tmp_path / "model")
    old, new = (load_file(folder / "model.safetensors") for folder in (one.model, model))
    assert [name for name in old if not np.array_equal(old[name], new[name])] == ["prefix"]
    bits = [judged(family, each, features).metrics["bits_per_byte"] for each in (one.model, model)]
    assert bits[1] < 1.02 * bits[0]
    plain = Language(tuned_config("llama", one.model, prefix_tokens=0))
    with pytest.raises(UsageError, match=r"--set model\.prefix_tokens=6"):
        features_of(plain, getters, tmp_path / "plain", one.model)


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ({"prefix_tokens": 4}, r"prefix_tokens.*--set model\.checkpoint=FOLDER"),
        ({"prefix_tokens": 4, "lora_rank": 2, "checkpoint": "x"}, r"--set model\.lora_rank=0"),
    ],
)
def test_settings_that_do_not_go_with_a_prefix_are_refused(wrong, words):
    with pytest.raises(UsageError, match=words):
        resolve(LanguageConfig, ("--set", {"model": wrong}))


def test_a_prefix_longer_than_the_checkpoint_reads_is_refused(trained, getters, tmp_path):
    family = Language(tuned_config("gpt2", trained("gpt2").model, prefix_tokens=65))
    features = features_of(family, getters, tmp_path / "features")
    with pytest.raises(UsageError, match=r"prefix_tokens = 65.*reads 64 tokens at most"):
        train(family, features, tmp_path / "model")


def test_a_prefix_learns_no_rounding():
    wanted = {"model": {"prefix_tokens": 4, "checkpoint": "x"}, "compress": {"aware_epochs": 1}}
    with pytest.raises(UsageError, match=r"--set compress\.aware_epochs=0"):
        resolve(LanguageConfig, ("--set", wanted))


def test_a_missing_or_foreign_prefix_is_named(tuned, tmp_path):
    shutil.copytree(tuned("llama").model / "assets", tmp_path / "assets")
    file = tmp_path / "assets" / PREFIX_FILE
    save_file({name: array[:, 1:] for name, array in load_file(file).items()}, file)
    with pytest.raises(BrokenArtifact, match="not the prefix of this model"):
        LanguageHost(tmp_path / "assets")
    file.unlink()
    with pytest.raises(BrokenArtifact, match=r"prefix\.safetensors cannot be read"):
        LanguageHost(tmp_path / "assets")


@pytest.mark.slow
def test_a_prefix_goes_through_every_stage(trained, getters, texts, tmp_path):
    values = tuned_config("mistral", trained("mistral").model, draft_layers=1).model_dump(
        mode="json"
    )
    values |= {"data": {"uri": str(getters)}}
    values["export"] |= {
        "variants": ",".join(COMPRESSED),
        "aim": "quality",
        "latency_repeats": 5,
        "latency_seconds": 1,
    }
    built = build(tmp_path, "r1", values, "language")
    package = Package(built.package)
    network = TorchRuntime(Language(built.run.config).graphs(tmp_path / "model"))
    asked = [Prompt(prompt=text, max_new_tokens=8) for text in texts]
    graphs = {variant.name: variant.graphs for variant in package.info.variants}
    precise = open_variant(built.package / "graphs", "onnx-fp32", graphs["onnx-fp32"])
    trained_one, exported = (package.host.predict(run, asked) for run in (network, precise))
    assert [one.text for one in exported] == [one.text for one in trained_one]
    expected = package.host.predict(package.run, asked)
    with (
        listening(create_app(package, None)) as address,
        openai.OpenAI(base_url=f"{address}/v1", api_key="none", max_retries=0) as client,
    ):
        for text, own in zip(texts, expected, strict=True):
            done = client.completions.create(
                model="language", prompt=text, max_tokens=8, temperature=0
            )
            assert done.choices[0].text == own.text
    assert ask("serve", str(built.package))["loaded"] == []
    metrics = {variant.name: variant.metric for variant in package.info.variants}
    assert metrics.keys() == {"native", "onnx-fp32", *COMPRESSED}
    assert max(metrics.values()) < 1.15 * metrics["onnx-fp32"]
