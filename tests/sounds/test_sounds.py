"""The skeleton of a classifier of files, from outside modelyard: what it hears, what it refuses, a
whole run."""

from __future__ import annotations

import atexit
import base64
import importlib
import io
import os
import shutil
import subprocess
import sys
import tempfile
import wave
from pathlib import Path

import numpy as np
import pytest

from modelyard import scaffold
from modelyard.errors import BadData, UsageError
from modelyard.kit.classifier import store
from modelyard.kit.classifier.data import ClassifierData
from modelyard.kit.classifier.kind import FileLimits
from modelyard.packages.package import Package
from modelyard.packages.trust import Trust
from modelyard.stages.lost import losses

FOLDER = Path(tempfile.mkdtemp(prefix="modelyard-sounds-"))
atexit.register(shutil.rmtree, FOLDER, ignore_errors=True)
FILES = scaffold.create("sounds", FOLDER, classifier=True)
sys.path.insert(0, str(FOLDER))
config, data, family, host, samples, spec = (
    importlib.import_module(f"sounds.{name}")
    for name in ("config", "data", "family", "host", "samples", "spec")
)
LIMITS = FileLimits(1_000_000)
RATE, WINDOW, HOP = samples.RATE, spec.WINDOW, spec.HOP
SPEC = spec.SoundsSpec(rate=RATE, samples=4_000, limits=LIMITS, classes=["a", "b"], counts=[1, 1])


def sine(file: Path, pitch: float, rate: int = RATE, seconds: float = 0.5) -> bytes:
    samples.write_wav(
        file, 0.5 * np.sin(2 * np.pi * pitch * np.arange(round(rate * seconds)) / rate), rate
    )
    return file.read_bytes()


@pytest.mark.parametrize("rate", [8_000, 16_000, 44_100])
def test_a_tone_is_loudest_at_its_own_frequency_whatever_the_rate_of_its_file(
    tmp_path: Path, rate: int
) -> None:
    spectrogram = SPEC.decode(sine(tmp_path / "a.wav", 1_000, rate))
    assert spectrogram.shape == SPEC.shape
    assert set(spectrogram[0].argmax(axis=0)) == {1_000 * WINDOW // RATE}


def test_a_short_clip_ends_in_silence(tmp_path: Path) -> None:
    frames = SPEC.decode(sine(tmp_path / "a.wav", 1_000, seconds=0.25))[0].max(axis=0)
    heard = 2_000 // HOP
    assert frames[: heard - 2].min() > 0
    assert frames[heard + 1 :].max() < -10


def test_specs_see_alike_that_differ_only_in_what_decoding_does_not_need() -> None:
    other = {"classes": ["a", "b", "c"], "counts": [1, 2, 3], "limits": FileLimits(5)}
    assert SPEC.sees_like(SPEC.model_copy(update=other))
    assert not SPEC.sees_like(SPEC.model_copy(update={"rate": RATE + 1}))


@pytest.mark.parametrize(("column", "named"), [(None, "sound"), ("sound.rate", "sound.rate")])
def test_a_request_that_cannot_be_decoded_is_refused_by_its_field(
    tmp_path: Path, column: str | None, named: str
) -> None:
    class Deaf(host.SoundsHost):  # type: ignore[misc,name-defined]
        def array(self, data: bytes) -> np.ndarray:
            raise BadData("is not heard", column=column)

    SPEC.save(tmp_path)
    with pytest.raises(BadData) as refused:
        Deaf(tmp_path).decode(host.Clip(sound="AAAA"))
    assert refused.value.column == named


def test_channels_are_averaged(tmp_path: Path) -> None:
    file = tmp_path / "stereo.wav"
    with wave.open(str(file), "wb") as stream:
        stream.setparams((2, 2, RATE, 0, "NONE", "not compressed"))
        stream.writeframes(np.array([[1_000, 3_000], [-2_000, 0]], "<i2").tobytes())
    sound, rate = spec.read_wav(file.read_bytes(), LIMITS)
    assert rate == RATE
    assert sound.tolist() == [2_000 / 32_768, -1_000 / 32_768]


def eight_bits() -> bytes:
    stream = io.BytesIO()
    with wave.open(stream, "wb") as file:
        file.setparams((1, 1, RATE, 0, "NONE", "not compressed"))
        file.writeframes(bytes(100))
    return stream.getvalue()


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "is not a WAV file: it ends early"),
        (b"RIFF, or so it says", "is not a WAV file"),
        (eight_bits(), "has 8 bits a sample; read are 16"),
        (bytes(1_000_001), "has 1,000,001 bytes; at most 1,000,000 are allowed"),
    ],
)
def test_other_bytes_are_refused(content: bytes, said: str) -> None:
    with pytest.raises(BadData, match=said):
        spec.read_wav(content, LIMITS)


