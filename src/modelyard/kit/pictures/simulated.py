"""What simulated pictures are made of."""

from __future__ import annotations

import numpy as np


def shifted(pictures: np.ndarray, drift: float, seed: int) -> np.ndarray:
    """Darker and noisier as `drift` goes from 0 (unchanged) to 1."""
    if not drift:
        return pictures
    noise = np.random.default_rng([seed, 47]).normal(0, 25 * drift, pictures.shape)
    darker = np.clip(pictures * (1 - 0.5 * drift) + noise, 0, 255)
    found: np.ndarray = darker.round().astype(np.uint8)
    return found


def cloud(r: np.random.Generator, side: int) -> np.ndarray:
    """Smooth noise of about unit deviation, (side, side)."""
    # White noise whose high frequencies are taken away.
    frequency = np.hypot(np.fft.fftfreq(side)[:, None], np.fft.fftfreq(side)[None])
    noise = np.fft.fft2(r.normal(size=(side, side)))
    smooth = np.fft.ifft2(noise * np.exp(-np.square(frequency * 12))).real
    found: np.ndarray = smooth / smooth.std()
    return found
