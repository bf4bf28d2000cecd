"""What serves where the chosen variant does not open."""

from __future__ import annotations

import json
import logging
import shutil
from pathlib import Path

import pytest

from modelyard.errors import BrokenArtifact
from modelyard.packages.package import INFO, Package, read_info, verify
from modelyard.packages.trust import Trust
from modelyard.serving.endpoints import Endpoints
from modelyard.serving.openapi import summary
from modelyard.serving.settings import Limits
from modelyard.store import artifact
from tests.toy.build import build

NETWORK = "tests.toy.network:Network"
TRUSTED = Trust().naming(NETWORK)


@pytest.fixture(scope="module")
def whole(tmp_path_factory) -> Path:
    """A package that serves int8, with full precision behind it."""
    folder = tmp_path_factory.mktemp("fallback")
    export = {"variants": "onnx-int8", "aim": "size", "max_loss": 1.0, "latency_repeats": 5}
    return build(folder, "r", {"export": export}, NETWORK).package


def sealed(package: Path) -> None:
    """The manifest of what the folder holds now: as if it had been made so."""
    manifest = artifact.read_manifest(package)
    artifact.seal(package, artifact.Origin(**manifest.model_dump()), [])


def with_file(whole: Path, target: Path, variant: str, content: bytes) -> Path:
    shutil.copytree(whole, target)
    (target / "graphs" / variant / "network.onnx").write_bytes(content)
    sealed(target)
    return target


def unknown_operator(whole: Path) -> bytes:
    """The int8 file as a later ONNX Runtime might write it: good ONNX with an operator that is not
    here."""
    import onnx

    model = onnx.load(whole / "graphs" / "onnx-int8" / "network.onnx")
    model.graph.node[0].op_type = "MatMulOfTheFuture"
    return model.SerializeToString()


def test_the_chosen_variant_serves(whole):
    package = Package(whole, trust=TRUSTED)
    assert package.variant.name == "onnx-int8" == package.info.chosen.name
    assert package.passed_over == {}
    assert summary(package)["variant"]["name"] == "onnx-int8"
    assert "instead_of" not in summary(package)["variant"]


@pytest.mark.parametrize("kind", ["garbage", "empty", "truncated", "operator"])
def test_a_variant_that_does_not_open_is_passed_over_and_named(whole, tmp_path, caplog, kind):
    good = (whole / "graphs" / "onnx-int8" / "network.onnx").read_bytes()
    content = {"garbage": b"\x00\xff" * 50, "empty": b"", "truncated": good[: len(good) // 2]}
    content["operator"] = unknown_operator(whole)
    place = with_file(whole, tmp_path / "package", "onnx-int8", content[kind])
    with caplog.at_level(logging.WARNING, "modelyard.serving"):
        package = Package(place, trust=TRUSTED)
    assert package.variant.name == "onnx-fp32"
    assert list(package.passed_over) == ["onnx-int8"]
    assert "variant onnx-int8 does not open here" in caplog.text
    assert "onnx-fp32 serves" in caplog.text
    golden = package.golden()
    (answer,) = package.predict([golden["request"]])
    assert answer.y == pytest.approx(golden["response"]["y"], abs=0.1)


def test_the_service_says_what_it_fell_back_to(whole, tmp_path):
    from prometheus_client import REGISTRY

    place = with_file(whole, tmp_path / "package", "onnx-int8", b"no graph")
    package = Package(place, trust=TRUSTED)
    Endpoints(package, None, Limits())
    version = package.info.version
    said = summary(package)["variant"]
    assert said["name"] == "onnx-fp32"
    assert "is not an ONNX model that runs here" in said["instead_of"]["onnx-int8"]
    labels = {"package": version}
    assert REGISTRY.get_sample_value("modelyard_variant_fallback", labels) == 1
    assert REGISTRY.get_sample_value("modelyard_variant", labels | {"variant": "onnx-fp32"}) == 1


def test_a_package_of_which_nothing_opens_is_refused_with_the_first_reason(whole, tmp_path):
    place = with_file(whole, tmp_path / "package", "onnx-int8", b"no graph")
    (place / "graphs" / "onnx-fp32" / "network.onnx").write_bytes(b"no graph either")
    sealed(place)
    with pytest.raises(BrokenArtifact, match=r"onnx-int8/network\.onnx is not an ONNX model"):
        Package(place, trust=TRUSTED)


def test_a_file_that_was_changed_is_no_reason_to_fall_back(whole, tmp_path):
    place = tmp_path / "package"
    shutil.copytree(whole, place)
    (place / "graphs" / "onnx-int8" / "network.onnx").write_bytes(b"changed")
    with pytest.raises(BrokenArtifact, match="was changed"):
        verify(place, TRUSTED)


def test_a_rejected_variant_never_serves_even_where_nothing_else_opens(whole, tmp_path):
    place = with_file(whole, tmp_path / "package", "onnx-fp32", b"no graph")
    info = json.loads((place / INFO).read_text())
    for variant in info["variants"]:
        if variant["name"] == "onnx-int8":
            variant |= {"rejected": True, "chosen": False}
        elif variant["name"] == "onnx-fp32":
            variant["chosen"] = True
    (place / INFO).write_text(json.dumps(info))
    sealed(place)
    assert not read_info(place).chosen.rejected
    with pytest.raises(BrokenArtifact, match="onnx-fp32"):
        Package(place, trust=TRUSTED)
