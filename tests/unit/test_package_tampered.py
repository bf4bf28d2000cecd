"""The verifier against packages that somebody changed: none is served, and no code that one
names is imported."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import socket
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import onnx
import pytest
from onnx import TensorProto, helper

from modelyard.errors import ModelyardError
from modelyard.packages import signing
from modelyard.packages.package import Package, verify
from modelyard.packages.trust import Trust
from modelyard.store import artifact
from tests.service.conftest import build
from tests.toy.keys import keys_in

LINE = "tests.toy.family:Line"
GRAPH = "graphs/onnx-fp32/line.onnx"
HIDDEN = "what the host alone should read"


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A package as it was made."""
    return build(tmp_path_factory.mktemp("whole"), LINE)


@dataclass(frozen=True)
class Victim:
    """A package that is being changed, and a file outside it that must stay unread."""

    path: Path
    outside: Path

    def manifest(self, change: Callable[[dict[str, Any]], object]) -> None:
        """Edits the manifest as it is, with no look at whether it still fits."""
        content = json.loads((self.path / "manifest.json").read_text())
        change(content)
        (self.path / "manifest.json").write_text(json.dumps(content))

    def info(self, change: Callable[[dict[str, Any]], object]) -> None:
        """Edits package.json, and seals the package again as one who has its tools would."""
        content = json.loads((self.path / "package.json").read_text())
        change(content)
        (self.path / "package.json").write_text(json.dumps(content))
        self.reseal()

    def reseal(self, **fields: Any) -> None:
        made = json.loads((self.path / "manifest.json").read_text())
        origin = {
            name: made[name] for name in artifact.Origin.model_fields if name in made
        } | fields
        artifact.seal(self.path, artifact.Origin(**origin), [])

    def forge(self, name: str) -> None:
        """Lists a file under a name of the attacker's, with its true sum and the digest that
        goes with it."""

        def change(content: dict[str, Any]) -> None:
            content["files"][name] = artifact.sha256(self.outside)
            content["digest"] = hashlib.sha256(
                json.dumps(content["files"], sort_keys=True).encode()
            ).hexdigest()

        self.manifest(change)

    def external(self, location: str, **where: int) -> None:
        """A graph that takes a weight from a file beside it, or elsewhere."""
        model = onnx.load(self.path / GRAPH)
        (weight,) = [one for one in model.graph.initializer if one.name == "w"]
        weight.ClearField("raw_data")
        weight.data_location = TensorProto.EXTERNAL
        for key, value in ({"location": location} | where).items():
            entry = weight.external_data.add()
            entry.key, entry.value = key, str(value)
        (self.path / GRAPH).write_bytes(model.SerializeToString())
        self.reseal()


def within(model: onnx.ModelProto, hidden: onnx.TensorProto) -> None:
    """Hides a tensor in a graph within the graph."""
    body = helper.make_graph(
        [helper.make_node("Constant", [], ["c"], value=hidden)], "body", [], []
    )
    flag = helper.make_tensor("flag", TensorProto.BOOL, [], [True])
    model.graph.node.extend(
        [helper.make_node("If", ["flag"], [], then_branch=body, else_branch=body)]
    )
    model.graph.initializer.append(flag)


def nested(victim: Victim, put: Callable[[onnx.ModelProto, onnx.TensorProto], None]) -> None:
    hidden = TensorProto(
        name="h", data_type=TensorProto.FLOAT, dims=[1], data_location=TensorProto.EXTERNAL
    )
    entry = hidden.external_data.add()
    entry.key, entry.value = "location", str(victim.outside)
    model = onnx.load(victim.path / GRAPH)
    put(model, hidden)
    (victim.path / GRAPH).write_bytes(model.SerializeToString())
    victim.reseal()


def in_a_function(model: onnx.ModelProto, hidden: onnx.TensorProto) -> None:
    node = helper.make_node("Constant", [], ["c"], value=hidden)
    model.functions.append(
        helper.make_function("own", "f", [], ["c"], [node], [helper.make_opsetid("", 18)])
    )


def in_a_sparse_tensor(model: onnx.ModelProto, hidden: onnx.TensorProto) -> None:
    model.graph.sparse_initializer.add().values.CopyFrom(hidden)


def linked(victim: Victim, name: str, target: str | Path) -> None:
    (victim.path / name).unlink(missing_ok=True)
    (victim.path / name).symlink_to(target)


