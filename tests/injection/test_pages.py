"""Each page that we make, full of texts from an attacker, in a real browser: no script of theirs
runs."""

from __future__ import annotations

import copy
import re
from pathlib import Path

import numpy as np
import pytest

from modelyard.card import comparison, runs
from modelyard.drift.report import write_report
from modelyard.drift.verdict import Verdict, Window, judge
from modelyard.judging.evaluation import Confusion, Picture, Plot, Series
from modelyard.packages.package import Package
from modelyard.serving.page import render as service_page
from modelyard.settings.monitor import MonitorSettings
from modelyard.tuning.report import importance, write_page
from tests.browser import Browser, wait_for
from tests.injection.texts import ALL, LONG, MARKUP
from tests.sampled import sampled
from tests.service.conftest import build
from tests.service.test_takeover import NAME
from tests.unit.card_samples import bare, lineage, render

_DOT = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
PIXEL = f"data:image/png;base64,{_DOT}"

WINDOW = Window(since="2026-01-01T00:00:00+00:00", until="2026-01-02T00:00:00+00:00")
STRICT = {"default-src": "'none'", "base-uri": "'none'", "form-action": "'none'"}


def policy_of(page: str) -> dict[str, str]:
    """The policy of a page; it must stand before anything that the page took from outside."""
    start = re.match(
        r'\s*<!doctype html>\s*<html lang="en">\s*<head>\s*<meta charset="utf-8">\s*'
        r'<meta http-equiv="Content-Security-Policy" content="([^"]*)">',
        page,
        re.IGNORECASE,
    )
    assert start is not None, page[:300]
    return dict(rule.split(" ", 1) for rule in start[1].split("; "))


def is_strict(policy: dict[str, str]) -> None:
    """Nothing is loaded from elsewhere, and only scripts that the policy names by their sums
    run."""
    assert policy.items() >= STRICT.items()
    for source in policy.get("script-src", "").split():
        assert re.fullmatch(r"'sha256-[A-Za-z0-9+/]{43}='", source)
    for name, sources in policy.items():
        assert not re.search(r"https?:|\*|unsafe-eval|'self'", sources), name


def opened(browser: Browser, file: Path) -> None:
    browser.open(file.as_uri())


def nothing_ran(browser: Browser) -> None:
    """No text of ours acted: by itself, when the pointer meets it, or when its element gets the
    focus."""
    browser(
        "for (const node of document.querySelectorAll('*')) {"
        " for (const kind of ['mouseover', 'focus', 'click', 'load', 'error', 'toggle'])"
        " node.dispatchEvent(new Event(kind)); }"
    )
    assert browser("typeof window.stolen") == "undefined"
    assert [line for line in browser.said if line.startswith("dialog")] == []
    attributes = "[...node.attributes].map(one => one.name + one.value)"
    acting = f"[...document.querySelectorAll('*')].flatMap(node => {attributes})"
    names = browser(
        f"{acting}.filter(one => /^on|^(href|src|action|srcdoc)\\s*javascript:/i.test(one))"
    )
    assert names == []


def drifted(folder: Path, before: dict[str, list], after: dict[str, list]) -> tuple[Path, Verdict]:
    settings = MonitorSettings(min_rows=10)
    found = judge(
        before, after, settings, family=MARKUP[0], package=MARKUP[2], digest="d", window=WINDOW
    )
    found = found.model_copy(update={"retrain_reason": MARKUP[0] + MARKUP[2]})
    write_report(folder / "report.html", before, after, found, settings)
    return folder / "report.html", found


