"""Ways to write: token by token for several texts at once, beam search, and guessing ahead with a
draft model.

Each is a generator that yields when its writers have taken tokens, so that a text can be shown, or
stopped, on the way.
"""

from __future__ import annotations

from collections.abc import Generator, Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np

from modelyard.families.language.decoder import DRAFT, MAIN, Decoder
from modelyard.families.language.sampling import penalise
from modelyard.families.language.writer import Writer
from modelyard.kit.logits import log_softmax
from modelyard.runtimes.types import Runtime


def write(run: Runtime, writers: Sequence[Writer]) -> Iterator[None]:
    """One token each a round: the likeliest, or a drawn one."""
    decoder, last = _begun(run, writers)
    active = list(writers)
    while True:
        still = np.flatnonzero([writer.finish is None for writer in active])
        if not len(still):
            return
        if len(still) < len(active):
            decoder.keep(still)
            last, active = last[still], [active[number] for number in still]
        # Before the first token the logits are those of the prompts.
        if active[0].tokens:
            last = decoder.step(np.array([[writer.tokens[-1]] for writer in active]))[:, -1]
        for writer, row in zip(active, last, strict=True):
            writer.take(writer.choose(row), row)
        yield


def guess_ahead(run: Runtime, writer: Writer) -> Iterator[None]:
    """Greedy, with a draft model's guesses checked several at a time (Leviathan et al. 2023, greedy
    case).

    The text is the one that `write` gives: a guess counts only where the model itself would have
    chosen it.
    """
    spec, most = writer.spec, writer.request.speculative
    assert spec.draft is not None, "no draft model"
    main, last = _begun(run, [writer], most + 1)
    if writer.finish is None:
        writer.take(writer.choose(last[0]), last[0])
        yield
    if writer.finish is not None:
        return
    draft = Decoder(run, DRAFT, spec.draft, reserve=most + 1)
    for _ in draft.read([writer.prompt], spec.chunk):
        pass
    unread = writer.tokens[-1:]
    while writer.finish is None:
        # The model itself says one token behind the guesses: they leave room for it.
        count = min(most, writer.room - 1)
        guesses: list[int] = []
        while len(guesses) < count:
            scores = draft.step(np.array([unread]))[0, -1]
            guesses.append(int(scores.argmax()))
            unread = guesses[-1:]
        known = len(writer.tokens)
        checked = main.step(np.array([[writer.tokens[-1], *guesses]]))[0]
        _check(writer, guesses, checked)
        taken = len(writer.tokens) - known
        # What was read behind a wrong guess goes from the memory.
        main.forget(count + 1 - taken)
        if count:
            # The draft has read all guesses but its last.
            draft.forget(max(0, count - 1 - max(0, taken - 1)))
            if taken <= count:
                unread = writer.tokens[-1:]
            else:
                unread = writer.tokens[-2:]
        yield


def _begun(run: Runtime, writers: Sequence[Writer], reserve: int = 0) -> tuple[Decoder, np.ndarray]:
    """Reads the prompts, a piece at a time: a decoder that continues them, and the logits (rows,
    vocabulary) of their next tokens."""
    spec, prompts = writers[0].spec, [writer.prompt for writer in writers]
    decoder = Decoder(run, MAIN, spec.main, len(writers), reserve, writers[0].prefix)
    longest = max(map(len, prompts))
    for start, logits in decoder.read(prompts, spec.chunk):
        for writer, row in zip(writers, logits, strict=True):
            # Prompts are padded on the left to the longest: a shorter one begins later.
            writer.read(row, start - (longest - len(writer.prompt)))
        last = logits[:, -1]
    return decoder, last


def _check(writer: Writer, guesses: list[int], logits: np.ndarray) -> None:
    for number, row in enumerate(logits):
        token = writer.choose(row)
        writer.take(token, row)
        if number < len(guesses):
            writer.proposed += 1
            writer.accepted += token == guesses[number]
        # What was proposed behind a wrong guess continues another text.
        is_wrong = number == len(guesses) or token != guesses[number]
        if is_wrong or writer.finish is not None:
            return


@dataclass
class Beam:
    """A text that the search holds open, or that it finished."""

    score: float
    """Sum of log probabilities; of a finished one over its length to the length penalty."""
    tokens: list[int] = field(default_factory=list)
    """With the end token, where it ended by it."""
    logs: list[float] = field(default_factory=list)
    row: int = 0
    """Row of the decoder's memory it continues."""


def beam_search(run: Runtime, writer: Writer) -> Iterator[None]:
    """The likeliest text that `beams` beams find, by its log probability over its length to
    `length_penalty`."""
    finished = yield from ranked_beams(run, writer)
    if finished:
        best = finished[0]
        writer.tokens, writer.logs = best.tokens, best.logs
        writer.finish = "length"
        if best.tokens[-1] == writer.spec.end:
            writer.tokens, writer.logs = best.tokens[:-1], best.logs[:-1]
            writer.finish = "end"


def ranked_beams(run: Runtime, writer: Writer) -> Generator[None, None, list[Beam]]:
    """Returns the finished texts, best first, `beams` at most.

    Ends when no open beam scores better than the worst of `beams` finished ones.
    """
    request = writer.request
    decoder, last = _begun(run, [writer])
    beams = [Beam(0.0)]
    finished: list[Beam] = []
    for length in range(1, writer.most + 1):
        beams, ended = _extended(writer, beams, last, length == writer.most)
        norm = length**request.length_penalty
        for beam in ended:
            beam.score /= norm
        finished = sorted([*finished, *ended], key=lambda beam: -beam.score)[: request.beams]
        if not beams:
            break
        # An open beam is judged at its length so far: its sum only falls, though a length penalty above
        # 0 may still raise its mean. `transformers` ends by default in the same way.
        if len(finished) == request.beams and beams[0].score / norm <= finished[-1].score:
            break
        decoder.keep(np.array([beam.row for beam in beams]))
        last = decoder.step(np.array([[beam.tokens[-1]] for beam in beams]))[:, -1]
        yield
    return finished


def _extended(
    writer: Writer, beams: list[Beam], logits: np.ndarray, last: bool
) -> tuple[list[Beam], list[Beam]]:
    """The best open beams, best first, and those of the best that end; by summed score, not yet
    by length."""
    count, end = writer.request.beams, writer.spec.end
    logs = log_softmax(logits)
    total = np.empty_like(logs, np.float32)
    for row, beam in enumerate(beams):
        seen = [*writer.prompt, *beam.tokens]
        scores = penalise(logs[row], seen, writer.request.repetition_penalty)
        total[row] = scores + np.float32(beam.score)
    # Twice as many: each beam may end once, and as many as before must go on.
    order = np.argsort(-total, axis=None, kind="stable")[: 2 * count]
    still: list[Beam] = []
    ended: list[Beam] = []
    for rank, flat in enumerate(order.tolist()):
        row, token = divmod(flat, logits.shape[1])
        beam = beams[row]
        log_ps = [*beam.logs, float(logs[row, token])]
        longer = Beam(float(total[row, token]), [*beam.tokens, token], log_ps, row)
        if last or token == end:
            # Only among the best: else any beam could end at any step.
            if rank < count:
                ended.append(longer)
        elif len(still) < count:
            still.append(longer)
    return still, ended