def built(tmp_path: Path, **settings: object) -> dict[str, object]:
    (tmp_path / "out/assets").mkdir(parents=True, exist_ok=True)
    features = config.SoundsFeatures.model_validate(settings)
    reader = data.SoundsData(config.SoundsConfig(features=features))
    return reader.features(tmp_path / "raw", tmp_path / "out")


def tones(raw: Path) -> None:
    for number in range(10):
        sine(raw / "low" / f"{number}.wav", 300 + number)
        sine(raw / "high" / f"{number}.wav", 2_000 + number)


def test_messages_speak_of_clips(tmp_path: Path) -> None:
    tones(tmp_path / "raw")
    (tmp_path / "raw/low/copy.wav").write_bytes((tmp_path / "raw/low/3.wav").read_bytes())
    (tmp_path / "raw/low/song.mp3").write_text("x")
    summary = built(tmp_path)
    assert summary["headline"] + losses(summary) == (
        "20 clips of 2 classes; positive class: low (the later by name of two equally frequent "
        "ones); 2 of 22 clips dropped: "
        ".mp3 is not read: save it as .wav (1), same clip as another (1)"
    )
    (tmp_path / "raw/none").mkdir()
    with pytest.raises(BadData, match=r"none: an empty class: no clip in it \(read are .wav\)"):
        built(tmp_path)


def test_empty_files_are_named_as_such_and_not_taken_for_copies(tmp_path: Path) -> None:
    class Unlooked(data.SoundsData):  # type: ignore[misc,name-defined]
        look = ClassifierData.look

    for label in ("low", "high"):
        (tmp_path / "raw" / label).mkdir(parents=True)
        (tmp_path / "raw" / label / "1.wav").touch()
    with pytest.raises(BadData, match=r"high/1.wav: is empty. So are 1 more: low/1.wav"):
        Unlooked(config.SoundsConfig()).features(tmp_path / "raw", tmp_path / "out")


def test_a_setting_that_does_not_fit_is_refused(tmp_path: Path) -> None:
    tones(tmp_path / "raw")
    with pytest.raises(UsageError, match="'features.positive': class 'middle' is unknown"):
        built(tmp_path, positive="middle")


def test_a_clip_is_changed_alike_in_whatever_batch_it_is_and_not_in_epoch_0(tmp_path: Path) -> None:
    tones(tmp_path / "raw")
    built(tmp_path)
    built_family = family.Sounds(config.SoundsConfig())
    batches = built_family.batches(tmp_path / "out", "train", epoch=1)
    rows = np.arange(4)
    whole = batches.take(rows)["spectrogram"].numpy()
    parts = [batches.take(rows[[row]])["spectrogram"].numpy() for row in rows]
    assert np.array_equal(whole, np.concatenate(parts))
    stored = store.load_arrays(tmp_path / "out", "train")[:4]
    gains = (whole - stored).reshape(4, -1)
    assert np.ptp(gains, axis=1).max() < 1e-5
    assert np.unique(gains[:, 0].round(4)).size == 4
    still = built_family.batches(tmp_path / "out", "train", epoch=0)
    assert np.array_equal(still.take(rows)["spectrogram"].numpy(), stored)


def test_what_the_kit_judges_by_is_asked_for_before_a_run() -> None:
    assert config.SoundsConfig().requires() == {"sklearn": "image", "torch": "torch"}


def test_the_whole_family_takes_at_most_370_lines() -> None:
    files = [file for file in FILES if file.suffix == ".py" and not file.name.startswith("test_")]
    assert sum(len(file.read_text().splitlines()) for file in files) <= 370


@pytest.mark.slow
def test_a_run_from_the_command_line_makes_a_package_that_tells_sounds_apart(
    tmp_path: Path,
) -> None:
    home = tmp_path / "runs"
    environment = {**os.environ, "MODELYARD_HOME": str(home), "COLUMNS": "200"}
    settings = ["features.sample_clips=150", "training.epochs=8", "training.learning_rate=1e-2"]
    command = [sys.executable, "-m", "modelyard", "run", "--family", "sounds:Sounds"]
    for setting in settings:
        command += ["--set", setting]
    done = subprocess.run(
        command, cwd=FOLDER, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "version 1 is champion" in done.stdout
    (package,) = home.glob("*/*/package")
    clip = base64.b64encode(sine(tmp_path / "new.wav", 777)).decode()
    (answer,) = Package(package, trust=Trust().naming("sounds:Sounds")).predict([{"sound": clip}])
    assert answer.model_dump()["label"] == "tone"
    assert (package.parent / "card.html").read_text().startswith("<!doctype html>")