def hostile_columns(rows: int) -> tuple[dict[str, list], dict[str, list]]:
    """Columns with hostile names, and one whose categories are hostile; numbers beside them."""
    rng = np.random.default_rng(0)
    before: dict[str, list] = {"number": rng.normal(0, 1, rows).tolist(), "text": ["usual"] * rows}
    after: dict[str, list] = {
        "number": rng.normal(2, 1, rows).tolist(),
        "text": [*ALL] * (rows // len(ALL)),
    }
    before["text"] = before["text"][: len(after["text"])]
    for text in ALL:
        before[text] = rng.normal(0, 1, rows).tolist()
        after[text] = rng.normal(1, 1, rows).tolist()
    return before, after


def test_texts_that_were_sent_to_predict_do_not_act_in_the_drift_report(browser, tmp_path):
    file, verdict = drifted(tmp_path, *hostile_columns(3 * len(ALL)))
    page = file.read_text()
    is_strict(policy_of(page))
    assert len(page) < 12e6
    opened(browser, file)
    wait_for(lambda: browser("document.querySelectorAll('.js-plotly-plot, table').length") > 2)
    nothing_ran(browser)
    assert browser("document.querySelector('h1').textContent")[:9] == "drifted: "
    assert len(verdict.columns) == len(ALL) + 2


def test_the_drift_report_still_draws_under_its_policy(browser, tmp_path):
    file, _ = drifted(tmp_path, *hostile_columns(3 * len(ALL)))
    opened(browser, file)
    wait_for(lambda: browser("document.querySelectorAll('#drawings *').length") > 100)
    wait_for(lambda: "Dataset Drift is detected" in browser("document.body.textContent"))
    assert [
        line for line in browser.said if "Content Security Policy" in line and "eval" not in line
    ] == []


def test_a_script_that_got_into_a_page_by_a_mistake_is_refused_by_its_policy(browser, tmp_path):
    file, _ = drifted(tmp_path, *hostile_columns(3 * len(ALL)))
    hurt = file.read_text().replace(
        "</h1>", "</h1><script>window.stolen=1</script><img src=x onerror=window.stolen=1>"
    )
    (tmp_path / "hurt.html").write_text(hurt)
    opened(browser, tmp_path / "hurt.html")
    assert browser("typeof window.stolen") == "undefined"
    assert any("Content Security Policy" in line for line in browser.said)


def test_too_few_rows_make_a_page_with_a_policy_too(browser, tmp_path):
    file, _ = drifted(tmp_path, {LONG: [1.0] * 9}, {MARKUP[0]: ["a"] * 9})
    is_strict(policy_of(file.read_text()))
    opened(browser, file)
    nothing_ran(browser)


def card_of(text: str) -> str:
    """A card with the text in each of its fields that hold text."""
    plots = [
        Plot(
            kind=kind,
            title=text,
            x_label=text,
            y_label=text,
            caption=text,
            series=[Series(name=text, x=[text, "b"] if kind == "bar" else [1.0, 2.0], y=[1.0, 2.0])]
            * 2,
        )
        for kind in ("line", "bar", "scatter")
    ]
    plots.append(Plot(kind="heatmap", title=text, matrix=[[1.0]], rows=[text], columns=[text]))
    plots.append(Plot(kind="pictures", title=text, pictures=[Picture(url=PIXEL, caption=text)]))
    parts = bare(
        split=text,
        main=text,
        metrics={text: 1.5},
        baseline={text: 2.0},
        directions={text: "min"},
        baseline_name=text,
        notes=[text],
        plots=plots,
        confusion=Confusion(labels=[text, "b"], matrix=[[1, 2], [3, 4]]),
    )
    table = {"title": text, "columns": [text, text], "rows": [[text, 1.0], [text, -1.0]]}
    data = {
        "headline": text,
        "rows": {text: 3},
        "dropped": {text: 1},
        "classes": {text: 3},
        "tables": [table],
        "notes": [text],
        text: text,
    }
    training = {
        "headline": text,
        "curves": {text: {text: [1.0, 0.5]}},
        "importance": table,
        "notes": text,
        text: 3,
    }
    origin = lineage()["0" * 64].model_copy(
        update=dict.fromkeys(
            ("kind", "stage", "run", "created", "code_version", "config_hash", "data_revision"),
            text,
        )
    )
    info = parts["info"].model_copy(
        update={
            "family": text,
            "run": text,
            "title": text,
            "target": text,
            "positive": text,
            "warnings": [text],
            "version": text,
            "created": text,
            "data_revision": text,
            "code_version": text,
            "config": {text: {text: text}},
        }
    )
    reference = {text: [1.0, 2.0], text + "b": [text, None]}
    return render(
        parts, info=info, data=data, training=training, lineage={text: origin}, reference=reference
    )


@pytest.mark.parametrize(
    "text", sampled(ALL, 3), ids=lambda text: text[:24].encode("unicode_escape").decode()
)
def test_no_field_of_a_card_acts(browser, tmp_path, text):
    page = card_of(text)
    is_strict(policy_of(page))
    assert "script-src" not in policy_of(page)
    assert len(page) < 1_500_000
    (tmp_path / "card.html").write_text(page)
    opened(browser, tmp_path / "card.html")
    nothing_ran(browser)
    assert (
        browser("document.querySelectorAll('script, iframe, a, base, object, embed').length") == 0
    )
    assert browser("document.querySelectorAll('section').length") > 5


def test_no_setting_and_no_line_of_a_search_acts_on_its_page(browser, tmp_path):
    for text in ALL:
        plots = [
            Plot(
                kind="scatter",
                title=text,
                x_label=text,
                y_label=text,
                caption=text,
                series=[Series(name=text, x=[text, "b"], y=[1.0, 2.0])] * 2,
            ),
            importance({text: 0.7, "other": 0.3}),
        ]
        page = write_page(tmp_path, text, [text], plots)
        is_strict(policy_of(page.read_text()))
        opened(browser, page)
        nothing_ran(browser)
        assert browser("document.querySelectorAll('script, iframe, a, base').length") == 0, text
        assert browser("document.querySelectorAll('figure').length") == 2


def test_no_text_of_two_packages_acts_where_they_are_compared(browser, tmp_path):
    for text in ALL:
        parts = bare(
            main=text,
            metrics={text: 1.5},
            baseline={text: 2.0},
            directions={text: "min"},
            baseline_name=text,
            plots=[
                Plot(kind="line", title=text, series=[Series(name=text, x=[1.0, 2.0], y=[1.0, 2])])
            ],
        )
        sides = []
        for value in ("one", "two"):
            update = {"run": text, "config": {text: {text: text + value}}, "data_revision": text}
            info = parts["info"].model_copy(update=update)
            training = {"curves": {text: [1.0, 0.5]}}
            sides.append(comparison.Side(text, info, parts["evaluation"], training, {}))
        page = comparison.page(comparison.side_by_side(sides))
        is_strict(policy_of(page))
        (tmp_path / "page.html").write_text(page)
        opened(browser, tmp_path / "page.html")
        nothing_ran(browser)
        assert browser("document.querySelectorAll('script, iframe, a, base').length") == 0, text
        assert browser("document.querySelectorAll('figure').length") == 2


def test_no_text_of_a_run_and_no_script_in_a_card_acts_on_the_page_of_all_runs(browser, tmp_path):
    hurt = "<script>window.stolen = top.stolen = 1</script><img src=x onerror=top.stolen=1>"
    rows = [
        runs.RunRow(text, text, text, text, text, 1.0, text, text, 1.0, 2.0, card=hurt + text)
        for text in ALL
    ]
    page = runs.page(rows)
    is_strict(policy_of(page))
    (tmp_path / "runs.html").write_text(page)
    opened(browser, tmp_path / "runs.html")
    for number in range(len(rows)):
        browser(f"document.querySelectorAll('button.card')[{number}].click()")
    wait_for(lambda: browser("document.querySelectorAll('iframe').length") == len(rows))
    nothing_ran(browser)


@pytest.fixture(scope="module")
def package(tmp_path_factory) -> Package:
    return Package(build(tmp_path_factory.mktemp("served"), NAME))


@pytest.mark.parametrize(
    "text", sampled(ALL, 3), ids=lambda text: text[:24].encode("unicode_escape").decode()
)
def test_no_field_of_a_package_acts_on_the_page_of_its_service(package, browser, tmp_path, text):
    hostile = dict.fromkeys(("title", "target", "positive", "run", "created"), text)
    uri = {"data": {"uri": text}}
    update = hostile | {"warnings": [text], "config": package.info.config | uri}
    hurt = copy.copy(package)
    hurt.info = package.info.model_copy(update=update)
    page = service_page(hurt, explains=True, streams=True).at(text)
    (tmp_path / "page.html").write_text(page)
    opened(browser, tmp_path / "page.html")
    nothing_ran(browser)
    assert browser("document.querySelectorAll('script').length") == 2
    assert browser("document.querySelectorAll('p.warning').length") == 1
