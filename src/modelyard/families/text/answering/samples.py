"""The built-in questions: simulated notes about people, and what is asked of them.

Every note says where three to five people live, work, study, what they play and since when, in an
order and in words of its own; the questions use other words. Every fifth question asks what the note
does not say.
"""

from __future__ import annotations

import json
from itertools import product
from pathlib import Path

import numpy as np

from modelyard.families.text.tagging.samples import new_name

NOTES, ASKED = 1_200, 3
"""Notes unless set, and questions on each."""
THINGS = {
    "town": "Arlen Besk Corvo Dunby Elmar Fosse Garda Holm Istra Jarno Kelso Lunde",
    "firm": "Axon Brill Cobalt Delphi Ember Fjord Granit Helix Ion Juno Krypta Lumen",
    "sport": "chess tennis hockey golf rugby squash judo darts polo cricket",
    "subject": "physics law history biology music geology botany logic chemistry",
    "year": "1994 1998 2001 2005 2008 2011 2013 2016 2019 2021",
}
FACTS = {
    "town": ("{} lives in {} .", "{} has a house in {} .", "Home of {} is {} ."),
    "firm": ("{} works for {} .", "{} has a desk at {} .", "{} is paid by {} ."),
    "sport": ("{} plays {} .", "On Sundays {} is seen at {} .", "{} likes {} most ."),
    "subject": ("{} studied {} .", "{} has a degree in {} .", "{} learnt {} ."),
    "year": ("{} joined the club in {} .", "{} is a member since {} .", "{} came in {} ."),
}
QUESTIONS = {
    "town": ("Where does {} live ?", "In which town is the home of {} ?"),
    "firm": ("Who employs {} ?", "Which company does {} work for ?"),
    "sport": ("Which game does {} play ?", "What sport is the favourite of {} ?"),
    "subject": ("What did {} study ?", "In which subject did {} graduate ?"),
    "year": ("When did {} join ?", "Since when is {} a member ?"),
}
UNANSWERED = 0.2


def write_sample(raw: Path, count: int | None, seed: int) -> None:
    """Writes `notes.json` as SQuAD 2.0 has it, an article a note."""
    draw = np.random.default_rng(seed)
    articles = []
    for number in range(count or NOTES):
        context, told, unknown = _note(draw)
        asked = []
        for place in range(ASKED):
            lacks = bool(draw.random() < UNANSWERED)
            if lacks:
                name, kind = _one_of(unknown, draw)
                answers = []
            else:
                name, kind = _one_of(list(told), draw)
                thing, begin = told[name, kind]
                answers = [{"text": thing, "answer_start": begin}]
            question = str(draw.choice(QUESTIONS[kind])).format(name)
            one = {"id": f"{number}-{place}", "question": question}
            asked.append(one | {"answers": answers, "is_impossible": lacks})
        paragraph = {"context": context, "qas": asked}
        articles.append({"title": f"note {number}", "paragraphs": [paragraph]})
    content = {"version": "v2.0", "data": articles}
    (raw / "notes.json").write_text(json.dumps(content, indent=1) + "\n")


Facts = dict[tuple[str, str], tuple[str, int]]


def _note(draw: np.random.Generator) -> tuple[str, Facts, list[tuple[str, str]]]:
    """A text; what it says, by person and kind, with its place; and what it does not say."""
    people = sorted({new_name(draw) for _ in range(draw.integers(3, 6))})
    pairs = list(product(people, FACTS))
    chosen = [pairs[place] for place in draw.permutation(len(pairs))]
    # Two of a person's five facts on average: the others are what the note does not say.
    said, unknown = chosen[: 2 * len(people)], chosen[2 * len(people) :]
    text, told = "", {}
    for name, kind in said:
        thing = str(draw.choice(THINGS[kind].split()))
        sentence = str(draw.choice(FACTS[kind])).format(name, thing)
        told[name, kind] = (thing, len(text) + sentence.rindex(thing))
        text += sentence + " "
    return text.strip(), told, unknown


def _one_of(pairs: list[tuple[str, str]], draw: np.random.Generator) -> tuple[str, str]:
    return pairs[int(draw.integers(len(pairs)))]
