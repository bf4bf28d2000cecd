"""A window and global tokens: what the host computes in pieces is what torch computes with the full
mask, prompts far beyond the context are answered, and memory does not grow with them."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
import transformers

from modelyard.errors import BadData, UsageError
from modelyard.families.language import decoder as decoding
from modelyard.families.language.architecture import new_config
from modelyard.families.language.attention import Rotary
from modelyard.families.language.config import LanguageConfig
from modelyard.families.language.data import read_split
from modelyard.families.language.decoder import MAIN, Decoder
from modelyard.families.language.documents import Document
from modelyard.families.language.family import Language
from modelyard.families.language.model import CausalLanguageModel, loss
from modelyard.families.language.pack import IGNORED, pack
from modelyard.families.language.prompt import Prompt
from modelyard.families.language.scoring import judge_documents
from modelyard.families.language.train import load
from modelyard.packages.package import Package
from modelyard.runtimes.torch import TorchRuntime
from modelyard.settings.family import resolve
from tests.sampled import sampled
from tests.toy.build import build
from tests.training.going_on import features_of
from tests.unit.language.conftest import GLOBAL, WINDOW, Trained, config, train

KINDS = ("llama", "mistral")


@pytest.fixture(scope="session")
def served(long_onnx):
    """Graphs of the long models on ONNX Runtime, by kind."""
    return long_onnx


@pytest.fixture
def pieces(monkeypatch) -> int:
    """Prompts are read 16 tokens at a time."""
    monkeypatch.setattr(decoding, "CHUNK", 16)
    return 16


def text_of(one: Trained, tokens: int) -> list[int]:
    """So many tokens of the test documents, one behind the other."""
    documents = read_split(one.features, "test") + read_split(one.features, "train")
    ids = one.host.codec.encode("\n".join(document.text for document in documents))
    return (ids * (1 + tokens // len(ids)))[:tokens]


def full(one: Trained, ids: list[int]) -> torch.Tensor:
    """Logits (tokens, vocabulary): torch, all at once."""
    with torch.inference_mode():
        places = torch.arange(len(ids))[None]
        return load(one.model)[MAIN](torch.tensor([ids]), places)["logits"][0]


def untrained(layers: int, **settings: object) -> CausalLanguageModel:
    torch.manual_seed(1)
    values = config(**{"global_tokens": GLOBAL, **settings}).model  # type: ignore[arg-type]
    return CausalLanguageModel(new_config(values, 60, layers)).eval()


@pytest.mark.parametrize("kind", KINDS)
def test_a_token_meets_the_first_ones_and_its_window_at_places_within_the_memory(kind):
    """One layer's states come from single tokens, so each logit is that of an ordinary dense network
    for the tokens that are seen, side by side."""
    model = untrained(1, kind=kind)
    values = model.config.to_dict() | {"sliding_window": None, "global_tokens": 0}
    plain = transformers.AutoConfig.for_model(values.pop("model_type"), **values)
    dense = transformers.AutoModelForCausalLM.from_config(plain, attn_implementation="eager")
    dense.load_state_dict(model.network.state_dict())
    ids = torch.from_numpy(np.random.default_rng(2).integers(0, 60, (1, 300)))
    with torch.inference_mode():
        found = model(ids, torch.arange(300)[None])["logits"][0]
        for place in (0, 3, 10, 15, 16, 40, 170, 299):
            first = max(0, place + 1 - WINDOW)
            seen = [*range(min(GLOBAL, first)), *range(first, place + 1)]
            expected = dense.eval()(ids[:, seen]).logits[0, -1]
            torch.testing.assert_close(found[place], expected, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("length", sampled([1, 5, 16, 15, 17, 31, 33, 64, 65, 200, 501], 2))
def test_reading_in_pieces_with_a_short_memory_is_reading_all_at_once(
    kind, length, long, served, pieces
):
    one = long(kind)
    ids = [one.host.spec.start, *text_of(one, length - 1)]
    decoder = one.host.decoder(served(kind), 1)
    read = [logits[0] for _, logits in decoder.read([ids], one.host.spec.chunk)]
    assert len(read) == -(-length // pieces)
    expected = full(one, ids)
    np.testing.assert_allclose(np.concatenate(read), expected, atol=2e-4)
    following = [7, 8, 9, 10]
    steps = [decoder.step(np.array([[token]]))[0, 0] for token in following]
    np.testing.assert_allclose(steps, full(one, ids + following)[-4:], atol=2e-4)
    held = decoder._past["past_key_0"].shape[2]
    assert held == min(length + 4, GLOBAL + WINDOW)


def test_texts_of_different_lengths_keep_their_own_first_tokens(long, served, pieces):
    one = long("llama")
    rows = [text_of(one, size) for size in (150, 3, 90, 17)]
    decoder = one.host.decoder(served("llama"), len(rows))
    for _, logits in decoder.read(rows, pieces):
        last = logits[:, -1]
    for number, row in enumerate(rows):
        np.testing.assert_allclose(last[number], full(one, row)[-1], atol=2e-4)
    after = decoder.step(np.full((4, 1), 9))[:, -1]
    for number, row in enumerate(rows):
        np.testing.assert_allclose(after[number], full(one, [*row, 9])[-1], atol=2e-4)


def test_without_its_first_tokens_the_memory_gives_other_logits(long, served):
    one = long("llama")
    ids = text_of(one, 100)
    spec = one.host.spec.main.model_copy(update={"global_tokens": 0})
    decoder = Decoder(served("llama"), MAIN, spec)
    *_, (_, logits) = decoder.read([ids], 16)
    assert np.abs(logits[0, -1] - full(one, ids)[-1].numpy()).max() > 0.01


def test_losses_of_the_host_are_those_of_training(long, served, pieces):
    one = long("llama")
    codec = one.host.codec
    texts = [document.text for document in read_split(one.features, "test")]
    text = codec.decode(codec.encode(texts[0])[:60])
    judged = judge_documents(one.host, served("llama"), [Document(text, "short")])[0]
    packed = pack([codec.encode(text)], 64, 0, 0, None, GLOBAL)
    batch = {name: torch.from_numpy(array) for name, array in vars(packed).items()}
    with torch.inference_mode():
        expected = loss(load(one.model)[MAIN], batch).item()
    assert judged.losses.mean() == pytest.approx(expected, abs=1e-4)


@pytest.mark.parametrize("size", [40, 64, 65, 130, 400])
def test_every_piece_of_a_document_begins_with_its_first_tokens(size):
    rng = np.random.default_rng(size)
    ids = rng.integers(1, 60, size).tolist()
    packed = pack([ids], 64, 0, 0, None, GLOBAL)
    learned = packed.targets[packed.targets != IGNORED]
    assert sorted(learned.tolist()) == sorted([*ids, 0])
    model = untrained(2)
    whole = [0, *ids]
    for row in range(len(packed.input_ids)):
        for segment in np.unique(packed.segments[row][packed.segments[row] >= 0]):
            own = packed.segments[row] == segment
            tokens, places = packed.input_ids[row, own], packed.positions[row, own]
            assert tokens[:GLOBAL].tolist() == whole[:GLOBAL][: len(tokens)]
            if tokens.tolist() == whole[: len(tokens)]:
                continue
            # The numbers of later places are small, and mean the same as the true ones.
            (begins,) = [
                at
                for at in range(64, len(whole))
                if whole[at : at + len(tokens) - GLOBAL] == tokens[GLOBAL:].tolist()
            ]
            true = [*range(GLOBAL), *range(begins, begins + len(tokens) - GLOBAL)]
            with torch.inference_mode():
                small, real = (
                    model(torch.from_numpy(tokens[None]), torch.tensor([list(numbers)]))["logits"]
                    for numbers in (places, true)
                )
            torch.testing.assert_close(small, real, atol=1e-4, rtol=1e-4)


def test_angles_are_exact_at_every_place():
    given = transformers.models.llama.modeling_llama.LlamaRotaryEmbedding(
        new_config(config(width=64).model, 60, 1)
    )
    places = torch.tensor([[0, 1, 1023, 1024, 32_000, decoding.REACH - 1]])
    cos, sin = Rotary(given)(torch.zeros(1), places)
    exact = places[..., None].double() * given.inv_freq.double()
    torch.testing.assert_close(cos[..., :16].double(), exact.cos(), atol=1e-6, rtol=0)
    torch.testing.assert_close(sin[..., 16:].double(), exact.sin(), atol=1e-6, rtol=0)


def tail_tokens(one: Trained, ids: list[int], count: int) -> list[int]:
    """Greedy tokens behind `ids` by torch, which reads the first tokens and as much of the end as the
    layers' windows reach, at their true places, and no memory at all."""
    model, spec = load(one.model)[MAIN], one.host.spec.main
    reach = spec.layers * spec.window
    found: list[int] = []
    while len(found) < count:
        whole = len(ids) + len(found)
        seen = [*range(GLOBAL), *range(max(GLOBAL, whole - reach), whole)]
        tokens = torch.tensor([[(ids + found)[place] for place in seen]])
        with torch.inference_mode():
            logits = model(tokens, torch.tensor([seen]))["logits"][0, -1]
        token = int(logits.argmax())
        if token == one.host.spec.end:
            break
        found.append(token)
    return found


