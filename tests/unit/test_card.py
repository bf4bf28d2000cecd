"""The card: complete, self-contained, safe with any text, and the same bytes each time."""

from __future__ import annotations

import importlib.util
import json
import os
import re
import subprocess
import sys
import time
from collections import Counter
from itertools import pairwise
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
import pytest
from card_samples import CARDS, Page, bare, binary, lineage, page, render

from modelyard.card import text
from modelyard.errors import MissingExtra
from modelyard.judging.evaluation import Confusion, Plot, Roc, Series, Table
from tests.toy.family import LineConfig

EVIL = "\"'><script>alert(1)</script><img src=x onerror=alert(1)></style></svg>{{ 7*7 }}&lt;$a_b$\x00\x0b\ud800"
VISIBLE = text.clean(EVIL)

every_card = pytest.mark.parametrize("name", CARDS)


@every_card
def test_every_metric_stands_beside_its_baseline(name: str) -> None:
    seen, evaluation = page(name)[1].text, CARDS[name]()["evaluation"]
    for metric, value in evaluation.metrics.items():
        assert f"{metric} " in seen
        assert f" {value:.4f} " in seen or f" {value:,.2f} " in seen
        if metric in evaluation.baseline:
            row = seen[seen.index(f"{metric} ", seen.index("difference better")) :][:90]
            assert text.number(value) + " " + text.number(evaluation.baseline[metric]) in row


def test_differences_say_which_way_and_whether_it_is_better() -> None:
    parts = bare(
        metrics={"mae": 1.5, "r2": 0.25},
        baseline={"mae": 2.0, "r2": 0.5},
        directions={"mae": "min", "r2": "max"},
    )
    html = render(parts)
    assert '<td class="n good">−0.5000</td>' in html
    assert '<td class="n bad">−0.2500</td>' in html
    assert 'mean (<span class="good">−0.5000</span>)' in html


def test_tables_of_an_evaluation_are_shown_as_text() -> None:
    rows: list[list[str | float]] = [
        [f"the <b>worst</b> {EVIL}", "spam", 0.0123],
        ["قطة", "ham", 0.5],
    ]
    table = Table(title="Hardest texts", columns=["text", "label", "probability"], rows=rows)
    html = render(bare(tables=[table]))
    assert "Hardest texts" in html
    assert "&lt;b&gt;worst" in html
    assert html.index("worst") < html.index('<td dir="auto">قطة</td>')
    assert "<script>alert" not in html


@every_card
def test_the_page_needs_nothing_from_outside(name: str) -> None:
    html, seen = page(name)
    tags = {tag for tag, _ in seen.elements}
    assert not tags & {
        "script",
        "link",
        "img",
        "iframe",
        "object",
        "embed",
        "base",
        "form",
        "a",
        "use",
        "image",
    }
    for tag, attributes in seen.elements:
        for attribute, value in attributes.items():
            assert not attribute.startswith("on"), (tag, attribute)
            assert attribute not in ("src", "href", "xlink:href", "action"), tag
            assert "http" not in value.replace("http-equiv", "") or tag == "meta"
    assert not re.search(r"url\((?!#)|@import|expression\(", html)
    assert seen.all("meta")[1]["content"] == (
        "default-src 'none'; style-src 'unsafe-inline'; img-src data:; base-uri 'none'; form-action 'none'"
    )


@every_card
def test_ids_are_unique_and_references_lead_to_them(name: str) -> None:
    html, seen = page(name)
    ids = Counter(attributes["id"] for _, attributes in seen.elements if "id" in attributes)
    assert all(count == 1 for count in ids.values()), ids
    used = set(re.findall(r"url\(#([^)]+)\)", html))
    assert used
    assert used <= set(ids)


@every_card
def test_every_figure_has_a_caption_and_a_text_alternative(name: str) -> None:
    _, seen = page(name)
    drawn = [attributes for attributes in seen.all("svg") if attributes.get("class") == "plot"]
    assert drawn
    assert all(
        attributes["role"] == "img" and len(attributes["aria-label"]) > 10 for attributes in drawn
    )
    assert len(seen.all("figure")) == len(seen.all("figcaption")) > 0


