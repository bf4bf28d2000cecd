"""The built-in tables: two real ones from scikit-learn, and simulated card transactions."""

from __future__ import annotations

import csv
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from modelyard.families.tabular.config import TabularFeatures

TARGETS: Mapping[str, str] = {
    "breast_cancer": "diagnosis",
    "diabetes": "progression",
    "fraud": "fraud",
}
"""What each built-in table is asked to predict."""

FILE = "data.csv"
CATEGORIES = (
    "groceries",
    "restaurant",
    "fuel",
    "travel",
    "electronics",
    "jewellery",
    "gambling",
    "clothing",
)
COUNTRIES = ("DE", "FR", "NL", "AT", "PL", "US", "BR", "NG")

_USUAL_CATEGORY = np.array([0.3, 0.2, 0.13, 0.08, 0.1, 0.03, 0.04, 0.12])
_USUAL_COUNTRY = np.array([0.5, 0.14, 0.1, 0.09, 0.08, 0.05, 0.02, 0.02])
_SHIFTED_COUNTRY = np.array([0.2, 0.1, 0.1, 0.08, 0.12, 0.2, 0.1, 0.1])
_MEAN_LOG_AMOUNT = np.array([3.3, 3.4, 3.9, 5.2, 5.0, 5.4, 4.0, 4.0])
_SHOPS: Mapping[str, tuple[str, ...]] = {
    "groceries": (
        "corner market",
        "fresh food store",
        "weekly farmers market",
        "organic supermarket",
    ),
    "restaurant": ("pizza delivery", "noodle bar downtown", "coffee house", "family diner"),
    "fuel": ("motorway petrol station", "city fuel stop", "charging point"),
    "travel": ("airline tickets", "railway booking", "hotel reservation", "car rental"),
    "electronics": ("phone outlet", "computer parts online", "camera store", "gift card kiosk"),
    "jewellery": ("gold and watches", "diamond broker", "silver workshop"),
    "gambling": ("lucky star casino", "sports betting online", "crypto exchange instant"),
    "clothing": ("shoe shop", "fashion outlet", "sports wear store"),
}
_RISKY = re.compile("gift|crypto|instant|broker")
_TRAITS = (
    "branch north",
    "branch south",
    "branch centre",
    "express",
    "partner shop",
    "seasonal offer",
    "",
)
_INTERCEPT = -8.2


def write_sample(raw: Path, settings: TabularFeatures, seed: int) -> None:
    """Writes `raw/data.csv` of `settings.sample`."""
    if settings.sample == "fraud":
        columns = fraud(settings.sample_rows, settings.sample_drift, seed)
    elif settings.sample == "breast_cancer":
        columns = breast_cancer()
    else:
        columns = diabetes()
    raw.mkdir(parents=True, exist_ok=True)
    with (raw / FILE).open("w", newline="", encoding="utf-8") as stream:
        writer = csv.writer(stream, lineterminator="\n")
        writer.writerow(columns)
        writer.writerows(zip(*columns.values(), strict=True))


def breast_cancer() -> dict[str, Sequence[Any]]:
    """569 tumours: 30 measures of cell nuclei; malignant or benign (Street, Wolberg and
    Mangasarian 1993)."""
    from sklearn.datasets import load_breast_cancer

    data = load_breast_cancer()
    names = [str(name).replace(" ", "_") for name in data.feature_names]
    columns = {name: data.data[:, index].tolist() for index, name in enumerate(names)}
    return {**columns, "diagnosis": [str(data.target_names[code]) for code in data.target]}


def diabetes() -> dict[str, Sequence[Any]]:
    """442 patients: ten measures in their own units; disease progression after a year (Efron et
    al. 2004)."""
    from sklearn.datasets import load_diabetes

    data = load_diabetes(scaled=False)
    names = (
        "age",
        "sex",
        "body_mass_index",
        "blood_pressure",
        "total_cholesterol",
        "low_density_lipoproteins",
        "high_density_lipoproteins",
        "cholesterol_ratio",
        "log_triglycerides",
        "blood_sugar",
    )
    columns = {name: np.round(data.data[:, index], 6).tolist() for index, name in enumerate(names)}
    return {**columns, "progression": data.target.tolist()}


