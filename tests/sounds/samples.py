"""The built-in sounds: tones, noise and clicks, of random pitch, loudness and place."""

from __future__ import annotations

import wave
from pathlib import Path

import numpy as np

RATE, LENGTH = 8_000, 4_000
"""Samples a second, and of a clip."""


def write_sample(raw: Path, count: int, seed: int) -> None:
    """Writes `<class>/<number>.wav`: `count` clips, as many of each class."""
    rng = np.random.default_rng(seed)
    makers = {"click": click, "noise": noise, "tone": tone}
    for number in range(count):
        label = list(makers)[number % len(makers)]
        sound = makers[label](rng) * rng.uniform(0.2, 0.8) + rng.normal(0, 0.01, LENGTH)
        write_wav(raw / label / f"{number:04}.wav", sound)


def tone(rng: np.random.Generator) -> np.ndarray:
    return np.sin(
        2 * np.pi * rng.uniform(200, 3_000) * np.arange(LENGTH) / RATE + rng.uniform(0, 6)
    )


def noise(rng: np.random.Generator) -> np.ndarray:
    return rng.normal(0, 0.3, LENGTH)


def click(rng: np.random.Generator) -> np.ndarray:
    """A few short bursts."""
    sound = np.zeros(LENGTH)
    for start in rng.integers(0, LENGTH // 2, 4):
        sound[start : start + 20] = rng.uniform(-1, 1, 20)
    return sound


def write_wav(file: Path, sound: np.ndarray, rate: int = RATE) -> None:
    """Writes samples in [-1, 1] as 16 bits, one channel."""
    file.parent.mkdir(parents=True, exist_ok=True)
    with wave.open(str(file), "wb") as stream:
        stream.setnchannels(1)
        stream.setsampwidth(2)
        stream.setframerate(rate)
        stream.writeframes((np.clip(sound, -1, 1) * 32_767).astype("<i2").tobytes())