@pytest.mark.parametrize(
    "asked", [{}, {"speculative": 3}, {"beams": 3}], ids=["greedy", "guessing", "beams"]
)
@pytest.mark.parametrize("kind", KINDS)
def test_prompts_far_beyond_the_context_are_answered(kind, asked, long, served, pieces):
    one = long(kind)
    text = one.host.codec.decode(text_of(one, 1_000))
    request = Prompt(prompt=text, max_new_tokens=12, **asked)
    (answer,) = one.host.predict(served(kind), [request])
    ids = [one.host.spec.start, *one.host.codec.encode(text)]
    assert answer.prompt_tokens == len(ids) - 1 > 10 * one.host.spec.context
    assert answer.truncated == 0
    if "beams" in asked:
        whole = one.host
        main = whole.spec.main.model_copy(update={"window": None, "global_tokens": 0})
        whole.spec = whole.spec.model_copy(update={"main": main})
        (other,) = whole.predict(served(kind), [request])
        assert answer.tokens == other.tokens
    else:
        assert answer.tokens == tail_tokens(one, ids, 12)
    logs = full(one, ids)[:-1].log_softmax(-1)
    own = logs.gather(1, torch.tensor(ids[1:])[:, None]).mean().item()
    assert answer.prompt_log_probability == pytest.approx(own, abs=1e-4)


