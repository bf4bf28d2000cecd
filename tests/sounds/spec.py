"""From the bytes of a WAV file to the spectrogram that the model sees. Numpy only."""

from __future__ import annotations

import io
import wave
from typing import ClassVar

import numpy as np

from modelyard.errors import BadData
from modelyard.kit.classifier.kind import FileKind, FileLimits, too_large
from modelyard.kit.classifier.spec import FileSpec

CLIPS = FileKind(
    one="clip",
    field="sound",
    input="spectrogram",
    suffixes=frozenset({".wav"}),
    unread=frozenset({".mp3", ".flac", ".ogg", ".m4a"}),
    save_as=".wav",
)
WINDOW, HOP = 128, 64
"""Samples of a frame, and from one frame to the next."""
FLOOR = 1e-6
"""Added to the power before its logarithm: silence is finite."""


class SoundsSpec(FileSpec):
    """Fitted on the training split."""

    FILE: ClassVar[str] = "sounds.json"
    KIND = CLIPS

    rate: int
    """Samples a second."""
    samples: int
    """Of a clip."""
    mean: float = 0.0
    """Of the training spectrograms."""
    std: float = 1.0

    @property
    def shape(self) -> tuple[int, ...]:
        """(1, frequencies, frames)."""
        return (1, WINDOW // 2 + 1, (self.samples - WINDOW) // HOP + 1)

    def decode(self, data: bytes) -> np.ndarray:
        """The logarithm of the power by frequency and frame, float32 (1, frequencies, frames)."""
        sound, rate = read_wav(data, self.limits)
        times = np.arange(self.samples) / self.rate
        sound = np.interp(times, np.arange(len(sound)) / rate, sound, right=0.0)
        frames = np.lib.stride_tricks.sliding_window_view(sound, WINDOW)[::HOP]
        power = np.square(np.abs(np.fft.rfft(frames * np.hanning(WINDOW))))
        return np.log(power + FLOOR).T[None].astype(np.float32)

    def sees_like(self, other: FileSpec) -> bool:
        """Whether both make the same spectrogram of a clip."""
        assert isinstance(other, SoundsSpec)
        return (self.rate, self.samples) == (other.rate, other.samples)


def read_wav(data: bytes, limits: FileLimits) -> tuple[np.ndarray, int]:
    """Samples in [-1, 1], float64 (n,), the mean of all channels, and how many a second has.

    Raises:
        BadData: not a WAV file of 16 bits a sample, without a sample, or over the limit.
    """
    if len(data) > limits.bytes:
        raise too_large(len(data), limits)
    try:
        with wave.open(io.BytesIO(data)) as file:
            channels, width, rate = file.getnchannels(), file.getsampwidth(), file.getframerate()
            content = file.readframes(file.getnframes())
    except (wave.Error, EOFError) as error:
        raise BadData(f"is not a WAV file: {str(error) or 'it ends early'}") from None
    if width != 2:
        raise BadData(f"has {8 * width} bits a sample; read are 16")
    whole = len(content) // (2 * channels)
    if not whole or not rate:
        raise BadData("holds no sample")
    sound = np.frombuffer(content[: whole * 2 * channels], "<i2").reshape(whole, channels)
    return sound.mean(axis=1) / 32_768, rate
