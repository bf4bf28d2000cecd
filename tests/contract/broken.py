"""Families that each break one promise: what the checks must catch."""

from __future__ import annotations

import itertools
import json
import time
from dataclasses import replace

import numpy as np
from pydantic import BaseModel

from modelyard.family import Entry, Family
from modelyard.runtimes.onnx import OnnxRuntime
from modelyard.settings.family import FamilyConfig, Settings, TrainingSettings
from modelyard.training.batches import Batches
from tests.toy.family import Height, LineConfig, LineFamily, LineHost, Point


def broken(config=LineConfig, host=LineHost):
    """Makes an entry of a building class."""
    return lambda cls: Entry(cls.__doc__, config, build=cls, host=host)


class SilentConfig(LineConfig):
    colour: str = "red"


@broken(SilentConfig)
class Silent(LineFamily):
    """A setting without a docstring."""


class LooseFeatures(Settings, extra="ignore"):
    points: int = 300
    """Points."""


class LooseConfig(FamilyConfig):
    features: LooseFeatures = LooseFeatures()


@broken(LooseConfig)
class Loose(LineFamily):
    """A section that takes any setting."""


@broken()
class Leaky(LineFamily):
    """Trains on the test split."""

    def features(self, raw, out):
        summary = super().features(raw, out)
        np.save(out / "test.npy", np.load(out / "train.npy"))
        return summary


@broken()
class Unsteady(LineFamily):
    """Features that hold the time of day."""

    def features(self, raw, out):
        (out / "made.txt").write_text(str(time.time_ns()))
        return super().features(raw, out)


@broken()
class Greedy(LineFamily):
    """Reads data by a setting of training, which a step that reads data is not handed."""

    def features(self, raw, out):
        (out / "assets/rate.txt").write_text(str(self.config.training.learning_rate))
        return super().features(raw, out)


@broken()
class Careless(LineFamily):
    """Reads a file without asking whether it is there."""

    def features(self, raw, out):
        (raw / "points.csv").read_text()
        return super().features(raw, out)


@broken()
class Clumsy(LineFamily):
    """A mistake in the first stage that is its own."""

    def features(self, raw, out):
        summary = super().features(raw, out)
        summary["mean"] = summary["rows"]["train"] / 0
        return summary


@broken()
class Moody(LineFamily):
    """Training that does not follow from the seed."""

    trainings = itertools.count()

    def native(self, model):
        bend = json.loads((model / "line.json").read_text())[1]
        return lambda graph, arrays: {"y": (arrays["x"] * bend).astype(np.float32)}

    def fit(self, features, out, trainer):
        summary = super().fit(features, out, trainer)
        (out / "line.json").write_text(f"[2.0, {next(self.trainings)}]")
        return summary


@broken()
class Alone(LineFamily):
    """No baseline."""

    def evaluate(self, host, run, features, split="test"):
        return super().evaluate(host, run, features, split).model_copy(update={"baseline": {}})


@broken()
class Tuples(LineFamily):
    """Bodies that JSON cannot hold."""

    def requests(self, features, split, limit=None):
        return [{"x": float("nan")} for _ in super().requests(features, split, limit)]


class LoosePoint(BaseModel):
    x: float


class LooseHost(LineHost):
    Request = LoosePoint


@broken(host=LooseHost)
class Indifferent(LineFamily):
    """Takes any field in a request."""


class TwistedFamily(LineFamily):
    """The graph is not the model."""

    def native(self, model):
        run = super().native(model)
        return lambda graph, arrays: {"y": run(graph, arrays)["y"] + np.float32(0.5)}

    def graphs(self, model):
        return [
            type(graph)(graph.name, graph.example, onnx=graph.onnx, tolerance=1.0)
            for graph in super().graphs(model)
        ]


Twisted = broken()(TwistedFamily)


@broken()
class TwistedTight(TwistedFamily):
    """The graph is not the model, and says that it is."""

    def graphs(self, model):
        return LineFamily.graphs(self, model)


class Swaying(LineHost):
    def predict(self, run, requests):
        answers = super().predict(run, requests)
        middle = sum(answer.y for answer in answers) / len(answers)
        return [Height(y=answer.y - middle * (len(answers) > 1)) for answer in answers]


