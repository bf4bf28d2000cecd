"""One text being written: its request, its tokens so far, when it ends, what is reported of it."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from modelyard.completion import TokenScore
from modelyard.errors import BadData
from modelyard.families.language.decoder import DecoderSpec
from modelyard.families.language.prompt import USUAL, Answer, Finish, Prompt
from modelyard.families.language.sampling import adjusted, distribution, draw, penalise
from modelyard.families.language.tokens import TAIL, UNFINISHED, Codec
from modelyard.host import Caution
from modelyard.kit.logits import log_softmax
from modelyard.runtimes.types import Arrays


class Writer:
    """Writes one answer: asks for a token's logits, chooses it, and knows when to end."""

    def __init__(
        self,
        codec: Codec,
        spec: DecoderSpec,
        request: Prompt,
        ids: list[int],
        prefix: Arrays | None = None,
        *,
        spaced: bool = False,
    ) -> None:
        """`ids`: what the request gives to read, without the start token. `spaced`: a blank before the
        answer is none of its own.

        Raises:
            BadData: prompt and answer do not fit the context, or a biased token is not in the
            vocabulary.
        """
        self.codec, self.spec, self.request, self.prefix = codec, spec, request, prefix
        self._spaced = spaced
        self._bias = _bias_by_token(request.logit_bias, spec.vocabulary)
        self.most = _most(len(ids), request, spec)
        """Tokens that may be written."""
        ids, self.truncated = _fitted(ids, self.most, request.truncate, spec.reach)
        self.prompt = [spec.start, *ids]
        self.tokens: list[int] = []
        self.logs: list[float] = []
        self.scores: list[TokenScore] = []
        self.prompt_scores: list[TokenScore] | None = None
        if request.prompt_logprobs:
            self.prompt_scores = []
        self._prompt_sum = 0.0
        self.proposed = self.accepted = 0
        self.finish: Finish | None = None
        if self.most == 0:
            self.finish = "length"
        self._rng = np.random.default_rng(request.seed)

    @property
    def room(self) -> int:
        """Tokens that may still come."""
        return self.most - len(self.tokens)

    @property
    def prompt_log(self) -> float | None:
        """Mean log probability of the prompt's tokens; None for an empty prompt."""
        if len(self.prompt) > 1:
            return self._prompt_sum / (len(self.prompt) - 1)
        return None

    def read(self, logits: np.ndarray, first: int) -> None:
        """Takes logits (piece, vocabulary) of the prompt's tokens from number `first` on; numbers
        below 0 are padding."""
        # Numbers below 0: the prompt has not begun there.
        logits, first = logits[max(0, -first) :], max(0, first)
        targets = self.prompt[first + 1 : first + 1 + len(logits)]
        if not targets:
            return
        logs = log_softmax(logits[: len(targets)])
        # In double: the sum over a long prompt loses digits in float32.
        self._prompt_sum += float(logs[np.arange(len(logs)), targets].sum(dtype=np.float64))
        if self.prompt_scores is not None:
            count = self.request.logprobs
            assert count is not None, "the request was checked"
            for at, token in enumerate(targets):
                before = self.prompt[max(1, first + 1 + at - TAIL) : first + 1 + at]
                self.prompt_scores.append(self._score(before, token, logs[at], count))

    def choose(self, logits: np.ndarray) -> int:
        """The next token from its logits (vocabulary,)."""
        request = self.request
        scores = penalise(logits, [*self.prompt, *self.tokens], request.repetition_penalty)
        scores = adjusted(
            scores, self.tokens, request.presence_penalty, request.frequency_penalty, self._bias
        )
        if request.temperature == 0:
            return int(scores.argmax())
        p = distribution(scores, request.temperature, request.top_k, request.top_p)
        return draw(p, self._rng)

    def take(self, token: int, logits: np.ndarray) -> None:
        """Appends a token that was chosen from these logits, or ends."""
        logs = log_softmax(logits)
        if token == self.spec.end:
            self.finish = "end"
            return
        if self.request.logprobs is not None:
            # A token's text may depend on the few before it, as bytes of one character.
            before = [*self.prompt[1:], *self.tokens][-TAIL:]
            self.scores.append(self._score(before, token, logs, self.request.logprobs))
        self.tokens.append(token)
        self.logs.append(float(logs[token]))
        if self.request.stop and self._stop_at(self._whole()) is not None:
            self.finish = "stop"
        elif self.room == 0:
            self.finish = "length"

    def visible(self) -> str:
        """The text so far that no later token can change: no broken character, no beginning of a
        stop text."""
        text = self._whole()
        cut = self._stop_at(text)
        if cut is not None or self.finish:
            return text[:cut]
        text = text.rstrip(UNFINISHED)
        # What may be the beginning of a stop text is held back, the longest such end.
        held = 0
        for stop in self.request.stop:
            for size in range(min(len(stop) - 1, len(text)), held, -1):
                if text.endswith(stop[:size]):
                    held = size
                    break
        return text[: len(text) - held]

    def answer(self) -> Answer:
        """The finished answer."""
        assert self.finish is not None, "the answer is still being written"
        text = self._whole()
        cut = self._stop_at(text)
        finish = self.finish
        if cut is not None:
            finish = "stop"  # beams do not look for stop texts on their way
        answer = Answer(
            text=text[:cut],
            tokens=self.tokens,
            prompt_tokens=len(self.prompt) - 1,
            truncated=self.truncated,
            finish_reason=finish,
            prompt_log_probability=self.prompt_log,
            log_probability=None,
            prompt_logprobs=self.prompt_scores,
            warnings=self._cautions(),
        )
        if self.logs:
            answer.log_probability = float(np.mean(self.logs))
        if self.proposed:
            answer.acceptance_rate = self.accepted / self.proposed
        if self.request.logprobs is not None:
            answer.logprobs = self.scores
        return answer

    def _cautions(self) -> tuple[Caution, ...]:
        if self.truncated:
            said = f"its first {self.truncated:,} tokens were left out: there is no room for them"
            return (Caution(field="prompt", message=said),)
        if not self.request.words().strip():
            said = "is empty: the answer is how documents begin"
            return (Caution(field="prompt", message=said),)
        return ()

    def _whole(self) -> str:
        text = self.codec.continuation(self.prompt[1:][-TAIL:], self.tokens)
        return text.lstrip() if self._spaced else text

    def _stop_at(self, text: str) -> int | None:
        """Where the first stop text begins."""
        places = [text.find(stop) for stop in self.request.stop]
        return min((place for place in places if place >= 0), default=None)

    def _score(self, before: list[int], token: int, logs: np.ndarray, count: int) -> TokenScore:
        best = np.argsort(-logs, kind="stable")[:count]
        top = {self._name(before, int(one)): float(logs[one]) for one in reversed(best)}
        return TokenScore(
            token=self._name(before, token), log_probability=float(logs[token]), top=top
        )

    def _name(self, before: list[int], token: int) -> str:
        if token != self.spec.end:
            return self.codec.continuation(before, [token])
        return "<end>"