def test_hostile_names_stay_text() -> None:
    series = [
        Series(name=EVIL, x=[EVIL, "b"], y=[1.0, 2.0]),
        Series(name="other", x=[EVIL, "b"], y=[2.0, 1.0]),
    ]
    parts = bare(
        notes=[EVIL],
        baseline_name=EVIL,
        confusion=Confusion(labels=[EVIL, "b", "c"], matrix=[[1, 2, 0]] * 3),
        plots=[
            Plot(kind=kind, title=EVIL, x_label=EVIL, y_label=EVIL, caption=EVIL, series=series)
            for kind in ("line", "bar", "scatter")
        ]
        + [Plot(kind="heatmap", title=EVIL, matrix=[[1.0]], rows=[EVIL], columns=[EVIL])],
    )
    table = {"title": EVIL, "columns": [EVIL, EVIL], "rows": [[EVIL, 1.0], [EVIL, -1.0]]}
    data = {
        "headline": EVIL,
        "rows": {EVIL: 3},
        "dropped": {EVIL: 1},
        "classes": {EVIL: 3},
        "tables": [table],
        "notes": [EVIL],
        EVIL: EVIL,
    }
    training = {
        "headline": EVIL,
        "curves": {EVIL: {EVIL: [1.0, 0.5]}},
        "importance": table,
        "notes": EVIL,
        EVIL: 3,
    }
    origin = lineage()["0" * 64].model_copy(
        update=dict.fromkeys(("kind", "stage", "run", "created"), EVIL)
    )
    info = parts["info"].model_copy(
        update={
            "family": "no" + EVIL,
            "run": EVIL,
            "title": EVIL,
            "config": {EVIL: {EVIL: EVIL}},
            "data_revision": EVIL,
        }
    )
    reference = {EVIL: [1.0, 2.0], EVIL + "b": [EVIL, None]}
    html = render(
        parts, info=info, data=data, training=training, lineage={EVIL: origin}, reference=reference
    )
    seen = Page(html)
    assert not seen.all("script")
    assert not seen.all("img")
    assert len(seen.all("style")) == 1
    assert not [attributes for _, attributes in seen.elements if "onerror" in attributes]
    assert seen.text.count("alert(1)") > 30
    assert VISIBLE[:40] in seen.text
    assert "{{ 7*7 }}" in seen.text
    assert "\x00" not in html
    assert html.encode()


def test_the_same_arguments_give_the_same_bytes_whatever_the_process_did() -> None:
    parts, before = binary(), page("binary")[0]
    with mpl.rc_context({"lines.linewidth": 9, "font.size": 30, "svg.fonttype": "path"}):
        assert render(parts) == before
        assert mpl.rcParams["lines.linewidth"] == 9
    script = """
import json, sys
from modelyard.store.artifact import Origin
from modelyard.card import render
from modelyard.judging.evaluation import Evaluation
from modelyard.packages.package import PackageInfo
sys.path.insert(0, ".")
given = json.load(sys.stdin)
lineage = {digest: Origin(**origin) for digest, origin in given["lineage"].items()}
fields = {name: given[name] for name in ("data", "training", "reference")}
html = render(PackageInfo(**given["info"]), Evaluation(**given["evaluation"]), lineage=lineage, **fields)
sys.stdout.buffer.write(html.encode())
"""
    given = {name: parts[name] for name in ("data", "training", "reference")}
    given |= {name: parts[name].model_dump(mode="json") for name in ("info", "evaluation")}
    given["lineage"] = {digest: origin.model_dump() for digest, origin in parts["lineage"].items()}
    other = subprocess.run(
        [sys.executable, "-c", script],
        input=json.dumps(given).encode(),
        capture_output=True,
        check=True,
        cwd=Path(__file__).parents[2],
        env=os.environ | {"PYTHONHASHSEED": "7"},
    )
    assert other.stdout.decode() == before


def test_sections_go_with_what_they_tell() -> None:
    seen = Page(render(bare()))
    assert seen.headings == [
        "Metrics",
        "Variants",
        "Drift reference",
        "Settings",
        "Lineage",
        "Next",
    ]
    assert page("binary")[1].headings == [
        "Metrics",
        "Behaviour",
        "Training",
        "Data",
        "Variants",
        "Drift reference",
        "Settings",
        "Lineage",
        "Next",
    ]
    assert not seen.all("figure")


