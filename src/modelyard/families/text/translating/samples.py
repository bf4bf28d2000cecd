"""The built-in pairs: dates, times, amounts, lists and spans of time in English and German, as Unicode's
Common Locale Data Repository has people write them (through Babel)."""

from __future__ import annotations

import csv
from datetime import datetime, timedelta
from pathlib import Path

import numpy as np
from babel import Locale
from babel.dates import format_date, format_datetime, format_timedelta
from babel.lists import format_list
from babel.numbers import format_currency
from babel.units import format_unit

PAIRS = 6_000
"""Unless set."""
SOURCE, TARGET = "en", "de"
UNITS = (
    "mass-kilogram mass-gram mass-tonne length-kilometer length-meter length-centimeter length-mile"
    " volume-liter area-hectare area-square-meter temperature-celsius speed-kilometer-per-hour"
    " energy-kilowatt-hour power-watt digital-gigabyte duration-hour duration-day duration-month"
)
CURRENCIES = "EUR USD GBP CHF JPY SEK NOK DKK PLN CZK INR BRL CAD AUD"
PLACES = (
    "AT BE BR CA CH CN CZ DE DK EG ES FI FR GB GR HU IE IN IS IT JP KE KR LU MA MX NL NO NZ PE PL PT RO"
    " SE TH TN TR UA US ZA"
)
BEGIN = datetime(1950, 1, 1)
DAYS = 80 * 365
Draw = np.random.Generator
Pair = tuple[str, str]


def write_sample(raw: Path, count: int | None, seed: int) -> None:
    """Writes `phrases.csv`: `en,de`, each pair once."""
    draw = np.random.default_rng(seed)
    kinds = (_date, _moment, _amount, _money, _span, _places)
    pairs: dict[Pair, None] = {}
    while len(pairs) < (count or PAIRS):
        pairs.setdefault(kinds[draw.integers(len(kinds))](draw))
    with (raw / "phrases.csv").open("w", newline="", encoding="utf-8") as stream:
        writer = csv.writer(stream)
        writer.writerow([SOURCE, TARGET])
        writer.writerows(pairs)


def _date(draw: Draw) -> Pair:
    day = BEGIN + timedelta(days=int(draw.integers(DAYS)))
    length = ("full", "long", "medium")[draw.integers(3)]
    return format_date(day, length, locale=SOURCE), format_date(day, length, locale=TARGET)


def _moment(draw: Draw) -> Pair:
    moment = BEGIN + timedelta(minutes=int(draw.integers(DAYS * 24 * 60)))
    english = format_datetime(moment, "EEEE, h:mm a", locale=SOURCE)
    return english, format_datetime(moment, "EEEE, HH:mm 'Uhr'", locale=TARGET)


def _amount(draw: Draw) -> Pair:
    unit, number = str(draw.choice(UNITS.split())), _number(draw)
    english = format_unit(number, unit, "long", locale=SOURCE)
    return english, format_unit(number, unit, "long", locale=TARGET)


def _money(draw: Draw) -> Pair:
    currency, number = str(draw.choice(CURRENCIES.split())), _number(draw)
    english = format_currency(number, currency, locale=SOURCE, format_type="name")
    return english, format_currency(number, currency, locale=TARGET, format_type="name")


def _span(draw: Draw) -> Pair:
    unit = str(draw.choice(["second", "minute", "hour", "day", "week", "month", "year"]))
    number = int(draw.integers(1, 60))
    ahead = 1 if draw.random() < 0.5 else -1
    days = {"week": 7, "month": 30, "year": 365}.get(unit)
    if days:
        step = timedelta(days=days)
    else:
        step = timedelta(**{f"{unit}s": 1})
    length = ahead * number * step
    # The threshold keeps the unit: 59 minutes would else be an hour.
    how = {"granularity": unit, "threshold": 1e9, "add_direction": True}
    english = format_timedelta(length, locale=SOURCE, **how)
    return english, format_timedelta(length, locale=TARGET, **how)


def _places(draw: Draw) -> Pair:
    codes = draw.choice(PLACES.split(), int(draw.integers(2, 5)), replace=False)
    style = "or" if draw.random() < 0.3 else "standard"
    return _listed(codes, style, SOURCE), _listed(codes, style, TARGET)


def _listed(codes: np.ndarray, style: str, language: str) -> str:
    names = Locale(language).territories
    return str(format_list([names[code] for code in codes], style, locale=language))


def _number(draw: Draw) -> float:
    """From 1 to 9,999, with a tenth or without."""
    number = float(10 ** draw.uniform(0, 4))
    if draw.random() < 0.3:
        return round(number, 1)
    return float(round(number))
