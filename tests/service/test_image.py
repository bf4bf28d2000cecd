"""The images, as far as they can be told without building them; docker/check.sh runs the built
ones."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
EXTRAS = {
    "server": ["serve", "s3"],
    "server-cuda": ["serve", "s3"],
    "trainer": ["families", "laptop"],
    "trainer-cuda": ["families", "laptop"],
}


@pytest.fixture(params=EXTRAS)
def image(request):
    return request.param


@pytest.fixture
def text(image):
    return (ROOT / "docker" / image / "Dockerfile").read_text()


def test_the_base_is_an_argument_of_a_fixed_version(text):
    (base,) = re.findall(r"^ARG BASE=(\S+)$", text, re.MULTILINE)
    assert re.fullmatch(r"python:\d+\.\d+\.\d+-slim-\w+", base)
    assert set(re.findall(r"^FROM (\S+)", text, re.MULTILINE)) == {"${BASE}", "scratch", "uv"}


def test_it_runs_as_a_number_that_is_not_root_and_installs_what_it_is_for_alone(image, text):
    assert re.findall(r"^USER (\S+)$", text, re.MULTILINE) == ["10001:10001"]
    assert re.findall(r"--extra (\w+)", text) == EXTRAS[image]


def test_all_that_is_copied_from_the_repository_is_there(text):
    copied = [
        words.split()[:-1] for words in re.findall(r"^COPY (?!--from)(.+)$", text, re.MULTILINE)
    ]
    assert [name for names in copied for name in names if not (ROOT / name).exists()] == []


def test_no_host_is_named_the_tools_and_their_settings_know_where_packages_lie(text):
    assert set(re.findall(r"https?://([^/:\s]+)", text)) <= {"127.0.0.1"}
    assert re.search(
        r"^ENV PIP_INDEX_URL=\$\{INDEX\} UV_DEFAULT_INDEX=\$\{INDEX\}$", text, re.MULTILINE
    )


def test_helm_comes_as_make_helm_brings_it(image, text):
    assert ("python /install_helm.py /tools/helm" in text) == ("server" not in image)
    assert not re.search(r"[0-9a-f]{64}", text), "the sum is in the script alone"


def test_packages_come_before_the_source_that_changes_more_often(text):
    assert text.index("FROM uv AS packages") < text.index("COPY . .")
    assert (
        "COPY . ."
        not in text[text.index("FROM uv AS packages") : text.index("FROM uv AS modelyard")]
    )


def test_an_image_that_does_not_exist_is_told_with_those_that_do():
    done = subprocess.run(
        [ROOT / "docker" / "build.sh", "nope"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 2
    assert len(done.stderr.splitlines()) == 1
    assert "'nope': choose from " + ", ".join(EXTRAS) in done.stderr


def test_engines_that_the_trainer_exports_are_for_the_tensorrt_of_the_server():
    pins = [
        re.findall(
            r"^tensorrt\S+==\S+$", (ROOT / f"docker/{image}/constraints.txt").read_text(), re.M
        )
        for image in ("trainer-cuda", "server-cuda")
    ]
    assert pins[0] == pins[1] != []