def test_long_and_short_prompts_in_one_call_answer_as_each_alone(long, served, pieces):
    one = long("llama")
    texts = [one.host.codec.decode(text_of(one, size)) for size in (5, 700, 40, 20, 300)]
    calls = []

    def counted(graph, arrays):
        calls.append(arrays["input_ids"].size)
        return served("llama")(graph, arrays)

    requests = [Prompt(prompt=text, max_new_tokens=5) for text in texts]
    together = one.host.predict(counted, requests)
    read = sum(calls)
    alone = [one.host.predict(served("llama"), [request])[0] for request in requests]
    assert [answer.tokens for answer in together] == [answer.tokens for answer in alone]
    assert read < 2 * sum(answer.prompt_tokens for answer in together) + 5 * pieces


def test_scores_of_a_prompt_do_not_depend_on_the_pieces(long, served, monkeypatch):
    one = long("llama")
    text = one.host.codec.decode(text_of(one, 70))
    asked = Prompt(prompt=text, max_new_tokens=2, logprobs=2, prompt_logprobs=True)
    (whole,) = one.host.predict(served("llama"), [asked])
    monkeypatch.setattr(decoding, "CHUNK", 16)
    (cut,) = one.host.predict(served("llama"), [asked])
    assert "".join(score.token for score in cut.prompt_logprobs) == text
    for left, right in zip(cut.prompt_logprobs, whole.prompt_logprobs, strict=True):
        assert left.log_probability == pytest.approx(right.log_probability, abs=1e-4)
        assert left.top.keys() == right.top.keys()


