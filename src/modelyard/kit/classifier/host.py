"""Answering: files in base64 to labels. Numpy and pydantic only."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Generic, TypeVar

import numpy as np
from pydantic import BaseModel

from modelyard.errors import BadData
from modelyard.host import Caution, Cell, Host, Outcome, WithWarnings
from modelyard.kit.classes.answers import (
    ClassAnswer,
    answer_type,
    answers,
    class_outcome,
    contrast,
    score_of,
)
from modelyard.kit.classes.decision import Decision
from modelyard.kit.classifier import store
from modelyard.kit.classifier.kind import from_base64
from modelyard.kit.classifier.spec import FileSpec
from modelyard.runtimes.types import Runtime

GRAPH, LOGITS = "model", "logits"
CHUNK = 64
"""Examples that go through the graph at once."""

LOOKS = 31
"""Places of an example that are compared before all of them are."""

S = TypeVar("S", bound=FileSpec)


class ClassifierHost(Host, Generic[S]):
    """Answers for one trained network. A family gives `Spec`, `Request`, `sensitive`, `figures`."""

    Spec: type[S]
    """The asset that decodes a file's bytes."""
    error_name = "error rate"

    def __init__(self, assets: Path) -> None:
        super().__init__(assets)
        self.spec: S = self.Spec.load(self.assets)
        self.decision = Decision.load_or(self.assets, Decision())
        self.Response = answer_type(self.spec.classes)

    @abstractmethod
    def figures(self, data: bytes) -> dict[str, float | str | None]:
        """What drift looks at in a file as it was sent."""

    def array(self, data: bytes) -> np.ndarray:
        """What the model sees of a file's bytes."""
        return self.spec.decode(data)

    def predict(self, run: Runtime, requests: Sequence[BaseModel]) -> list[BaseModel]:
        """One answer a request, in order.

        Raises:
            BadData: a request whose text is not such a file within the limits.
        """
        found: list[BaseModel] = []
        for start in range(0, len(requests), CHUNK):
            chunk = requests[start : start + CHUNK]
            arrays = self.decode_all(chunk)
            some = self.answered(self.probabilities(run, arrays))
            for request, array, answer in zip(chunk, arrays, some, strict=True):
                answer.warnings = self.cautions(request, array)
            found += some
        return found

    def answered(self, p: np.ndarray) -> Sequence[WithWarnings]:
        """One answer an example, from calibrated probabilities (n, classes)."""
        return answers(self.decision, self.spec.classes, p)

    def reasoned(self, logits: np.ndarray) -> tuple[np.ndarray, str]:
        """What reasons of an answer are given for, by its logits (classes,): weights (classes,)
        whose sum over the calibrated logits is explained, and its name."""
        answer = int(self.decision.labels(self.decision.of_logits(logits[None]))[0])
        return contrast(self.spec.classes, answer)

    def calibrated(self, logits: np.ndarray) -> np.ndarray:
        """Logits (n, classes) with the temperature, where there is one; float64."""
        return self.decision.calibrated_logits(logits)

    def cautions(self, request: BaseModel, array: np.ndarray) -> tuple[Caution, ...]:
        """Of a request and what the model sees of it: that it is the same everywhere, as a black
        picture or silence is."""
        count = len(array) if array.ndim > 2 else 1
        channels = array.reshape(count, -1)
        # Nearly every file differs between a few places already, and no more is looked at.
        places = channels[0, :: max(1, channels.shape[1] // LOOKS)].tolist()
        if len(set(places)) > 1 or (channels != channels[:, :1]).any():
            return ()
        said = f"the {self.spec.KIND.one} is the same everywhere: there is nothing to see in it"
        return (Caution(field=self.spec.KIND.field, message=said),)

    def decode(self, request: BaseModel) -> np.ndarray:
        """What the model sees of a request, of the spec's shape."""
        try:
            return self.array(self.bytes_of(request))
        except BadData as problem:
            column = problem.column or self.spec.KIND.field
            raise BadData(problem.problem, column=column, hint=problem.hint) from None

    def decode_all(self, requests: Sequence[BaseModel]) -> np.ndarray:
        """What the model sees of some requests, (n, *shape)."""
        return np.stack([self.decode(request) for request in requests])

    def bytes_of(self, request: BaseModel) -> bytes:
        """The file that a request carries."""
        return from_base64(getattr(request, self.spec.KIND.field), self.spec.limits)

    def outputs(self, run: Runtime, arrays: np.ndarray) -> Iterator[dict[str, np.ndarray]]:
        """The graph's outputs, CHUNK examples at a time."""
        for start in range(0, len(arrays), CHUNK):
            part = arrays[start : start + CHUNK].astype(self.spec.INPUT)
            yield run(GRAPH, {self.spec.KIND.input: part})

    def logits(self, run: Runtime, arrays: np.ndarray) -> np.ndarray:
        """Arrays (n, …) to logits float64 (n, classes), uncalibrated."""
        parts = [outputs[LOGITS] for outputs in self.outputs(run, arrays)]
        if not parts:
            return np.empty((0, len(self.spec.classes)))
        return np.concatenate(parts).astype(np.float64)

    def probabilities(self, run: Runtime, arrays: np.ndarray) -> np.ndarray:
        """Arrays (n, …) to calibrated probabilities, float64 (n, classes)."""
        return self.decision.of_logits(self.logits(run, arrays))

    def seen(self, features: Path, split: str) -> np.ndarray:
        """What the model sees of the files of a split, (n, …).

        The stored arrays, where the features were made by the same rules; else the files, decoded.
        """
        if self.spec.sees_like(self.Spec.load(Path(features) / "assets")):
            return store.load_arrays(features, split)
        return np.stack([self.spec.decode(data) for _, data in store.load_files(features, split)])

    def describe(self, request: BaseModel, response: BaseModel) -> dict[str, float | str | None]:
        """Figures of the file as it was sent, and the answer."""
        return {**self.figures(self.bytes_of(request)), **self.figures_of_answer(response)}

    def figures_of_answer(self, response: BaseModel) -> dict[str, float | str | None]:
        """What drift looks at in an answer: score, entropy and label."""
        assert isinstance(response, ClassAnswer)
        p = np.array(list(response.probabilities.values()))
        # 0 · log 0 is 0 here, where numpy has NaN.
        nats = -(p * np.log(np.maximum(p, 1e-300))).sum()
        # As a share of an even guess's, so that it is 0 to 1 for any number of classes.
        entropy = float(nats / np.log(len(p)))
        return {"score": score_of(response), "entropy": entropy, "label": response.label}

    def outcome(self, row: Mapping[str, Cell], label: Cell) -> Outcome | None:
        """Whether the class was the label's."""
        return class_outcome(row, label, self.spec.classes)

    def read_file(self, file: Path) -> list[dict[str, Any]] | None:
        """A file of the kind as one request; None for any other file."""
        return self.Spec.KIND.requests(file)
