"""What MLflow is given of a hostile run: files that do not act, names that stay inside, texts
that it can hold."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest

from modelyard.judging.evaluation import Evaluation, judge
from modelyard.registry import versions as registry
from modelyard.registry.tracking import client, track
from modelyard.settings.family import GateSettings
from modelyard.stages.run import Run
from modelyard.store import artifact
from tests.injection.test_pages import card_of, is_strict, nothing_ran, opened, policy_of
from tests.injection.texts import CONTROLS, LONG, MARKUP, PATHS
from tests.toy.build import LINE, build

SOME = (MARKUP[0], MARKUP[9], CONTROLS[0], PATHS[0], PATHS[2], PATHS[3], LONG)
"""A script, an address, a header, a path upwards in two ways, a bare `..`, and a megabyte."""


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    folder = tmp_path_factory.mktemp("home")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MODELYARD_HOME", str(folder))
        patch.delenv("MLFLOW_TRACKING_URI", raising=False)
        yield folder


def hostile(text: str) -> Evaluation:
    return Evaluation(
        split="test",
        rows=9,
        metrics={"mae": 1.0, text: 0.5},
        baseline={"mae": 2.0, text: 0.1},
        baseline_name=text,
        main="mae",
        directions={"mae": "min", text: "max"},
        notes=[text],
    )


def test_a_run_full_of_hostile_texts_is_tracked_and_its_files_do_not_act(home, browser, tmp_path):
    for number, text in enumerate(SOME):
        card = tmp_path / str(number) / "card.html"
        artifact.write_text(card, card_of(text))
        result = hostile(text)
        gate = judge(GateSettings(), result).model_copy(update={"reason": text})
        curves = {text: {text: [0.9, 0.5]}}
        run = Run.of(LINE, {"seed": number}, id=f"r{number}")
        run_id = track(
            run, result, gate, training={"curves": curves}, data_revision=text, files=[card]
        )
        assert [file.path for file in client().list_artifacts(run_id)] == ["card.html"], text[:80]
    assert not Path("/tmp/taken").exists()
    kept = sorted((home / "mlflow").rglob("card.html"))
    assert len(kept) == len(SOME)
    assert {file.relative_to(home / "mlflow").parts[-1] for file in kept} == {"card.html"}
    for file in kept[:3]:
        is_strict(policy_of(file.read_text()))
        opened(browser, file)
        nothing_ran(browser)


@pytest.mark.parametrize(
    "uri", ["../../etc", "a;b", "s3://bucket/<script>alert(1)</script>.csv", f"/x/{LONG[:300]}.csv"]
)
def test_a_registered_name_that_follows_the_data_is_plain(uri):
    run = Run.of(LINE, {"data": {"uri": uri}}, id="r")
    name = registry.model_name(run)
    assert set(name) <= set("abcdefghijklmnopqrstuvwxyz0123456789-")


def test_a_package_with_a_hostile_title_is_registered_under_names_of_our_own(
    home, tmp_path, monkeypatch
):
    from tests.toy import family

    titled = dataclasses.replace(family.Line, title=LONG[:3_000])
    monkeypatch.setattr(family, "Line", titled)
    built = build(tmp_path, "hostile", {})
    assert registry.register(built.package, built.run) == "1"
    (version,) = registry.list_versions("tests-toy-family-line")
    assert version.tags["modelyard.run"] == "hostile"