def test_reasons_of_a_long_prompt_cost_one_reading(long, served, pieces):
    one = long("llama")
    text = one.host.codec.decode(text_of(one, 1_000))
    read = []

    def counted(graph, arrays):
        read.append(arrays["input_ids"].size)
        return served("llama")(graph, arrays)

    reasons = one.host.explain(counted, Prompt(prompt=text))
    assert len(reasons.contributions) == 127
    assert sum(read) < 1_000 + 130 * 128
    ids = [one.host.spec.start, *one.host.codec.encode(text)]
    whole = full(one, ids)[-1].log_softmax(-1)
    assert f"{whole.max().item():.3f}" in reasons.output
    places = torch.arange(len(ids))[None]
    for at in (len(ids) - 2, len(ids) - 9, len(ids) - 100):
        hidden = places.clone()
        hidden[0, at] = decoding.HIDDEN
        with torch.inference_mode():
            logits = load(one.model)[MAIN](torch.tensor([ids]), hidden)["logits"][0, -1]
        drop = (whole - logits.log_softmax(-1))[whole.argmax()].item()
        (name,) = [name for name in reasons.contributions if name.startswith(f"{at} ")]
        assert reasons.contributions[name] == pytest.approx(drop, abs=1e-4)
        assert (drop == 0) == (at == len(ids) - 100), "no window reaches as far"


def test_work_grows_with_the_prompt_and_no_faster(long):
    host = long("llama").host
    costs = [host.cost(Prompt(prompt="a" * size)).units for size in (0, 50_000, 100_000)]
    assert costs[2] - costs[1] == pytest.approx(costs[1] - costs[0])
    plain = Prompt(prompt="a" * 4_000, logprobs=20)
    named = plain.model_copy(update={"prompt_logprobs": True})
    assert host.cost(named).seconds > 5 * host.cost(plain).seconds


def test_a_prefix_stays_in_front_of_the_global_tokens(long, features, tmp_path, pieces):
    base = long("mistral")
    settings = config("mistral", epochs=1, checkpoint=str(base.model), prefix_tokens=3)
    one = train(Language(settings), features, tmp_path)
    host, run = one.host, one.onnx()
    assert (host.spec.main.global_tokens, host.spec.main.prefix) == (GLOBAL, 3)
    ids = text_of(one, 400)
    decoder = host.decoder(run, 1)
    *_, (_, logits) = decoder.read([ids], 16)
    np.testing.assert_allclose(logits[0], full(one, ids)[-logits.shape[1] :], atol=2e-4)
    decoder.step(np.array([[5]]))
    np.testing.assert_array_equal(
        decoder._past["past_value_1"][0, :, :3], host.prefix["past_value_1"]
    )
    assert decoder._past["past_key_0"].shape[2] == 3 + GLOBAL + WINDOW


def test_a_dense_checkpoint_is_given_a_window_and_global_tokens(trained, features, tmp_path):
    dense = trained("llama")
    settings = config("llama", epochs=2, checkpoint=str(dense.model), global_tokens=GLOBAL)
    one = train(Language(settings), features, tmp_path / "one")
    spec = one.host.spec
    assert (spec.endless, spec.main.window, spec.main.global_tokens) == (True, WINDOW, GLOBAL)
    assert not dense.host.spec.endless
    again = config("llama", epochs=1, checkpoint=str(one.model))
    assert train(Language(again), features, tmp_path / "two").host.spec.main == spec.main
    short = config("llama", checkpoint=str(dense.model), global_tokens=64)
    with pytest.raises(UsageError, match=r"64 global tokens.*rows of 64.*--set model\.context=76"):
        train(Language(short), features, tmp_path / "short")
    gpt2 = config("gpt2", checkpoint=str(trained("gpt2").model), global_tokens=GLOBAL)
    with pytest.raises(UsageError, match=r"rotary positions.*--set model\.global_tokens=0"):
        train(Language(gpt2), features, tmp_path / "three")


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ({"kind": "gpt2"}, r"none beyond its context: --set model\.kind=llama"),
        ({"window": 128}, r"window of 128 and 4 global.*--set model\.context=132"),
    ],
)
def test_architectures_that_cannot_are_refused_before_a_run(wrong, words):
    with pytest.raises(UsageError, match=words):
        resolve(LanguageConfig, ("--set", {"model": {"global_tokens": 4} | wrong}))