class SociableFamily(LineFamily):
    """An answer that depends on who else asked."""

    def evaluate(self, host, run, features, split="test"):
        return super().evaluate(LineHost(host.assets), run, features, split)


Sociable = broken(host=Swaying)(SociableFamily)


class Foggy(LineHost):
    def predict(self, run, requests):
        return [Height(y=float("nan")) for _ in requests]


@broken(host=Foggy)
class Unspeakable(SociableFamily):
    """Answers that JSON cannot hold."""


class Rambling(LineHost):
    def describe(self, request: Point, response):
        return {"x": request.x} | ({"positive": 1.0} if request.x > 0 else {})


@broken(host=Rambling)
class Wordy(LineFamily):
    """Columns that come and go."""


class Learned(LineHost):
    def predict(self, run, requests):
        import sklearn  # noqa: F401

        return super().predict(run, requests)


@broken(host=Learned)
class Needy(LineFamily):
    """Answering needs a training library."""


class Shy(LineHost):
    """Loses answers where the line's slope was rounded to half precision."""

    def predict(self, run, requests):
        answers = super().predict(run, requests)
        low, high = run("line", {"x": np.array([[0], [1]], np.float32)})["y"][:, 0]
        slope = high - low
        rounded = abs(slope - np.float16(slope)) < 1e-6
        return answers[:1] if rounded else answers


@broken(host=Shy)
class Rounded(SociableFamily):
    """Answers of a smaller variant that get lost."""


@broken()
class Pickled(LineFamily):
    """Leaves a pickle."""

    def fit(self, features, out, trainer):
        np.save(out / "assets" / "names.npy", np.array(["a", None], dtype=object))
        return super().fit(features, out, trainer)


class TorchlikeConfig(LineConfig):
    @classmethod
    def debug(cls):
        return cls(training=TrainingSettings(epochs=2, learning_rate=0.05))


class TorchlikeFamily(LineFamily):
    """A line as a torch family, right in all but what its subclasses break."""

    fit, native = Family.fit, Family.native

    def model(self, assets):
        import torch

        return torch.nn.Linear(1, 1)

    def batches(self, features, split, epoch):
        import torch

        x, y = torch.from_numpy(np.load(features / f"{split}.npy").astype(np.float32)).split(1, 1)
        return Batches(np.arange(len(x)), len(x), lambda rows: {"x": x[rows], "y": y[rows]})

    def loss(self, model, batch):
        return (model(batch["x"]) - batch["y"]).square().mean()


Torchlike = broken(TorchlikeConfig)(TorchlikeFamily)


@broken(TorchlikeConfig)
class Shuffled(TorchlikeFamily):
    """An order that does not follow from the seed."""

    def batches(self, features, split, epoch):
        order = np.random.default_rng().permutation(len(np.load(features / f"{split}.npy")))
        return replace(super().batches(features, split, epoch), order=order)


@broken(TorchlikeConfig)
class Crowded(TorchlikeFamily):
    """An example that is centred on those beside it."""

    def batches(self, features, split, epoch):
        found = super().batches(features, split, epoch)

        def take(rows):
            batch = found.take(rows)
            return batch | {"x": batch["x"] - batch["x"].mean()}

        return replace(found, take=take)


@broken(TorchlikeConfig)
class Weightless(TorchlikeFamily):
    """A mean over something else than the examples, and no word of it."""

    def loss(self, model, batch):
        return (model(batch["x"]) - batch["y"]).square().sum() / (len(batch["x"]) + 10)


@broken(TorchlikeConfig)
class Uphill(TorchlikeFamily):
    """Learns away from the answer."""

    def loss(self, model, batch):
        loss = super().loss(model, batch)
        return 2 * loss.detach() - loss


@broken(TorchlikeConfig)
class Forgetful(TorchlikeFamily):
    """A part of the network that is not among its weights."""

    def model(self, assets):
        model = super().model(assets)
        model.secret = np.random.default_rng().normal()
        return model

    def loss(self, model, batch):
        return super().loss(model, batch) + model.secret


@broken()
class Flattering(LineFamily):
    """Judges another model better than its own."""

    def evaluate(self, host, run, features, split="test"):
        result = super().evaluate(host, run, features, split)
        return (
            result.model_copy(update={"metrics": {"mae": 0.5}})
            if isinstance(run, OnnxRuntime)
            else result
        )