def linked_folder(victim: Victim) -> None:
    shutil.move(victim.path / "assets", victim.outside.parent / "assets")
    (victim.path / "assets").symlink_to(victim.outside.parent / "assets")


def linked_twin(victim: Victim) -> None:
    """A link to a file of the very same bytes: its sum fits."""
    shutil.copy(victim.path / GRAPH, victim.outside)
    linked(victim, GRAPH, victim.outside)


def piped(victim: Victim) -> None:
    os.mkfifo(victim.path / "pipe")


def socketed(victim: Victim) -> None:
    here = Path.cwd()
    os.chdir(victim.path)  # a socket's path is short
    try:
        with socket.socket(socket.AF_UNIX) as server:
            server.bind("s")
    finally:
        os.chdir(here)


def longer(victim: Victim, name: str) -> None:
    with (victim.path / name).open("ab") as stream:
        stream.write(b" ")


def flipped(victim: Victim, name: str) -> None:
    content = bytearray((victim.path / name).read_bytes())
    content[len(content) // 2] ^= 1
    (victim.path / name).write_bytes(content)


def flipped_with_its_sum(victim: Victim) -> None:
    flipped(victim, GRAPH)
    victim.manifest(
        lambda content: content["files"].update({GRAPH: artifact.sha256(victim.path / GRAPH)})
    )


def sparse(victim: Victim) -> None:
    """A document of a terabyte that takes no room on the disk."""
    with (victim.path / "golden.json").open("wb") as stream:
        stream.truncate(2**40)


def no_one_chosen(content: dict[str, Any]) -> None:
    content["variants"][0]["chosen"] = False


def two_chosen(content: dict[str, Any]) -> None:
    content["variants"].append(content["variants"][0])


def graph_at(place: str) -> Callable[[Victim], None]:
    return lambda victim: victim.info(
        lambda content: content["variants"][0]["graphs"].update(line=place)
    )


def says(**fields: Any) -> Callable[[Victim], None]:
    return lambda victim: victim.info(lambda content: content.update(fields))


def of_family(name: str) -> Callable[[Victim], None]:
    def change(victim: Victim) -> None:
        victim.info(lambda content: content.update(family=name))
        victim.reseal(family=name)

    return change


NAMES: dict[str, tuple[Callable[[Victim], object], str]] = {
    "a name with ..": (lambda v: v.forge("../outside/secret"), "does not stay inside"),
    "a name with .. in its middle": (
        lambda v: v.forge("assets/../../outside/secret"),
        "does not stay inside",
    ),
    "an absolute name": (lambda v: v.forge(str(v.outside)), "does not stay inside"),
    "a name of Windows": (lambda v: v.forge("C:/secret"), "does not stay inside"),
    "a name with backslashes": (lambda v: v.forge("..\\outside\\secret"), "no plain file name"),
    "a name with a line break": (lambda v: v.forge("a\nb"), "no plain file name"),
    "a name that turns its direction": (lambda v: v.forge("a\u202egnp.exe"), "no plain file name"),
    "a name of a megabyte": (lambda v: v.forge("x" * 2**20), "no plain file name"),
    "an empty name": (lambda v: v.forge(""), "does not stay inside"),
    "a name twice over": (lambda v: v.forge("assets//x"), "does not stay inside"),
}
LINKS: dict[str, tuple[Callable[[Victim], object], str]] = {
    "a link to a file outside": (lambda v: linked(v, "golden.json", v.outside), "is a link"),
    "a link to the same bytes outside": (linked_twin, "is a link"),
    "a link within": (lambda v: linked(v, "assets/x", "../golden.json"), "is a link"),
    "a link that leads nowhere": (lambda v: linked(v, "x", "nowhere"), "is a link"),
    "a folder that is a link": (linked_folder, "is a link"),
    "a link as manifest": (lambda v: linked(v, "package.json", "/proc/self/environ"), "is a link"),
    "a pipe": (piped, "no plain file"),
    "a socket": (socketed, "no plain file"),
}
GRAPHS: dict[str, tuple[Callable[[Victim], object], str]] = {
    "a graph outside": (
        graph_at("../../outside/secret"),
        "graphs.line: '../../outside/secret' does not stay inside",
    ),
    "a graph at an absolute path": (graph_at("/etc/passwd"), "does not stay inside"),
    "a graph that is not listed": (graph_at("onnx-fp32/other.onnx"), "not in the manifest"),
    "external data outside": (
        lambda v: v.external("../../../outside/secret"),
        "does not stay inside",
    ),
    "external data at an absolute path": (
        lambda v: v.external(str(v.outside)),
        "does not stay inside",
    ),
    "external data that is not listed": (
        lambda v: v.external("weights.bin"),
        "not in the manifest",
    ),
    "external data past its file's end": (
        lambda v: v.external("line.onnx", offset=0, length=10**9),
        "takes bytes 0 to 1,000,000,000",
    ),
    "external data before its file's start": (
        lambda v: v.external("line.onnx", offset=-8, length=4),
        "takes bytes",
    ),
    "external data in a graph within": (lambda v: nested(v, within), "does not stay inside"),
    "external data in a function": (lambda v: nested(v, in_a_function), "does not stay inside"),
    "external data in a sparse tensor": (
        lambda v: nested(v, in_a_sparse_tensor),
        "does not stay inside",
    ),
    "a graph that is no graph": (
        lambda v: ((v.path / GRAPH).write_text("not ONNX"), v.reseal()),
        "not an ONNX model",
    ),
    "an empty graph": (
        lambda v: ((v.path / GRAPH).write_bytes(b""), v.reseal()),
        "not an ONNX model",
    ),
}
SUMS: dict[str, tuple[Callable[[Victim], object], str]] = {
    "one bit of a graph": (lambda v: flipped(v, GRAPH), "was changed"),
    "one byte more": (lambda v: longer(v, "reference.parquet"), "was changed"),
    "a file less": (
        lambda v: (v.path / "card.html").unlink(missing_ok=True) or (v.path / GRAPH).unlink(),
        "missing",
    ),
    "a file more": (
        lambda v: (v.path / "assets" / "extra.py").write_text("print()"),
        "added after",
    ),
    "a manifest of another digest": (
        lambda v: v.manifest(lambda m: m.update(digest="0" * 64)),
        "its digest is not",
    ),
    "a sum changed with its file": (flipped_with_its_sum, "its digest is not"),
    "a sum that is none": (
        lambda v: v.manifest(lambda m: m["files"].update({GRAPH: "x"})),
        "cannot be read",
    ),
    "sizes that are not the files'": (
        lambda v: v.manifest(lambda m: m["sizes"].update({GRAPH: 1})),
        "was changed",
    ),
    "a document of a terabyte": (sparse, "bytes"),
    "no golden example": (
        lambda v: ((v.path / "golden.json").unlink(), v.reseal()),
        "lists no golden.json",
    ),
    "another kind of artifact": (lambda v: v.reseal(kind="model"), "not a package"),
    "no manifest": (lambda v: (v.path / "manifest.json").unlink(), "not a finished artifact"),
}
WORDS: dict[str, tuple[Callable[[Victim], object], str]] = {
    "a version that breaks a header": (says(version="1\r\nset-cookie: a=b"), "package.json"),
    "a version that is a path": (says(version="../../x"), "package.json"),
    "a version of a megabyte": (says(version="1" * 2**20), "package.json"),
    "a run with markup": (says(run="<script>"), "package.json"),
    "a family of another manifest": (
        says(family="tests.service.payments:Payments"),
        "the manifest",
    ),
    "no chosen variant": (lambda v: v.info(no_one_chosen), "it must be one"),
    "two chosen variants": (lambda v: v.info(two_chosen), "it must be one"),
    "a family that nobody named": (of_family("evil_family:Evil"), "nobody named"),
    "a module of Python's own": (of_family("antigravity:Family"), "nobody named"),
    "a family that is a path": (of_family("../evil:Evil"), "package.json"),
    "a family that is unknown": (of_family("evil_family"), "is unknown"),
}
ALL = {**NAMES, **LINKS, **GRAPHS, **SUMS, **WORDS}


def victim_of(whole: Path, folder: Path) -> Victim:
    (folder / "outside").mkdir(parents=True)
    (folder / "outside" / "secret").write_text(HIDDEN)
    shutil.copytree(whole, folder / "package")
    return Victim(folder / "package", folder / "outside" / "secret")


def test_the_whole_package_is_opened(whole):
    assert Package(whole).predict([{"x": 1.0}])
    assert verify(whole).manifest.sizes[GRAPH] == (whole / GRAPH).stat().st_size


@pytest.mark.parametrize("name", ALL)
def test_a_package_that_was_tampered_with_is_refused(whole, tmp_path, monkeypatch, name):
    victim = victim_of(whole, tmp_path)
    (tmp_path / "evil_family.py").write_text(
        "from pathlib import Path\nPath('taken').write_text('taken')\n"
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.chdir(tmp_path)
    tamper, words = ALL[name]
    tamper(victim)
    with pytest.raises(ModelyardError) as refused:
        Package(victim.path)
    assert words in str(refused.value)
    assert HIDDEN not in str(refused.value)
    assert len(str(refused.value)) < 1_000
    assert not (tmp_path / "taken").exists()
    assert "evil_family" not in sys.modules


def test_at_least_forty_ways_are_tried():
    assert len(ALL) >= 40


def test_external_data_inside_the_package_is_served(whole, tmp_path):
    victim = victim_of(whole, tmp_path)
    before = Package(victim.path).predict([{"x": 1.0}])
    model = onnx.load(victim.path / GRAPH)
    onnx.save_model(
        model,
        victim.path / GRAPH,
        save_as_external_data=True,
        location="line.bin",
        size_threshold=0,
    )
    assert (victim.path / "graphs/onnx-fp32/line.bin").is_file()
    victim.reseal()
    assert Package(victim.path).predict([{"x": 1.0}]) == before


def test_a_family_from_outside_is_imported_where_the_operator_names_it_alone(whole, tmp_path):
    """In processes of their own: here the family is imported already."""
    script = f"from modelyard.packages.package import Package; print(Package({str(whole)!r}).predict([dict(x=1.0)]))"

    def run(**names: str) -> subprocess.CompletedProcess[str]:
        environment = {
            key: value for key, value in os.environ.items() if key != "MODELYARD_FAMILIES"
        } | names
        return subprocess.run(
            [sys.executable, "-c", script],
            env=environment,
            cwd=Path(__file__).parents[2],
            capture_output=True,
            text=True,
            check=False,
        )

    refused = run()
    assert refused.returncode != 0
    assert f"--family {LINE}, or MODELYARD_FAMILIES={LINE}" in refused.stderr
    assert run(MODELYARD_FAMILIES=f"other:Family, {LINE}").stdout.startswith("[Height(")


def test_where_public_keys_are_named_only_what_one_of_them_signed_is_opened(whole, tmp_path):
    victim = victim_of(whole, tmp_path)
    (private, public), (other, other_public) = (
        keys_in(tmp_path, "ours"),
        keys_in(tmp_path, "theirs"),
    )
    trust = Trust.from_environment({"MODELYARD_PUBLIC_KEY_FILE": str(public)}).naming(LINE)
    with pytest.raises(ModelyardError, match="is not signed"):
        Package(victim.path, trust=trust)
    signing.sign(victim.path, other)
    with pytest.raises(ModelyardError, match="by none of the 1 public keys"):
        Package(victim.path, trust=trust)
    signing.sign(victim.path, private)
    assert Package(victim.path, trust=trust).predict([{"x": 1.0}])
    both = tmp_path / "both.pub"
    both.write_bytes(other_public.read_bytes() + public.read_bytes())
    assert verify(victim.path, Trust(public_keys=both))
    victim.info(lambda content: content.update(title="another"))
    with pytest.raises(ModelyardError, match="by none of the"):
        verify(victim.path, trust)
    (victim.path / "manifest.sig").write_text("!" * 100)
    with pytest.raises(ModelyardError, match="cannot be read as a signature"):
        verify(victim.path, trust)


def test_a_signature_needs_no_key_where_none_is_named_and_changes_no_digest(whole, tmp_path):
    victim = victim_of(whole, tmp_path)
    before = verify(victim.path).manifest.digest
    signing.sign(victim.path, keys_in(tmp_path, "ours")[0])
    assert verify(victim.path).manifest.digest == before


@pytest.mark.parametrize(
    "content", ["", "not PEM", "-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----\n"]
)
def test_a_file_that_holds_no_public_key_opens_nothing(whole, tmp_path, content):
    (tmp_path / "keys.pub").write_text(content)
    with pytest.raises(ModelyardError, match="MODELYARD_PUBLIC_KEY_FILE"):
        verify(whole, Trust(public_keys=tmp_path / "keys.pub"))