def test_what_exceeds_the_longest_reach_is_refused_or_cut(long, monkeypatch):
    host = long("llama").host
    monkeypatch.setattr(decoding, "REACH", 2_000)
    text = host.codec.decode(text_of(long("llama"), 2_500))
    with pytest.raises(BadData, match=r"room for 1979.*truncate"):
        host.predict(lambda *_: {}, [Prompt(prompt=text, max_new_tokens=20)])
    with pytest.raises(BadData, match="at most 63"):
        host.predict(lambda *_: {}, [Prompt(prompt="a", max_new_tokens=64)])


def test_raw_tensors_at_places_that_no_table_holds_are_refused(long, trained):
    for one, last in ((long("llama"), decoding.REACH - 1), (trained("gpt2"), 63)):
        arrays = {"input_ids": np.zeros((1, 1), int), "positions": np.array([[last]])}
        one.host.check_arrays(MAIN, arrays)
        with pytest.raises(BadData, match=f"position {last + 1}; the last is {last}"):
            one.host.check_arrays(MAIN, arrays | {"positions": np.array([[last + 1]])})


# Posts prompts of some lengths, in characters, to the real service; memory is looked at all the while.
MEASURED = """
import json, sys, threading, time
import httpx, psutil
from modelyard.packages.package import Package
from modelyard.serving.app import create_app
from tests.service.test_streaming import listening

package, lengths = Package(sys.argv[1], threads=1), json.loads(sys.argv[2])
own, peak, stop = psutil.Process(), 0, threading.Event()

def watch():
    global peak
    while not stop.is_set():
        peak = max(peak, own.memory_info().rss)
        time.sleep(0.001)

threading.Thread(target=watch, daemon=True).start()
found = []
with listening(create_app(package, None)) as address:
    for length in lengths:
        text = (sys.argv[3] * (1 + length))[: length]
        peak, start = 0, time.monotonic()
        reply = httpx.post(
            f"{address}/predict",
            json={"prompt": text, "max_new_tokens": 12},
            headers={"x-deadline-ms": "120000"},
            timeout=120,
        )
        assert reply.status_code == 200, reply.text
        found.append((reply.json(), peak, time.monotonic() - start))
stop.set()
print(json.dumps(found))
"""


def settings_of(variants: str) -> dict:
    values = config("llama", global_tokens=GLOBAL).model_dump(mode="json")
    values["export"] |= {"variants": variants, "latency_repeats": 5, "latency_seconds": 1}
    return values


@pytest.fixture(scope="module")
def package(tmp_path_factory) -> tuple[Trained, Path]:
    """A small llama with a window and global tokens, through every stage."""
    folder = tmp_path_factory.mktemp("package")
    built = build(folder, "r1", settings_of("onnx-fp32"), "language")
    one = Trained(Language(built.run.config), built.features, folder / "model")
    return one, built.package


def measured(package: Path, lengths: list[int], text: str) -> list[tuple[dict, int, float]]:
    """Answers of a service in a process of its own, with that one's peak memory in bytes, and
    seconds."""
    done = subprocess.run(
        [sys.executable, "-c", MEASURED, str(package), json.dumps(lengths), text],
        capture_output=True,
        text=True,
        check=False,
        env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)},
    )
    assert done.returncode == 0, done.stderr
    return [tuple(row) for row in json.loads(done.stdout.splitlines()[-1])]