def _bias_by_token(bias: Mapping[str, float], vocabulary: int) -> dict[int, float]:
    """Raises BadData for a key that is no token's number."""
    for key in bias:
        # Nine digits at most: a longer text is no number of a token, and slow to read as one.
        is_number = key.isascii() and key.isdigit() and len(key) < 10
        if not is_number or int(key) >= vocabulary:
            raise BadData(
                f"{key!r} is no token: they have the numbers 0 to {vocabulary - 1}",
                column="logit_bias",
            )
    return {int(key): value for key, value in bias.items()}


def _most(size: int, request: Prompt, spec: DecoderSpec) -> int:
    longest = spec.context - 1
    if request.max_new_tokens is None:
        return min(USUAL, longest, max(1, spec.reach - 1 - size))
    if request.max_new_tokens > longest:
        raise BadData(
            f"{request.max_new_tokens} is more than this model's context allows: at most {longest}",
            column="max_new_tokens",
        )
    return request.max_new_tokens


def _fitted(ids: list[int], most: int, truncate: bool, reach: int) -> tuple[list[int], int]:
    room = reach - 1 - most
    over = len(ids) - room
    if over <= 0:
        return ids, 0
    if not truncate:
        raise BadData(
            f"the prompt has {len(ids)} tokens; with an answer of up to {most} there is room for {room}, "
            f"so {over} are too many",
            column="prompt",
            hint="Shorten it, ask for fewer tokens, or set truncate to leave its beginning out",
        )
    return ids[over:], over
