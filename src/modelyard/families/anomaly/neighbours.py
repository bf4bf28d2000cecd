"""Rows judged by how far the nearest training rows are from them, column by column."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import torch
from scipy.stats import norm
from torch import nn

from modelyard.families.anomaly.config import AnomalyModel
from modelyard.families.anomaly.net import FARTHEST, Batch, Net
from modelyard.store.base import WEIGHTS

PIECES = 32
"""Of a column's curve from values to normal scores."""
FEWEST, SHARE = 10, 0.02
"""Nearest rows that a row is compared with: so many, and where nobody labelled at least this share
of the kept rows. Anomalies among those may be alike, and each near the others."""


class Neighbours(Net):
    """The mean squared distance from the nearest training rows, of those that are kept (Ramaswamy et al.
    2000, with the mean over them of Angiulli and Pizzuti 2002).

    Of two views of each column: in standard deviations, and as the normal score of its rank among
    the kept rows, which does not depend on the column's tails. `forward`: (rows, columns) to
    `errors` of that shape, the root of each column's part of the distance.
    """

    def __init__(self, mean: np.ndarray, spread: np.ndarray) -> None:
        """`mean` and `spread`, standard deviations above 0: both (columns,)."""
        super().__init__(mean, np.diag(1 / spread))
        columns = len(mean)
        self.spread = nn.Buffer(torch.tensor(spread, dtype=torch.float32))
        self.rows = nn.Buffer(torch.zeros(1, columns))
        self.memory = nn.Buffer(torch.zeros(1, 2 * columns))
        self.starts = nn.Buffer(torch.zeros(columns, PIECES))
        self.widths = nn.Buffer(torch.ones(columns, PIECES))
        self.rises = nn.Buffer(torch.zeros(columns, PIECES))
        self.lowest = nn.Buffer(torch.zeros(columns))
        self.highest = nn.Buffer(torch.zeros(columns))
        self.base = nn.Buffer(torch.zeros(columns))
        self.nearest = nn.Buffer(torch.tensor(1))
        self._count = 1
        # How many rows are kept is known from the weights only.
        self.register_load_state_dict_pre_hook(_as_large)  # type: ignore[no-untyped-call]  # torch's is

    @torch.no_grad()
    def remember(self, rows: torch.Tensor, nearest: int) -> None:
        """Keeps `rows` (rows, columns) to compare with the `nearest` of them, and fits the columns'
        curves."""
        for place, column in enumerate(rows.numpy().T):
            values, scores = _knots(column)
            lacking = PIECES + 1 - len(values)
            # Pieces that are not needed rise by nothing.
            starts = np.pad(values[:-1], (0, lacking), constant_values=values[0])
            widths = np.pad(np.diff(values), (0, lacking), constant_values=1)
            rises = np.pad(np.diff(scores), (0, lacking))
            self.starts[place] = torch.from_numpy(starts)
            self.widths[place] = torch.from_numpy(widths)
            self.rises[place] = torch.from_numpy(rises)
            self.lowest[place], self.highest[place] = float(values[0]), float(values[-1])
            self.base[place] = float(scores[0])
        self.rows = nn.Buffer(rows.clone())
        self.memory = nn.Buffer(self.views(rows))
        self._count = min(nearest, len(rows))
        self.nearest.fill_(self._count)

    def forward(self, values: torch.Tensor) -> Batch:
        views = self.views(values)
        # Squared distances less the row's own square, which orders them alike.
        far = self.memory.square().sum(dim=1) - 2 * views @ self.memory.T
        nearest = far.topk(self._count, dim=1, largest=False).indices
        apart = (views[:, None] - self.memory[nearest]).square().mean(dim=1)
        in_deviations, in_ranks = apart.chunk(2, dim=1)
        return {"errors": ((in_deviations + in_ranks) / 2).sqrt()}

    def objective(self, values: torch.Tensor) -> torch.Tensor:
        """The mean score: nothing is trained by it."""
        loss: torch.Tensor = self(values)["errors"].square().mean()
        return loss

    def views(self, values: torch.Tensor) -> torch.Tensor:
        """(rows, columns) to (rows, 2 × columns)."""
        along = ((values[:, :, None] - self.starts) / self.widths).clamp(0, 1)
        scores = self.base + (along * self.rises).sum(dim=2)
        # Beyond the kept values in standard deviations.
        below = (values - self.lowest).clamp(max=0) / self.spread
        above = (values - self.highest).clamp(min=0) / self.spread
        scores = (scores + below + above).clamp(-FARTHEST, FARTHEST)
        return torch.cat([self.scaled(values), scores], dim=1)


def fit(
    net: Neighbours, x: np.ndarray, settings: AnomalyModel, clean: bool, seed: int, out: Path
) -> dict[str, Any]:
    """Keeps normal rows `x` float32 (rows, columns) in `net`, at most `model.most_rows` drawn at random, and
    writes its weights to `out`; returns what it is in words.

    Args:
        clean: anomalies among the rows were labelled, and left out.
    """
    from safetensors.torch import save_file

    rng = np.random.default_rng(seed)
    kept = np.sort(rng.permutation(len(x))[: settings.most_rows])
    nearest = settings.nearest
    if nearest is None:
        nearest = FEWEST
        if not clean:
            nearest = max(FEWEST, math.ceil(SHARE * len(kept)))
    net.remember(torch.from_numpy(x[kept]), nearest)
    save_file(net.state_dict(), out / WEIGHTS)
    rows = f"{len(kept):,}"
    if len(kept) < len(x):
        rows += f" of {len(x):,}"
    return {"headline": f"distance from the nearest {min(nearest, len(kept))} of {rows} rows"}


def remembered(base: Path) -> np.ndarray:
    """The rows that an earlier detector keeps, float32 (rows, columns)."""
    from safetensors.numpy import load_file

    return np.asarray(load_file(base / WEIGHTS)["rows"])


def _knots(column: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Ascending different values of a column and the normal scores of their ranks, at most PIECES + 1."""
    values, counts = np.unique(column, return_counts=True)
    shares = (np.cumsum(counts) - counts / 2) / len(column)
    scores = norm.ppf(shares)
    if len(values) > PIECES + 1:
        wanted = np.linspace(scores[0], scores[-1], PIECES + 1)
        chosen = np.unique(np.searchsorted(scores, wanted).clip(0, len(values) - 1))
        chosen[0], chosen[-1] = 0, len(values) - 1
        values, scores = values[chosen], scores[chosen]
    return values, scores.astype(np.float32)


def _as_large(net: Neighbours, state: dict[str, torch.Tensor], prefix: str, *_: Any) -> None:
    for name, buffer in list(net.named_buffers(recurse=False)):
        held = state.get(prefix + name)
        if held is not None and held.shape[1:] == buffer.shape[1:]:
            setattr(net, name, torch.zeros_like(held))
    if prefix + "nearest" in state:
        net._count = int(state[prefix + "nearest"])