def check_flat(package: tuple[Trained, Path], least: int, longest: int) -> None:
    """Prompts of about so many tokens, the first twice to warm up."""
    one, folder = package
    documents = read_split(one.features, "test")
    text = "\n".join(document.text for document in documents) + "\n"
    rate = len(text) / len(one.host.codec.encode(text))
    short, size = (round(tokens * rate) for tokens in (least, longest))
    _, (small, few, _), (answer, many, _) = measured(folder, [short, short, size], text)
    assert answer["prompt_tokens"] > 0.95 * longest > 10 * small["prompt_tokens"]
    assert many - few < 16e6, f"{few / 1e6:.0f} MB, {many / 1e6:.0f} MB"
    ids = [one.host.spec.start, *one.host.codec.encode((text * size)[:size])]
    assert answer["tokens"] == tail_tokens(one, ids, 12)


def test_a_prompt_of_8000_tokens_takes_the_memory_of_one_of_500(package):
    check_flat(package, 500, 8_000)


@pytest.mark.slow
def test_a_prompt_of_32000_tokens_takes_the_memory_of_one_of_2000(package):
    check_flat(package, 2_000, 32_000)


def test_bits_per_byte_stay_flat_far_beyond_the_context(package):
    one = package[0]
    run = TorchRuntime(one.family.graphs(one.model))
    documents = read_split(one.features, "train")
    text = "\n".join(document.text for document in documents)
    (judged,) = judge_documents(one.host, run, [Document(text, "all")])
    assert len(judged.losses) > 60 * one.host.spec.context
    near = judged.losses[: 20 * 64].mean()
    far = judged.losses[-20 * 64 :].mean()
    assert far < 1.15 * near


@pytest.mark.slow
def test_compressed_variants_read_long_documents_as_well(tmp_path):
    names = ("onnx-int8", "onnx-int8-weights", "onnx-int4", "onnx-fp16")
    built = build(tmp_path, "r1", settings_of(",".join(names)), "language")
    variants = {variant.name: variant.metric for variant in Package(built.package).info.variants}
    assert set(names) <= variants.keys()
    assert max(variants.values()) < 1.02 * variants["native"]


KEYS = "ABCDEFGH"


def recall(rng: np.random.Generator, questions: int) -> str:
    """A key, and every 40 characters or so the question for it: more tokens than the layers' windows
    reach."""
    key = KEYS[int(rng.integers(len(KEYS)))]
    letters = np.array(list("abcdefghijklmnopqrstuvwxyz"))
    lines = ["".join(rng.choice(letters, 5)) for _ in range(8 * questions)]
    parts = [" ".join(lines[8 * at : 8 * at + 8]) + f"\n?{key}" for at in range(questions)]
    return f"={key}\n" + "\n".join(parts)


def test_only_with_global_tokens_a_far_beginning_is_recalled(tmp_path):
    (tmp_path / "raw").mkdir()
    rng = np.random.default_rng(5)
    for number in range(120):
        (tmp_path / "raw" / f"{number}.txt").write_text(recall(rng, 6))
    asked = [recall(rng, 20) for _ in range(40)]
    shares = {}
    for name, settings in {"window": {"kind": "mistral"}, "global": {"global_tokens": 4}}.items():
        family = Language(config(epochs=6, **settings))
        features = features_of(family, tmp_path / "raw", tmp_path / f"{name}-features")
        one = train(family, features, tmp_path / name)
        run = TorchRuntime(family.graphs(one.model))
        requests = [Prompt(prompt=text[:-1], max_new_tokens=1) for text in asked]
        answers = one.host.predict(run, requests)
        assert min(answer.prompt_tokens for answer in answers) > 4 * one.host.spec.context
        shares[name] = np.mean([a.text == text[-1] for a, text in zip(answers, asked, strict=True)])
    assert shares["window"] < 0.4
    assert shares["global"] > 0.8
