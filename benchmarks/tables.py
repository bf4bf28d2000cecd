"""The family `tabular` with its default settings against plain models of four libraries, on six real
tables and ten divisions of each.

Every model sees the same rows: modelyard's training and validation rows together train the plain
ones, with their libraries' own defaults; the test rows judge all. Nothing was chosen by them.

    python benchmarks/tables.py            # writes docs/tables.md, about half an hour on two cores
    python benchmarks/tables.py wine 2     # prints one table on two divisions

On a busy machine OMP_NUM_THREADS=1 is faster: threads of small models wait for each other longer than they work.

Two of the tables come with statsmodels: `uv pip install --target /tmp/statsmodels --no-deps statsmodels
patsy`, and PYTHONPATH=/tmp/statsmodels in front.
"""

from __future__ import annotations

import shutil
import sys
import tempfile
import time
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from lightgbm import LGBMClassifier, LGBMRegressor
from sklearn import datasets
from sklearn.ensemble import (
    HistGradientBoostingClassifier,
    HistGradientBoostingRegressor,
    RandomForestClassifier,
    RandomForestRegressor,
)
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.metrics import average_precision_score, f1_score, mean_absolute_error, roc_auc_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from modelyard.families.tabular.config import TabularConfig
from modelyard.families.tabular.family import Tabular
from modelyard.families.tabular.host import TabularHost
from modelyard.families.tabular.schema import TableSchema
from modelyard.families.tabular.table import load_split
from modelyard.training.loop import Trainer

TARGET = "target"
DIVISIONS = range(200, 210)
"""Seeds of the divisions: none of them was looked at while defaults were chosen."""
PAGE = Path(__file__).parents[1] / "docs" / "tables.md"

PLAIN: dict[str, tuple[Callable[[], Any], Callable[[], Any]]] = {
    "LightGBM": (lambda: LGBMClassifier(verbose=-1), lambda: LGBMRegressor(verbose=-1)),
    "HistGradientBoosting": (HistGradientBoostingClassifier, HistGradientBoostingRegressor),
    "random forest": (RandomForestClassifier, RandomForestRegressor),
    "scaled logistic or ridge": (
        lambda: make_pipeline(StandardScaler(), LogisticRegression(max_iter=2_000)),
        lambda: make_pipeline(StandardScaler(), Ridge()),
    ),
}
"""Classifier and regressor by name."""
OURS = "modelyard"


def sklearn_table(name: str) -> pd.DataFrame:
    """A table that scikit-learn ships; classes by name."""
    data = getattr(datasets, f"load_{name}")(as_frame=True)
    frame = data.data.copy()
    frame[TARGET] = data.target
    if name != "diabetes":
        frame[TARGET] = [f"class {code}" for code in data.target]
    return frame


def affairs() -> pd.DataFrame:
    """Fair's survey of 6,366 marriages (1978): whether there was an affair."""
    from statsmodels.datasets import fair

    data = fair.load_pandas().data
    frame = data.drop(columns="affairs")
    frame[TARGET] = np.where(data["affairs"] > 0, "yes", "no")
    return frame


def districts() -> pd.DataFrame:
    """303 Californian school districts in 1998: the share of pupils above the national median in
    mathematics, in per cent."""
    from statsmodels.datasets import star98

    data = star98.load_pandas().data
    frame = data.drop(columns=["NABOVE", "NBELOW"])
    frame[TARGET] = 100 * data["NABOVE"] / (data["NABOVE"] + data["NBELOW"])
    return frame


TABLES: dict[str, Callable[[], pd.DataFrame]] = {
    "breast_cancer": lambda: sklearn_table("breast_cancer"),
    "wine": lambda: sklearn_table("wine"),
    "digits": lambda: sklearn_table("digits"),
    "diabetes": lambda: sklearn_table("diabetes"),
    "affairs": affairs,
    "districts": districts,
}


@dataclass(frozen=True)
class Result:
    """Models on one division."""

    metric: str
    values: dict[str, float]
    kind: str
    """What modelyard chose."""
    seconds: float
    """Its training."""


def judged(table: pd.DataFrame, seed: int) -> Result:
    """All models on one division of a table."""
    config = TabularConfig.model_validate(
        {
            "seed": seed,
            "data": {"uri": "table.csv", "split_seed": seed},
            "features": {"target": TARGET, "split": "random"},
        }
    )
    family = Tabular(config)
    with tempfile.TemporaryDirectory() as folder:
        raw, features, model = (Path(folder) / name for name in ("raw", "features", "model"))
        raw.mkdir()
        features.mkdir()
        table.to_csv(raw / "table.csv", index=False)
        family.features(raw, features)
        shutil.copytree(features / "assets", model / "assets")
        start = time.perf_counter()
        card = family.fit(features, model, Trainer(seed, config.training))
        seconds = time.perf_counter() - start
        found = family.evaluate(TabularHost(model / "assets"), family.native(model), features)
        values = {OURS: found.metrics[found.main]} | plain(features, found.main, seed)
    return Result(found.main, values, card["headline"].split(",")[0], seconds)


