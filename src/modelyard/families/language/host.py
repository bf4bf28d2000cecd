"""Prompts to answers, with numpy and `tokenizers` only."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
from pydantic import BaseModel

from modelyard.completion import Completed, Completion
from modelyard.errors import BadData
from modelyard.families.language.decoder import HIDDEN, LOGITS, MAIN, Decoder, DecoderSpec
from modelyard.families.language.formats import chat_format
from modelyard.families.language.generate import beam_search, guess_ahead, write
from modelyard.families.language.prefix import load_prefix
from modelyard.families.language.prompt import USUAL, Answer, Part, Prompt
from modelyard.families.language.tokens import TAIL, Codec
from modelyard.families.language.writer import Writer
from modelyard.host import Cost, Explanation, Host
from modelyard.kit.logits import log_softmax
from modelyard.kit.text.words import beyond_ascii
from modelyard.runtimes.types import Arrays, Runtime

ROWS = 16
"""Most texts that are written, or read, at once."""
CHARACTERS, READ_AT_ONCE = 4, 8
"""About so many characters are a token, and so many tokens of a prompt are as much work as one
that is written."""
ENCODE_SECONDS = 1e-6
"""For each character of a prompt, at most."""
NAME_SECONDS = 3e-5
"""For each token that is named next to a token of the prompt."""
EXPLAINED = 128
"""Most tokens of a prompt, its last, that an explanation looks at."""


class LanguageHost(Host):
    """Writes on from a prompt."""

    Request = Prompt
    Response = Answer
    sensitive = frozenset({"prompt", "messages", "stop"})
    completion_options = frozenset(
        {"presence_penalty", "frequency_penalty", "logit_bias", "prompt_logprobs"}
    )

    def __init__(self, assets: Path) -> None:
        super().__init__(assets)
        self.codec = Codec(self.assets / "tokenizer.json")
        self.spec = DecoderSpec.load(self.assets)
        self.prefix = load_prefix(self.assets, self.spec.main)
        self.chats = self.spec.chats
        self.chat = chat_format(self.assets, self.codec, self.spec.start, self.spec.end)

    def predict(self, run: Runtime, requests: Sequence[BaseModel]) -> list[BaseModel]:
        """One answer a prompt. Prompts of similar length are written at once; beams and guessing go
        one by one.

        Raises:
            BadData: a prompt that is too long without `truncate`, or a wish that this model cannot
            meet.
        """
        writers = [self._writer(request) for request in requests]
        plain = []
        for writer in writers:
            if writer.request.beams > 1 or writer.request.speculative:
                _exhaust(self._writing(run, writer))
            else:
                plain.append(writer)
        plain.sort(key=lambda writer: (len(writer.prompt), writer.room))
        for batch in self._together(plain):
            _exhaust(write(run, batch))
        return [writer.answer() for writer in writers]

    def stream(self, run: Runtime, request: BaseModel) -> Iterator[BaseModel]:
        """Parts as they are written, then the answer; beam search has no part before its end."""
        writer = self._writer(request)
        return self._streamed(run, writer)

    def cost(self, request: BaseModel) -> Cost:
        """Tokens to write, times the beams that each is written in, and the prompt's; the most that
        it may be.

        A prompt is read many tokens at a time, so that one of its tokens is far less work than one
        that is written.
        """
        assert isinstance(request, Prompt)
        requested = request.max_new_tokens
        if requested is None:
            requested = USUAL
        characters = len(request.words())
        read = min(characters / CHARACTERS, self.spec.reach)
        written = min(requested, self.spec.context) * request.beams
        seconds = characters * ENCODE_SECONDS
        if request.prompt_logprobs:
            # Each token of the prompt is named, and so are its alternatives.
            seconds += (1 + (request.logprobs or 0)) * read * NAME_SECONDS
        return Cost(written + read / READ_AT_ONCE, seconds)

    def check_arrays(self, graph: str, arrays: Arrays) -> None:
        """Bounds tokens and logits of one call: attention grows with the square of the tokens."""
        rows, new = arrays["input_ids"].shape
        past = 0
        for name, array in arrays.items():
            if name.startswith("past_"):
                past = max(past, array.shape[2])
        most = self.spec.context + self.spec.main.prefix
        if past + new > most:
            problem = f"{past} past and {new} new tokens; at most {most} together are allowed"
            raise BadData(problem, column="input_ids")
        highest = arrays["positions"].max(initial=0)
        if highest >= self.spec.reach:
            problem = f"position {highest}; the last is {self.spec.reach - 1}"
            raise BadData(problem, column="positions")
        most = max(1, LOGITS // (max(new, 1) * self.spec.vocabulary))
        if rows > most:
            problem = f"{rows} rows of {new} tokens; at most {most} are allowed in one call"
            raise BadData(problem, column="input_ids")

    def describe(self, request: BaseModel, response: BaseModel) -> dict[str, float | str | None]:
        """Sizes, the model's surprise, and the share of letters beyond ASCII.

        The answer's length is a share of the requested one: a caller who requests more makes no
        drift.
        """
        assert isinstance(request, Prompt)
        assert isinstance(response, Answer)
        words = request.words()
        prompt_tokens = response.prompt_tokens + response.truncated
        # What ran out of room has all that there was.
        requested = len(response.tokens)
        if response.finish_reason != "length":
            requested = request.max_new_tokens or USUAL
        return {
            "prompt_characters": len(words),
            "prompt_tokens": prompt_tokens,
            "characters_per_token": len(words) / max(1, prompt_tokens),
            "non_ascii_share": beyond_ascii(words),
            "prompt_log_probability": response.prompt_log_probability,
            "answer_share": len(response.tokens) / max(1, requested),
            "answer_characters_per_token": len(response.text) / max(1, len(response.tokens)),
            "answer_log_probability": response.log_probability,
            "finish_reason": response.finish_reason,
        }

    def explain(self, run: Runtime, request: BaseModel) -> Explanation:
        """How much likelier each token of the prompt made the answer's first token: the drop when
        it is hidden.

        Occlusion (Zeiler & Fergus 2014) on tokens: a hidden one is not attended to, the others keep
        their places. The last EXPLAINED tokens are tried.
        """
        assert isinstance(request, Prompt)
        writer = self._writer(request)
        prompt = writer.prompt
        # Nothing before the first token that is hidden changes: it is read once.
        head = max(1, len(prompt) - EXPLAINED)
        decoder, full = self._read_head(run, prompt[:head])
        tail = np.array(prompt[head:], np.int64)
        if len(tail):
            full = decoder.repeated(1).step(tail[None])[0, -1]
        if writer.most:
            token = writer.choose(full)
        else:
            token = int(full.argmax())
        whole = float(log_softmax(full)[token])
        drops: dict[str, float] = {}
        # All but the last: its logits are those that are looked at.
        tried = np.arange(len(tail) - 1)
        size = self.rows(len(prompt) - head)
        for start in range(0, len(tried), size):
            batch = tried[start : start + size]
            positions = np.tile(np.arange(head, len(prompt)), (len(batch), 1))
            positions[np.arange(len(batch)), batch] = HIDDEN
            tokens = np.tile(tail, (len(batch), 1))
            logs = log_softmax(decoder.repeated(len(batch)).step(tokens, positions)[:, -1])
            for at, row in zip(batch.tolist(), logs, strict=True):
                drops[self._place(prompt, head + at)] = whole - float(row[token])
        if token == self.spec.end:
            name = "the end"
        else:
            name = repr(self.codec.continuation(prompt[1:], [token]))
        return Explanation(
            method="occlusion",
            output=f"log probability of {name} as first token: {whole:.4f}",
            contributions=drops,
        )

    def complete(self, completion: Completion) -> dict[str, Any]:
        """A text completion as body of a request."""
        body: dict[str, Any] = {
            **_given(completion),
            "max_new_tokens": completion.max_tokens,
            "temperature": completion.temperature,
            "top_p": completion.top_p,
            "stop": completion.stop,
            "seed": completion.seed,
            "presence_penalty": completion.presence_penalty,
            "frequency_penalty": completion.frequency_penalty,
            "logit_bias": completion.logit_bias,
        }
        if completion.logprobs is not None:
            body |= {"logprobs": completion.logprobs, "prompt_logprobs": completion.prompt_logprobs}
        return body | completion.extra

    def completed(self, request: BaseModel, part: BaseModel) -> Completed:
        """An answer, or a part, as completion services tell it."""
        if isinstance(part, Part):
            return Completed(
                text=part.text,
                completion_tokens=len(part.tokens),
                logprobs=part.logprobs,
                prompt_logprobs=part.prompt_logprobs,
            )
        assert isinstance(part, Answer)
        # Completion services tell a document's end and a stop text by one word.
        reason: Literal["length", "stop"] = "stop"
        if part.finish_reason == "length":
            reason = "length"
        return Completed(
            text=part.text,
            finish_reason=reason,
            prompt_tokens=part.prompt_tokens,
            completion_tokens=len(part.tokens),
            logprobs=part.logprobs,
            prompt_logprobs=part.prompt_logprobs,
        )

    def decoder(self, run: Runtime, rows: int) -> Decoder:
        """One that begins so many texts."""
        return Decoder(run, MAIN, self.spec.main, rows, prefix=self.prefix)

    def rows(self, length: int) -> int:
        """Texts of `length` tokens that are read at once."""
        piece = max(1, min(length, self.spec.chunk))
        return max(1, min(ROWS, LOGITS // (piece * self.spec.vocabulary)))

    def _writer(self, request: BaseModel) -> Writer:
        assert isinstance(request, Prompt)
        if request.speculative and self.spec.draft is None:
            raise BadData(
                "this package has no draft model",
                column="speculative",
                hint="Train one: --set model.draft_layers=1",
            )
        if request.messages and not self.spec.chats:
            raise BadData(
                "this model was not trained on dialogues",
                column="messages",
                hint="Send a prompt, or train on rows with messages",
            )
        if not request.messages:
            ids = self.codec.encode(request.prompt)
            return Writer(self.codec, self.spec, request, ids, self.prefix)
        ids = self.chat.asked_tokens(request.messages)
        spaced = self.chat.spaced
        return Writer(self.codec, self.spec, request, ids, self.prefix, spaced=spaced)

    def _together(self, writers: Sequence[Writer]) -> Iterator[list[Writer]]:
        """Batches of writers, which come by the length of their prompts. All are padded to the
        longest: beyond a piece none is more than twice as long as the shortest."""
        size = self.rows(self.spec.context)
        batch: list[Writer] = []
        for writer in writers:
            if batch:
                most = max(self.spec.chunk, 2 * len(batch[0].prompt))
                if len(batch) == size or len(writer.prompt) > most:
                    yield batch
                    batch = []
            batch.append(writer)
        if batch:
            yield batch

    def _read_head(self, run: Runtime, tokens: list[int]) -> tuple[Decoder, np.ndarray]:
        """A decoder that has read these tokens, and the logits (vocabulary,) of the next."""
        decoder = self.decoder(run, 1)
        for _, logits in decoder.read([tokens], self.spec.chunk):
            last = logits[0, -1]
        return decoder, last

    def _writing(self, run: Runtime, writer: Writer) -> Iterator[None]:
        if writer.request.beams > 1:
            return beam_search(run, writer)
        if writer.request.speculative:
            return guess_ahead(run, writer)
        return write(run, [writer])

    def _streamed(self, run: Runtime, writer: Writer) -> Iterator[BaseModel]:
        shown, counted = 0, 0
        for _ in self._writing(run, writer):
            text = writer.visible()
            if len(text) > shown:
                yield _part(writer, text[shown:], counted)
                shown, counted = len(text), len(writer.tokens)
        answer = writer.answer()
        if len(answer.text) > shown or len(answer.tokens) > counted:
            yield _part(writer, answer.text[shown:], counted)
        yield answer

    def _place(self, prompt: list[int], at: int) -> str:
        before = prompt[max(1, at - TAIL) : at]
        return f"{at} {self.codec.continuation(before, [prompt[at]])!r}"


def _given(completion: Completion) -> dict[str, Any]:
    """What is to be continued, as fields of a request."""
    if completion.messages is None:
        return {"prompt": completion.prompt}
    return {"messages": completion.messages}


def _part(writer: Writer, text: str, counted: int) -> Part:
    """What was written behind the first `counted` tokens."""
    part = Part(text=text, tokens=writer.tokens[counted:])
    if writer.request.logprobs is not None:
        part.logprobs = writer.scores[counted:]
    if counted == 0:
        part.prompt_logprobs = writer.prompt_scores
    return part


def _exhaust(steps: Iterator[None]) -> None:
    for _ in steps:
        pass
