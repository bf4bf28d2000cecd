"""What the pages tell people to type fits the charts and the clusters that they describe."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from tests.charts.helm import ROOT

PAGES = sorted(
    [*(ROOT / "docs").glob("*.md"), *(ROOT / "charts").glob("*/README.md"), ROOT / "README.md"]
)


def commands(page: Path) -> list[str]:
    """Lines of blocks of commands, each with what continues it."""
    text = page.read_text().replace("\\\n", " ")
    found, within = [], False
    for line in text.splitlines():
        if line.strip().startswith("```"):
            within = not within
        elif within:
            found.append(line)
    return found


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_no_command_reuses_values_which_the_runbook_forbids(page):
    assert [line for line in commands(page) if "--reuse-values" in line] == []


def test_the_runbook_forbids_to_reuse_values():
    assert "Never with `--reuse-values`" in (ROOT / "docs" / "runbook.md").read_text()


def test_the_pods_that_the_runbook_starts_by_hand_meet_the_restricted_standard():
    text = (ROOT / "docs" / "runbook.md").read_text()
    started = re.findall(r"--overrides='(.*?)}'\n", text, re.DOTALL)
    assert len(started) == len(re.findall(r"kubectl [^\n]*\brun \w+ --rm", text)) >= 1
    for one in started:
        spec = json.loads(one.replace("'$REGISTRY'", "registry.example.org") + "}")["spec"]
        assert spec["securityContext"] == {
            "runAsNonRoot": True,
            "seccompProfile": {"type": "RuntimeDefault"},
        }
        for container in spec["containers"]:
            security = container["securityContext"]
            assert security == {
                "allowPrivilegeEscalation": False,
                "capabilities": {"drop": ["ALL"]},
            }


@pytest.mark.parametrize("page", ["runbook.md", "cluster-charts.md", "deploy.md"])
def test_pages_that_promise_what_was_never_seen_say_where_that_is_listed(page):
    assert "cluster-only.md" in (ROOT / "docs" / page).read_text()


@pytest.mark.parametrize(
    "what", ["NetworkPolicies that are enforced, with the smoke test", "an HPA with metrics"]
)
def test_what_no_cluster_showed_is_listed_as_never_seen(what):
    _, _, never = (ROOT / "docs" / "cluster-only.md").read_text().partition("## Never seen")
    assert f"| {what} |" in never
