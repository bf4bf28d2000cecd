"""Tiny models of all three kinds, trained for seconds on the built-in data, with their ONNX
graphs."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import pytest
import torch

from modelyard.families.language.config import LanguageConfig, LanguageFeatures, LanguageModel
from modelyard.families.language.family import Language
from modelyard.families.language.host import LanguageHost
from modelyard.family import load
from modelyard.judging.evaluation import judge
from modelyard.packages.package import Package, PackageInfo, Variant
from modelyard.runtimes.export import to_onnx
from modelyard.runtimes.onnx import OnnxRuntime
from modelyard.settings.family import GateSettings, MonitorSettings, TrainingSettings
from modelyard.store import artifact
from modelyard.store.tables import write_parquet
from modelyard.training.loop import Trainer
from tests.once import alone, once

KINDS = ("gpt2", "llama", "mistral")
WINDOW = 12
"""Of the mistral: far shorter than the prompts."""
GLOBAL = 4
"""First tokens that long models keep in sight."""


@dataclass(frozen=True)
class Trained:
    family: Language
    features: Path
    model: Path

    @property
    def host(self) -> LanguageHost:
        return LanguageHost(self.model / "assets")

    def onnx(self) -> OnnxRuntime:
        folder = self.model.parent / "onnx"
        graphs = self.family.graphs(self.model)
        for graph in graphs:
            if not (folder / f"{graph.name}.onnx").is_file():
                to_onnx(graph, folder / f"{graph.name}.onnx", 18)
        return OnnxRuntime({graph.name: folder / f"{graph.name}.onnx" for graph in graphs}, 1)


def config(kind: str = "llama", epochs: int = 3, **model) -> LanguageConfig:
    values = {
        "layers": 2,
        "width": 32,
        "heads": 2,
        "kv_heads": 1,
        "context": 64,
        "window": WINDOW,
    } | model
    return LanguageConfig(
        features=LanguageFeatures(vocabulary=400, sample_bytes=24_000, evaluation_bytes=4_000),
        model=LanguageModel(kind=kind, **values),
        training=TrainingSettings(epochs=epochs, batch_size=8, learning_rate=1e-2),
    )


def train(family: Language, features: Path, folder: Path) -> Trained:
    (folder / "model").mkdir(parents=True)
    shutil.copytree(features / "assets", folder / "model" / "assets")
    trainer = Trainer(seed=family.config.seed, settings=family.config.training)
    family.fit(features, folder / "model", trainer)
    return Trained(family, features, folder / "model")


def train_once(
    factory: pytest.TempPathFactory, name: str, family: Language, features: Path
) -> Trained:
    """The model of this name, which the first worker that asks trains for all."""
    folder = once(factory, name, lambda draft: train(family, features, draft))
    return Trained(family, features, folder / "model")


@pytest.fixture(scope="session")
def features(tmp_path_factory) -> Path:
    folder, family = tmp_path_factory.mktemp("text"), Language(config())
    for part in ("raw", "features/assets"):
        (folder / part).mkdir(parents=True)
    family.sample(folder / "raw")
    family.features(folder / "raw", folder / "features")
    return folder / "features"


@pytest.fixture(scope="session")
def trained(features, tmp_path_factory):
    """A model by kind, made when it is first asked for."""

    @cache
    def make(kind: str) -> Trained:
        family = Language(config(kind, draft_layers=0 if kind == "gpt2" else 1))
        return train_once(tmp_path_factory, f"language-{kind}", family, features)

    return make


@pytest.fixture(scope="session")
def onnx(trained, tmp_path_factory):
    """Its graphs on ONNX Runtime."""

    @cache
    def make(kind: str) -> OnnxRuntime:
        with alone(tmp_path_factory, f"language-{kind}-onnx"):
            return trained(kind).onnx()

    return make


@pytest.fixture(scope="session")
def long(features, tmp_path_factory):
    """Models with a window and global tokens, by kind; each with a draft."""

    @cache
    def make(kind: str) -> Trained:
        family = Language(config(kind, global_tokens=GLOBAL, draft_layers=1))
        return train_once(tmp_path_factory, f"language-long-{kind}", family, features)

    return make


@pytest.fixture(scope="session")
def long_onnx(long, tmp_path_factory):
    """Their graphs on ONNX Runtime."""

    @cache
    def make(kind: str) -> OnnxRuntime:
        with alone(tmp_path_factory, f"language-long-{kind}-onnx"):
            return long(kind).onnx()

    return make


@pytest.fixture(scope="session")
def prompts(trained) -> list[str]:
    """50 passages of 8 to 30 tokens or so."""
    one = trained("llama")
    bodies = one.family.requests(one.features, "test") + one.family.requests(
        one.features, "validation"
    )
    texts = [body["prompt"][: 20 + 2 * number % 60] for number, body in enumerate(bodies)]
    return list(dict.fromkeys(texts))[:50]


def put_together(one: Trained, run: OnnxRuntime, work: Path) -> None:
    """What the package stage writes, without the card."""
    shutil.copytree(one.model / "assets", work / "assets")
    shutil.copytree(one.model.parent / "onnx", work / "graphs/onnx-fp32")
    host, bodies = one.host, one.family.requests(one.features, "test", 20)
    requests = [host.Request.model_validate(body) for body in bodies]
    answers = host.predict(run, requests)
    write_parquet(
        [host.describe(*pair) for pair in zip(requests, answers, strict=True)],
        work / "reference.parquet",
    )
    artifact.write_json(
        work / "golden.json", {"request": bodies[0], "response": answers[0].model_dump(mode="json")}
    )
    result = one.family.evaluate(host, run, one.features)
    artifact.write_json(work / "evaluation.json", result)
    files = {file.stem: f"onnx-fp32/{file.name}" for file in (work / "graphs/onnx-fp32").iterdir()}
    variant = Variant(
        name="onnx-fp32", graphs=files, bytes=1, p50_ms=20, metric=1, max_difference=0, chosen=True
    )
    info = PackageInfo(
        family="language",
        title=load("language").title,
        run="r1",
        version="0123456789ab",
        created=artifact.now(),
        code_version="c0de",
        data_revision=None,
        config={},
        variants=[variant],
        metrics=result.metrics,
        gate=judge(GateSettings(), result),
        baseline=result.baseline,
        monitor=MonitorSettings(),
    )
    artifact.write_json(work / "package.json", info)


@pytest.fixture(scope="session")
def package(trained, onnx, tmp_path_factory) -> Package:
    """A package of the llama with its draft."""
    path = tmp_path_factory.mktemp("package") / "package"
    origin = artifact.Origin(
        kind="package",
        stage="package",
        run="r1",
        family="language",
        key="k",
        config_hash="h",
        code_version="c0de",
        created=artifact.now(),
        seconds=0,
    )
    with artifact.create(path) as work:
        put_together(trained("llama"), onnx("llama"), work)
        artifact.seal(work, origin, [])
    return Package(path, threads=1)


def reference(network, prompt: list[int], end: int, count: int, **settings) -> list[int]:
    """What transformers writes on from `prompt`, up to the end token."""
    with torch.inference_mode():
        ids = network.generate(
            torch.tensor([prompt]),
            attention_mask=torch.ones(1, len(prompt), dtype=torch.long),
            max_new_tokens=count,
            do_sample=False,
            eos_token_id=end,
            pad_token_id=end,
            **settings,
        )
    new = ids[0, len(prompt) :].tolist()
    return new[: new.index(end)] if end in new else new