def plain(features: Path, metric: str, seed: int) -> dict[str, float]:
    """The four plain models on the rows of a features folder."""
    classes = TableSchema.load(features / "assets").classes
    splits = [load_split(features, split) for split in ("train", "validation")]
    x, y = (np.concatenate(parts) for parts in zip(*splits, strict=True))
    x_test, y_test = load_split(features, "test")
    values = {}
    for name, (classifier, regressor) in PLAIN.items():
        model = (classifier if classes else regressor)()
        if "random_state" in model.get_params():
            model.set_params(random_state=seed)
        model.fit(x, y)
        if classes is None:
            values[name] = float(mean_absolute_error(y_test, model.predict(x_test)))
            continue
        p = model.predict_proba(x_test)
        if metric == "macro_f1":
            values[name] = float(f1_score(y_test, p.argmax(axis=1), average="macro"))
        else:
            score = roc_auc_score if metric == "roc_auc" else average_precision_score
            values[name] = float(score(y_test, p[:, 1]))
    return values


def gain(results: list[Result], best: str) -> tuple[float, float]:
    """How much better modelyard is than `best`, and the half width of its 95 % interval.

    The divisions share rows, so their differences are not independent: the variance is corrected
    for it (Nadeau and Bengio 2003), with a quarter as many test rows as training rows.
    """
    from scipy.stats import t

    sign = -1 if results[0].metric == "mae" else 1
    differences = [sign * (one.values[OURS] - one.values[best]) for one in results]
    count = len(differences)
    deviation = float(np.std(differences, ddof=1)) * np.sqrt(1 / count + 1 / 4)
    return float(np.mean(differences)), float(t.ppf(0.975, count - 1) * deviation)


def lines(name: str, table: pd.DataFrame, results: list[Result]) -> Iterator[str]:
    """A row of the page for one table."""
    metric = results[0].metric
    means = {
        model: float(np.mean([one.values[model] for one in results])) for model in results[0].values
    }
    pick = min if metric == "mae" else max
    best = pick(PLAIN, key=lambda model: means[model])
    value, half = gain(results, best)
    # The same model in float32 may rank two rows otherwise: that is no difference.
    value = round(value, 4) + 0.0
    verdict = "at least as good" if value >= 0 else "within the interval"
    if value < -half:
        verdict = "worse"
    kinds = [one.kind for one in results]
    chosen = ", ".join(f"{kind} {kinds.count(kind)}" for kind in dict.fromkeys(kinds))
    cells = [f"{means[model]:.4f}" for model in (OURS, *PLAIN)]
    seconds = np.median([one.seconds for one in results])
    yield (
        f"| {name} | {len(table):,} x {table.shape[1] - 1} | {metric} | {' | '.join(cells)} | "
        f"{best}: {value:+.4f} ± {half:.4f}, {verdict} | {chosen} | {seconds:.1f} s |"
    )


def main(names: list[str], divisions: range) -> str:
    """The rows of the page, printed as they come."""
    rows = []
    for name in names:
        table = TABLES[name]()
        results = [judged(table, seed) for seed in divisions]
        for line in lines(name, table, results):
            print(line, flush=True)
            rows.append(line)
    return "\n".join(rows)


HEAD = f"""# Real tables

Written by `python benchmarks/tables.py`. The defaults of `modelyard run tabular` against plain models with their
libraries' defaults on the same rows: means over {len(DIVISIONS)} divisions (80 % of the rows to learn from, 20 % to
judge by). modelyard's part of the rows for choosing threshold, calibration and the number of trees is within the 80 %.
"Gain" is over the best of the four plain models, which is known only afterwards, in the metric's unit (above 0
modelyard is better), with a 95 % interval corrected for divisions that share rows (Nadeau and Bengio 2003).
`mae` is better the smaller. These divisions chose no default; other divisions of the same tables were looked at when
the rule for choosing a kind was found. A gain of 0 is the same model, chosen without knowing the test rows.

| table | rows x columns | metric | {" | ".join([OURS, *PLAIN])} | gain over the best | chosen (times) | training |
|---|---|---|{"---|" * (len(PLAIN) + 1)}---|---|---|
"""

if __name__ == "__main__":
    warnings.filterwarnings("ignore")
    if len(sys.argv) > 1:
        some = range(DIVISIONS.start, DIVISIONS.start + int(sys.argv[2] if sys.argv[2:] else 10))
        main(sys.argv[1].split(","), some)
    else:
        # What benchmarks/stacking.py wrote stays.
        _, heading, rest = PAGE.read_text().partition("\n## ")
        PAGE.write_text(HEAD + main(list(TABLES), DIVISIONS) + "\n" + heading + rest)