def full(share: float) -> tuple[dict, dict, dict]:
    """Parts of a card with many points, its reference columns and a table; or a share of them."""
    rng = np.random.default_rng(0)

    def drawn(count: int) -> list[float]:
        return rng.normal(size=int(count * share)).tolist()

    walk = [
        Series(
            name=f"line {i}",
            x=list(range(int(20_000 * share))),
            y=np.cumsum(drawn(20_000)).tolist(),
        )
        for i in range(3)
    ]
    cloud = Series(name="cloud", x=drawn(9_000), y=drawn(9_000))
    field = [drawn(200) for _ in range(int(300 * share))]
    classes = [f"class {i}" for i in range(int(300 * share))]
    bars = Series(name="a", x=classes, y=[1.0] * len(classes))
    parts = bare(
        plots=[
            Plot(kind="line", title="walks", series=walk),
            Plot(kind="scatter", title="cloud", series=[cloud, cloud]),
            Plot(kind="heatmap", title="field", matrix=field),
            Plot(kind="bar", title="many", series=[bars]),
            Plot(kind="histogram", title="values", series=[Series(name="a", x=cloud.x, y=[])]),
        ]
    )
    reference = {f"column {i}": drawn(2_000) for i in range(40)}
    rows = [[f"row {i}", i] for i in range(int(60_000 * share))]
    return parts, reference, {"tables": [{"title": "rows", "columns": ["a", "b"], "rows": rows}]}


def test_a_full_card_is_small_and_quick() -> None:
    def seconds(share: float) -> tuple[float, str]:
        parts, reference, data = full(share)
        start = time.thread_time()
        html = render(parts, reference=reference, data=data)
        return time.thread_time() - start, html

    seconds(0.1)  # imports, fonts
    tenth, _ = seconds(0.1)
    whole, html = seconds(1.0)
    assert whole < 6 * tenth  # ten times the points: they are thinned before they are drawn
    assert len(html.encode()) < 900_000
    seen = Page(html).text
    for note in (
        "24 of 40 columns shown",
        "1,000 of 9,000 points",
        "means of blocks",
        "first 30 of 300",
        "5,000 of 60,000 rows",
    ):
        assert note in seen


def test_long_values_are_cut_and_told_in_full() -> None:
    path = "s3://bucket/" + "very/long/" * 20
    html = render(
        bare(), data={"notes": [], "source": path, "tables": [{"columns": ["a"], "rows": [[path]]}]}
    )
    seen = Page(html)
    assert path not in seen.text
    assert path[:50] in seen.text
    assert [a.get("title") for _, a in seen.elements].count(path) == 2


def test_settings_other_than_the_defaults_stand_first() -> None:
    html, seen = page("binary")
    table = re.search(r'<table class="changed">.*?</table>', html, flags=re.DOTALL)[0]
    assert table.count("<tr>") == 2
    assert "seed" in table
    assert '<td class="muted">0</td>' in table
    assert html.index(table) < html.index("<summary>All settings</summary>")
    assert 'title="Points of the built-in data."' in html
    assert "learning_rate 0.001" in seen.text


def test_settings_that_are_all_defaults_are_said_to_be_and_of_an_unknown_family_are_not() -> None:
    config = LineConfig().model_dump(mode="json")
    usual = render(binary(), info=binary()["info"].model_copy(update={"config": config}))
    assert "All are the family's defaults" in usual
    unknown = render(binary(), info=binary()["info"].model_copy(update={"family": "nowhere"}))
    assert "All are the family's defaults" not in unknown
    assert '<table class="changed">' not in unknown


def test_a_gate_that_is_not_met_says_so_with_its_numbers() -> None:
    parts = bare(metrics={"mae": 2.5})
    seen = Page(render(parts)).text
    assert "Gate not met" in seen
    assert "Gate passed" not in seen
    assert "mae = 2.5 on the test split (9 rows): it must beat the baseline (mean, 2)" in seen
    assert "Gate passed" in page("binary")[1].text


def test_lineage_runs_from_the_data_to_the_package_with_its_time() -> None:
    shuffled = dict(reversed(binary()["lineage"].items()))
    seen = Page(render(binary(), lineage=shuffled)).text
    chain = seen[seen.index("Lineage") :]
    places = [
        chain.index(step)
        for step in ("dataset", "0" * 12, "features", "1" * 12, "model", "2" * 12, "package")
    ]
    assert all(one < two for one, two in pairwise(places))
    assert "1 min 20 s of work in all" in chain
    assert "1 min 18 s" in chain


def test_variants_are_held_against_the_native_model() -> None:
    seen = page("binary")[1].text
    row = seen[seen.index("onnx-fp32 chosen") :][:80]
    assert "8.2 kB – 0.0413 ms 9.98×" in row
    assert "0.9928 −0.0012 3.1e-07" in row


