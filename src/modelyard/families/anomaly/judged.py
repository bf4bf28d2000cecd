"""What is judged: moments with their truth, scored by a detector and by the baseline."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from modelyard.families.anomaly import threshold
from modelyard.families.anomaly.host import AnomalyHost
from modelyard.families.anomaly.parts import Part
from modelyard.families.anomaly.schema import Schema

if TYPE_CHECKING:
    from modelyard.runtimes.types import Runtime

CHUNK = 20_000


@dataclass(frozen=True)
class Scored:
    """Scores of the judged moments, and the score above which each raises an alarm."""

    score: np.ndarray
    """Float64 (moments,)."""
    threshold: float
    calibration: np.ndarray
    """Scores of the calibration rows that no label calls an anomaly: they count as normal."""

    @property
    def alarm(self) -> np.ndarray:
        """Bool (moments,)."""
        return np.asarray(self.score > self.threshold)


@dataclass(frozen=True)
class Moments:
    """Rows of a part that are judged: each by its own label, scored with the rows before it.

    Those that follow an anomaly within a window are left out, whatever the detector: a window that
    still holds the anomaly is neither normal nor, by its last row, anomalous.
    """

    part: Part
    ends: np.ndarray
    """Rows of the part, int64 (moments,)."""
    window: int
    """Rows without a gap that lead to every moment, itself included."""

    @classmethod
    def of(cls, part: Part, window: int) -> Moments:
        """Every row with a whole window behind it, but for the aftermath of anomalies."""
        ends = part.ends(window)
        ill = part.label[ends] == 1
        return cls(part, ends[ill | ~part.disturbed(ends, window)], window)

    def unlabelled(self) -> Moments:
        """The same moments, of which nobody said what they are."""
        labels = np.full(len(self.part.label), -1, np.int8)
        return replace(self, part=replace(self.part, label=labels))

    @property
    def label(self) -> np.ndarray:
        """1, 0, or -1 where nobody said, (moments,)."""
        return np.asarray(self.part.label[self.ends])

    def __len__(self) -> int:
        return len(self.ends)


@dataclass(frozen=True)
class Judge:
    """A host with the columns of some features folder in its own order."""

    host: AnomalyHost
    run: Runtime
    schema: Schema
    columns: np.ndarray
    """Where the host's columns are in the folder's rows, int64."""

    @classmethod
    def of(cls, host: AnomalyHost, run: Runtime, features: Path) -> Judge:
        """
        Raises:
            BadData: the data lacks a column that the host needs.
        """
        schema = Schema.load(Path(features) / "assets")
        return cls(host, run, schema, host.schema.places(schema.names))

    @property
    def window(self) -> int:
        """Rows that a moment needs behind it: the data's window, or the host's where that is longer.
        Without a time no kind judges windows, and rows need not follow each other."""
        window = self.schema.window
        if self.schema.step is None:
            window = 1
        return max(window, self.host.detector.window)

    def score(self, part: Part, ends: np.ndarray) -> np.ndarray:
        """Scores of the windows with these last rows, float64."""
        window = self.host.detector.window
        scores = []
        # Overlapping windows, copied a part at a time.
        for some in np.array_split(ends, max(1, len(ends) // CHUNK)):
            scores.append(self.windows(part.windows(some, window)))
        return np.concatenate(scores)

    def windows(self, windows: np.ndarray) -> np.ndarray:
        """Scores of windows in the folder's columns; of longer ones their latest rows count."""
        own = self.own(windows)
        if len(own):
            return self.host.scores(self.run, own)
        return np.empty(0)

    def own(self, windows: np.ndarray) -> np.ndarray:
        """The host's columns, latest rows and offsets of windows in the folder's, float32."""
        own = windows[:, -self.host.detector.window :, self.columns]
        moved = self.schema.offsets[self.columns] - self.host.schema.offsets
        if not moved.any():
            # Another package takes other offsets off its columns.
            return own
        return np.asarray((own + moved).astype(np.float32))

    def detector(self, moments: Moments, calibration: Part) -> Scored:
        """The host's scores and its own threshold."""
        window = self.host.detector.window
        normal = self.score(calibration, calibration.unmarked(calibration.ends(window), window))
        return Scored(self.score(moments.part, moments.ends), self.host.detector.threshold, normal)

    def baseline(self, moments: Moments, calibration: Part, usual: Usual) -> Scored:
        """The largest absolute z-score of the row, with its threshold for the same false alarm
        rate."""
        kept = calibration.unmarked(calibration.ends(1), 1)
        normal = usual.z_score(calibration.x[kept])
        level = threshold.conformal(normal, self.host.detector.false_alarm_rate)
        return Scored(usual.z_score(moments.part.x[moments.ends]), level, normal)


@dataclass(frozen=True)
class Usual:
    """What the baseline learns of each column."""

    mean: np.ndarray
    """Float64 (columns,)."""
    spread: np.ndarray
    """Standard deviations, float64 (columns,)."""

    @classmethod
    def of(cls, features: Path, *, marked: bool) -> Usual:
        """Of the training rows: with those that are labelled anomalies where these are `marked`, so that
        the baseline learns from the rows that the detector learns from."""
        part = Part.load(features, "train")
        x = part.x.astype(np.float64)
        mean, spread = x.mean(axis=0), x.std(axis=0)
        normal = x[part.label != 1]
        if not marked and len(normal) > 1:
            # A column that only anomalies move keeps its spread: there is no other.
            own = normal.std(axis=0)
            mean, spread = normal.mean(axis=0), np.where(own > 0, own, spread)
        return cls(mean, np.where(spread > 0, spread, 1.0))

    def z_score(self, x: np.ndarray) -> np.ndarray:
        """Largest distance from a column's mean in its standard deviations, of rows (rows,
        columns)."""
        return np.asarray(np.abs((x - self.mean) / self.spread).max(axis=1))