def fraud(rows: int, drift: float, seed: int) -> dict[str, Sequence[Any]]:
    """Simulated card transactions, about 2.5 % of them fraud, by a rule of interactions with noise.

    With `drift` towards 1 its columns move: larger amounts, other countries, later
    hours, longer distances, busier cards, more online. The rule stays, so the share of fraud moves
    with them.
    """
    r = np.random.default_rng([seed, 7919])
    category = r.choice(len(CATEGORIES), rows, p=_USUAL_CATEGORY)
    country = r.choice(
        len(COUNTRIES), rows, p=(1 - drift) * _USUAL_COUNTRY + drift * _SHIFTED_COUNTRY
    )
    amount = np.exp(r.normal(_MEAN_LOG_AMOUNT[category] + 0.8 * drift, 0.8))
    hour = np.clip(r.beta(3.2, 2.4 - drift, rows) * 24, 0, 23.999)
    hour = np.where(r.random(rows) < 0.06 + 0.15 * drift, r.uniform(0, 5, rows), hour)
    online = r.random(rows) < 0.3 + 0.25 * drift
    distance = np.exp(r.normal(1.6 + 1.2 * drift + 1.5 * (country > 0), 1.1))
    age = np.floor(r.gamma(1.6, 550, rows)) + 1
    recent = r.poisson(0.5 + 1.2 * drift, rows) + (r.random(rows) < 0.04) * r.poisson(5, rows)
    merchant = _merchants(r, category)
    fraudulent = r.random(rows) < _chance(
        amount, hour, category, country, online, distance, age, recent, merchant
    )
    hidden = np.where(online, r.random(rows) < 0.6, r.random(rows) < 0.02)
    unknown_age = r.random(rows) < 0.03
    return {
        "timestamp": _timestamps(r, hour),
        "amount": np.round(amount, 2).tolist(),
        "merchant_category": [CATEGORIES[code] for code in category],
        "merchant": merchant,
        "country": [COUNTRIES[code] for code in country],
        "online": ["true" if flag else "false" for flag in online],
        "distance_from_home_km": _with_gaps(np.round(distance, 1), hidden),
        "card_age_days": _with_gaps(age.astype(np.int64), unknown_age),
        "transactions_last_hour": recent.tolist(),
        "fraud": ["yes" if flag else "no" for flag in fraudulent],
    }


def _with_gaps(values: np.ndarray, gaps: np.ndarray) -> list[Any]:
    """Cells as a file has them: empty where `gaps`, bool (rows,)."""
    cells: list[Any] = values.tolist()
    for row in np.flatnonzero(gaps):
        cells[row] = ""
    return cells


def _chance(
    amount: np.ndarray,
    hour: np.ndarray,
    category: np.ndarray,
    country: np.ndarray,
    online: np.ndarray,
    distance: np.ndarray,
    age: np.ndarray,
    recent: np.ndarray,
    merchant: list[str],
) -> np.ndarray:
    """Probability of fraud: few of these matter alone, most of them in pairs."""
    night = (hour < 5) | (hour > 23)
    dear = np.log(amount) - _MEAN_LOG_AMOUNT[category] > 1.0
    risky = np.array([_RISKY.search(name) is not None for name in merchant])
    far = (np.log(distance) > 3.5) & ~online
    logit = (
        _INTERCEPT
        + 8.2 * (dear & night)
        + 7.4 * (online & (age < 60))
        + 8.0 * ((recent >= 4) & (amount < 40))
        + 7.0 * (risky & (online | night) & dear)
        + 8.0 * (far & (country >= 5))
        + 0.6 * dear
        + 0.4 * np.log1p(recent)
    )
    return np.asarray(1 / (1 + np.exp(-logit)))


def _merchants(r: np.random.Generator, category: np.ndarray) -> list[str]:
    """A shop of the category with a trait and a number of its own, in free words."""
    shop = r.random(len(category))
    trait = r.integers(len(_TRAITS), size=len(category))
    number = r.integers(10, 99)
    names = []
    for row, code in enumerate(category):
        shops = _SHOPS[CATEGORIES[code]]
        name = f"{shops[int(shop[row] * len(shops))]} {_TRAITS[trait[row]]} {number + row % 40}"
        names.append(" ".join(name.split()))
    return names


def _timestamps(r: np.random.Generator, hour: np.ndarray) -> list[str]:
    """Times of day spread over the year 2025, in the order of the rows."""
    day = np.sort(r.integers(0, 365, len(hour)))
    seconds = (hour * 3600).astype(np.int64)
    times = np.datetime64("2025-01-01", "s") + day * np.timedelta64(86_400, "s") + seconds
    return [str(time) for time in times]
