"""Anomalies as events: runs of labelled rows, found or not, and how soon. Numpy only."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from modelyard.families.anomaly.judged import Moments


@dataclass(frozen=True)
class Event:
    """One anomaly: consecutive labelled rows of a series."""

    first: int
    """Its first row in the part, which may not be judged."""
    moments: np.ndarray
    """Numbers of its judged moments, ascending."""
    kind: int

    def delay(self, moments: Moments, alarm: np.ndarray) -> int | None:
        """Rows from its first to the first alarm; None when there is none."""
        raised = self.moments[alarm[self.moments]]
        if len(raised):
            return int(moments.ends[raised[0]] - self.first)
        return None


def events(moments: Moments) -> list[Event]:
    """All labelled anomalies of the part that have a judged moment."""
    part = moments.part
    labelled = part.label == 1
    same_series = part.series[1:] == part.series[:-1]
    # An anomaly continues where the row before is labelled too, and of the same series.
    continued = np.concatenate([[False], same_series & labelled[:-1]])
    begins = labelled & ~continued
    starts = np.flatnonzero(begins)
    # Number of the latest event that has begun, of each row.
    number = np.cumsum(begins) - 1
    judged = np.flatnonzero(moments.label == 1)
    of = number[moments.ends[judged]]
    found = []
    for index in np.unique(of).tolist():
        first = int(starts[index])
        found.append(Event(first, judged[of == index], int(part.kind[first])))
    return found


def found(
    all_events: list[Event], moments: Moments, alarm: np.ndarray, kinds: list[str]
) -> dict[str, float]:
    """`event_recall`, `event_recall: <kind>` for each named kind, and `detection_delay`, mean
    rows of those found."""
    delays = [event.delay(moments, alarm) for event in all_events]
    hits = np.array([delay is not None for delay in delays])
    result = {"event_recall": float(hits.mean())}
    for number, name in enumerate(kinds):
        mine = np.array([event.kind == number for event in all_events])
        if mine.any():
            result[f"event_recall: {name}"] = float(hits[mine].mean())
    late = [delay for delay in delays if delay is not None]
    if late:
        result["detection_delay"] = float(np.mean(late))
    return result
