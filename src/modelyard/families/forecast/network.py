"""The networks: a history and what is known ahead to quantiles of each step."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable

import torch
from torch import nn

from modelyard.families.forecast.config import ForecastModel
from modelyard.families.forecast.window import Schema

# The fused layer, taken where no gradient is needed, cannot be exported.
torch.backends.mha.set_fastpath_enabled(False)


class ForecastNet(nn.Module):
    """Adds to a simple forecast: exponential smoothing, or the seasonal naive one.

    `forward`: `history` (windows, context, …) and `future` (windows, horizon, …), scaled, to
    `quantiles` (windows, horizon, quantiles), ascending.
    """

    def __init__(self, schema: Schema, settings: ForecastModel) -> None:
        super().__init__()
        width = settings.width
        self.shape = (schema.horizon, width)
        self.median = schema.quantiles.index(0.5)
        self.dropout = nn.Dropout(settings.dropout)
        self.steps = nn.Linear(width, schema.horizon * width)
        self.ahead = nn.Linear(schema.future_width, width)
        self.output = nn.Sequential(
            nn.GELU(), nn.Linear(width, width), nn.GELU(), nn.Linear(width, len(schema.quantiles))
        )

    @abstractmethod
    def read(self, history: torch.Tensor) -> torch.Tensor:
        """(windows, context, …) to (windows, width)."""

    def forward(self, history: torch.Tensor, future: torch.Tensor) -> dict[str, torch.Tensor]:
        seen = self.steps(self.dropout(self.read(history))).reshape(-1, *self.shape)
        found = self.output(seen + self.ahead(future))
        # The first column of what is known ahead is the simple forecast.
        middle = found[..., self.median] + future[..., 0]
        return {"quantiles": around(middle, found, self.median)}


def around(middle: torch.Tensor, found: torch.Tensor, median: int) -> torch.Tensor:
    """Quantiles (windows, horizon, quantiles) around the median (windows, horizon), by as many numbers
    `found` that say how far apart they are."""
    # Each quantile lies a positive distance from the next: they cannot cross.
    apart = nn.functional.softplus(found)
    parts = [middle]
    for place in range(median - 1, -1, -1):
        parts.insert(0, parts[0] - apart[..., place])
    for place in range(median + 1, found.shape[-1]):
        parts.append(parts[-1] + apart[..., place])
    return torch.stack(parts, dim=-1)


class PatchNet(ForecastNet):
    """A transformer over patches of all columns of the history."""

    def __init__(self, schema: Schema, settings: ForecastModel) -> None:
        super().__init__(schema, settings)
        width = settings.width
        patch = min(settings.patch, schema.context)
        # Steps that are lacking to whole patches.
        self.pad = -schema.context % patch
        count = (schema.context + self.pad) // patch
        self.patches = (count, patch * schema.history_width)
        self.embed = nn.Linear(patch * schema.history_width, width)
        self.position = nn.Parameter(torch.randn(count, width) * 0.02)
        layer = nn.TransformerEncoderLayer(
            width,
            settings.heads,
            2 * width,
            settings.dropout,
            activation="gelu",
            batch_first=True,
            norm_first=True,
        )
        self.layers = nn.TransformerEncoder(layer, settings.layers, enable_nested_tensor=False)
        self.squeeze = nn.Linear(count * width, width)

    def read(self, history: torch.Tensor) -> torch.Tensor:
        """The oldest patch is filled with zeros, which mark missing steps."""
        padded = nn.functional.pad(history, (0, 0, self.pad, 0))
        patches = padded.reshape(-1, *self.patches)
        found: torch.Tensor = self.squeeze(
            self.layers(self.embed(patches) + self.position).flatten(1)
        )
        return found


class LstmNet(ForecastNet):
    """The last state of an LSTM."""

    def __init__(self, schema: Schema, settings: ForecastModel) -> None:
        super().__init__(schema, settings)
        between = settings.dropout if settings.layers > 1 else 0.0
        self.lstm = nn.LSTM(
            schema.history_width,
            settings.width,
            settings.layers,
            batch_first=True,
            dropout=between,
        )

    def read(self, history: torch.Tensor) -> torch.Tensor:
        """Step by step."""
        found: torch.Tensor = self.lstm(history)[0][:, -1]
        return found


class SmoothingNet(nn.Module):
    """The simple forecast itself, with bands that are learned: for series too short to teach more."""

    SPEED = 50.0
    """Of the bands, by a network's: there are few of them, and few optimizer steps."""

    def __init__(self, schema: Schema, settings: ForecastModel) -> None:
        super().__init__()
        self.median = schema.quantiles.index(0.5)
        self.bands = nn.Parameter(torch.zeros(schema.horizon, len(schema.quantiles)))

    def forward(self, history: torch.Tensor, future: torch.Tensor) -> dict[str, torch.Tensor]:
        """See ForecastNet; the history is in the simple forecast already."""
        # Times 0: the graph keeps the input, which every kind has, and its number of windows.
        middle = future[..., 0] + 0 * history[:, :1, 0]
        bands = (self.SPEED * self.bands).expand(middle.shape[0], -1, -1)
        return {"quantiles": around(middle, bands, self.median)}


KINDS: dict[str, Callable[[Schema, ForecastModel], nn.Module]] = {
    "patchtst": PatchNet,
    "lstm": LstmNet,
    "smoothing": SmoothingNet,
}


def pinball(quantiles: torch.Tensor, truth: torch.Tensor, levels: torch.Tensor) -> torch.Tensor:
    """Mean quantile loss, a scalar (Koenker and Bassett 1978): `quantiles` (windows, horizon,
    levels), `truth` (windows, horizon)."""
    off = truth[..., None] - quantiles
    loss: torch.Tensor = torch.maximum(levels * off, (levels - 1) * off).mean()
    return loss