def test_a_confusion_matrix_tells_counts_and_shares_of_the_actual_class() -> None:
    seen = Page(
        render(bare(confusion=Confusion(labels=["a", "b"], matrix=[[30, 10], [0, 5]])))
    ).text
    assert "a 30 75.0% 10 25.0% 40 b 0 5 100% 5" in seen
    matrix = (np.eye(20, dtype=int) * 50).tolist()
    matrix[3][7] = 25
    many = Page(
        render(bare(confusion=Confusion(labels=[f"class {i}" for i in range(20)], matrix=matrix)))
    ).text
    assert "class 3 class 7 25 33.3%" in many
    assert "actual \\ predicted" not in many


def test_roc_is_drawn_once() -> None:
    curve = Roc(false_positive_rate=[0.1], true_positive_rate=[0.8], thresholds=[0.5])
    plot = Plot(kind="line", title="ROC", series=[Series(name="a", x=[0.0, 1.0], y=[0.0, 1.0])])
    assert len(Page(render(bare(roc=curve))).all("figure")) == 1
    assert len(Page(render(bare(roc=curve, plots=[plot]))).all("figure")) == 1


def test_watched_columns_tell_range_categories_and_gaps() -> None:
    seen = Page(
        render(
            bare(),
            reference={"x": [1.0, 2.0, 9.0, None], "city": ["a", "b", "b", "b"], "void": [None]},
        )
    ).text
    assert "x 1 to 9, median 2, 25.0% missing" in seen
    assert "city b 75.0% a 25.0% 2 categories" in seen
    assert "void no values" in seen


def test_without_its_libraries_the_card_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(MissingExtra, match=r"pip install 'modelyard\[card\]'"):
        render(bare())


def test_the_card_says_what_is_predicted_from_which_file_and_which_class_is_positive() -> None:
    config = {"data": {"uri": "s3://bucket/2026/customers.csv"}}
    info = binary()["info"].model_copy(
        update={"config": config, "target": "churned", "positive": "yes"}
    )
    html = render(binary(), info=info)
    assert "<h1>churned from customers.csv</h1>" in html
    assert "positive class: yes" in Page(html).text
    assert "<title>churned from customers.csv: " in html


def test_columns_that_were_left_out_are_no_rows_that_were_dropped() -> None:
    data = {
        "rows": {"train": 6},
        "dropped": {"without y": 2, "columns: constant": 3},
        "left_out": ["a", "b", "c"],
    }
    html = render(binary(), data=data)
    assert "without y" in html
    assert "columns: constant" not in html


def test_a_fact_that_says_nothing_is_not_shown() -> None:
    data = {"rows": {"train": 6}, "side": 48, "odd_one": ""}
    text = Page(render(binary(), data=data)).text
    assert "side" in text
    assert "odd one" not in text


def test_warnings_stand_next_to_the_headline_and_notes_further_down() -> None:
    info = binary()["info"].model_copy(update={"warnings": ["54 test rows are copies"]})
    html = render(binary(), info=info, data={"notes": ["a note"]})
    assert html.index("54 test rows are copies") < html.index("<h2>Metrics</h2>")
    assert html.index("a note") > html.index("<h2>Metrics</h2>")
    assert "Before you trust the figures" not in render(binary(), data={"notes": ["a note"]})


@pytest.mark.parametrize(
    ("config", "name"),
    [
        ({}, "tests-toy-family-line"),
        ({"data": {"uri": "s3://b/My Orders.csv"}}, "tests-toy-family-line-my-orders"),
        ({"data": {"uri": "x.csv"}, "registry": {"name": "mine"}}, "mine"),
    ],
)
def test_what_to_type_next_is_about_the_name_that_it_is_registered_under(
    config: dict[str, Any], name: str
) -> None:
    info = binary()["info"].model_copy(update={"config": config})
    text = Page(render(binary(), info=info)).text
    assert f"modelyard serve {name} --family tests.toy.family:Line" in text
    assert f"modelyard explain {name}" in text


def test_other_simple_answers_stand_next_to_the_baseline() -> None:
    evaluation = binary()["evaluation"].model_copy(update={"rivals": {"the <b>": 0.4321}})
    text = Page(render(binary(), evaluation=evaluation)).text
    assert "the <b>: 0.4321" in text
