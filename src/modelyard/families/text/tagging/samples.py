"""The built-in sentences: simulated reports about people, companies, places and dates.

Names are made of syllables, and the same name may be a person, a company or a place: what stands
around it says which. Every other mention is of a name that may never come again.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

SENTENCES, A_DOCUMENT, KNOWN = 2_400, 8, 300
"""Sentences unless set, those of a document, and names that come again."""
SYLLABLES = (
    "al an ar bel ber ca da del do el fa gar hal ho il ka ken la len lo ma mar mi mo na ner ni nor"
    " o pa per ra ri ro sa sel ta tel ti to va ven vi wen"
)
FIRST = (
    "Ada Boris Carla David Elif Farid Greta Hugo Ines Jonas Kaya Leo Mara Nils Olga Pavel Rosa Sven"
    " Tara Uwe Vera Yusuf"
)
DAYS = "Monday Tuesday Wednesday Thursday Friday Saturday Sunday"
MONTHS = "January February March April May June July August September October November December"
KINDS = ("Bank", "Group", "Labs", "Motors", "Energy", "& Sons")
PLACES = ("North", "South", "New", "Port", "Upper")
TEMPLATES = (
    "{PER} joined {ORG} in {LOC} on {DATE} .",
    "Shares of {ORG} fell 4 percent after {PER} resigned .",
    "{ORG} opens an office in {LOC} , {PER} said .",
    "The mayor of {LOC} , {PER} , met workers of {ORG} on {DATE} .",
    "Heavy rain is expected in {LOC} and {LOC} until {DATE} .",
    '" We will leave {LOC} , " said {PER} of {ORG} .',
    "{PER} and {PER} won in {LOC} .",
    "A train from {LOC} to {LOC} was late on {DATE} .",
    "{ORG} buys {ORG} for 3 million .",
    "On {DATE} , {PER} moved from {LOC} to {LOC} .",
    "Prices rose again , and nobody knows why .",
    "{PER} , who was born in {LOC} , leads {ORG} since {DATE} .",
    "The board of {ORG} meets on {DATE} .",
    "Talks between {ORG} and {ORG} ended without a result .",
    "It may rain in May , but in {LOC} the sun shines .",
    "{LOC} lost to {LOC} 2 - 1 on {DATE} .",
    "Her friend {PER} works for {ORG} near {LOC} .",
    "The bank was closed , and the group went home .",
    "New rules apply from {DATE} , {ORG} said .",
    "In {LOC} , {ORG} sued {PER} .",
)


def write_sample(raw: Path, count: int | None, seed: int) -> None:
    """Writes `reports.conll`: a word and its tag a line, documents of A_DOCUMENT sentences."""
    draw = np.random.default_rng(seed)
    names = [new_name(draw) for _ in range(KNOWN)]
    lines: list[str] = []
    for number in range(count or SENTENCES):
        if number % A_DOCUMENT == 0:
            lines += ["-DOCSTART- O", ""]
        for word in str(draw.choice(TEMPLATES)).split():
            label = word.strip("{}")
            if label == word:
                lines.append(f"{word} O")
                continue
            for place, part in enumerate(_filled(label, names, draw)):
                lines.append(f"{part} {'I' if place else 'B'}-{label}")
        lines.append("")
    (raw / "reports.conll").write_text("\n".join(lines), encoding="utf-8")


def _filled(label: str, names: list[str], draw: np.random.Generator) -> list[str]:
    """The words of a name, or of a date."""
    if draw.random() < 0.5:
        name = str(draw.choice(names))
    else:
        name = new_name(draw)
    if label == "DATE":
        day, month = str(draw.integers(1, 29)), str(draw.choice(MONTHS.split()))
        forms = ([str(draw.choice(DAYS.split()))], [month, day], [day, month, "2024"])
        return forms[draw.integers(3)]
    if label == "PER":
        return [[name], [str(draw.choice(FIRST.split())), name]][draw.integers(2)]
    if label == "ORG":
        return [[name], [name, *str(draw.choice(KINDS)).split()]][draw.integers(2)]
    return [[name], [str(draw.choice(PLACES)), name]][int(draw.random() < 0.3)]


def new_name(draw: np.random.Generator) -> str:
    """Two or three syllables."""
    return "".join(draw.choice(SYLLABLES.split(), draw.integers(2, 4))).capitalize()
