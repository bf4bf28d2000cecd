"""The commands of README and docs that need a cluster or GPUs, typed as they stand there."""

from __future__ import annotations

import json
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from modelyard.cli.app import app
from modelyard.cost.meters import visible_gpus
from modelyard.errors import UsageError
from tests.cli.documented import PAGES, Documented, on_page
from tests.kubeflow.conftest import NAMESPACE, fill, kept_logs, recording

DOCUMENTED = [one for page in PAGES for one in on_page(page)]
SUBMITTED = [one for one in DOCUMENTED if one.words[0] == "submit" and ":" not in one.words[1]]
"""Those of a family of one's own: see test_own_image.py."""
ON_GPUS = [one for one in DOCUMENTED if one.words[0] == "run" and "--gpus" in one.words]
SEEN = [one for one in DOCUMENTED if one.words[0] == "doctor" and len(one.words) > 1]


def typed(words: list[str]) -> Result:
    done = CliRunner(env={"COLUMNS": "200"}).invoke(app, words)
    assert done.exception is None or isinstance(done.exception, SystemExit), done.exception
    return done


def test_pages_hold_such_commands():
    assert len(SUBMITTED) >= 4
    assert len(ON_GPUS) >= 2
    assert len(SEEN) >= 4


@pytest.mark.parametrize("one", SUBMITTED, ids=str)
def test_a_documented_submit_starts_a_run_with_what_its_line_says(one: Documented, pipelines):
    done = typed([*one.words, "--no-follow"])
    assert done.exit_code == 0, done.output
    assert "r1" in done.output
    (body,) = pipelines.submitted
    sent = body["runtime_config"]["parameters"]
    for option, name in (("--data", "data"), ("--target", "target")):
        if option in one.words:
            assert sent[name] == one.words[one.words.index(option) + 1]
    for option, name in (("--nodes", "nodes"), ("--gpus", "gpus_per_node")):
        if option in one.words:
            assert sent[name] == int(one.words[one.words.index(option) + 1])
    for number, word in enumerate(one.words):
        if word == "--set":
            path, _, value = one.words[number + 1].partition("=")
            assert setting(sent["settings"], path) == value


def setting(settings: Any, path: str) -> Any:
    found = json.loads(settings) if isinstance(settings, str) else settings
    for name in path.split("."):
        found = found[name]
    return found


@pytest.mark.parametrize("one", SEEN, ids=str)
def test_a_documented_doctor_answers(one: Documented, cluster, pipelines):
    found = recording("out-of-memory")
    run = found["record"]["run_id"]
    pipelines.runs[run] = found["record"]
    kept_logs(pipelines, found)
    fill(cluster, found)
    names = {"RUN": run, "NAMESPACE": NAMESPACE}
    done = typed([names.get(word, word) for word in one.words])
    if "RUN" in one.words:
        assert done.exit_code == 1
        assert "container main ran out of memory; its limit is 64Mi" in done.output
    elif "RELEASE" in one.words:  # tests/cluster/test_killed.py types it where there is one
        assert done.exit_code == 1
        assert "nothing in namespace" in done.output
    else:
        assert "node1" in done.output or "nodes" in done.output
        assert done.exit_code in {0, 1}


@pytest.mark.skipif(len(visible_gpus()) > 0, reason="its GPUs would train")
@pytest.mark.parametrize("one", ON_GPUS, ids=str)
def test_a_documented_run_on_gpus_is_refused_in_a_line_where_there_are_none(one, tmp_path):
    asked = one.words[one.words.index("--gpus") + 1]
    words = [word.replace("scans/", str(tmp_path)) for word in one.words]
    with pytest.raises(
        UsageError, match=f"^GPUs on this node: asked for {asked}, found 0"
    ) as refused:
        CliRunner().invoke(app, words, catch_exceptions=False)
    assert "leave out --gpus" in str(refused.value)
    assert "\n" not in str(refused.value)
