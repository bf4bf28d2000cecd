"""The torch detectors: networks that scale their inputs, and what each of them minimizes."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import numpy as np
import torch
from torch import nn

from modelyard.families.anomaly.config import AnomalyConfig
from modelyard.families.anomaly.neighbours import Neighbours
from modelyard.families.anomaly.net import Batch, Net
from modelyard.families.anomaly.parts import Part
from modelyard.families.anomaly.relations import whitening
from modelyard.families.anomaly.schema import Schema, kind_of

LEAST_CENTRE = 0.1
"""Coordinates of the centre are kept this far from 0, where a network finds it too easily (Ruff
et al. 2018)."""


class Autoencoder(Net):
    """Squeezes a row through `code` numbers. `forward`: (rows, columns) to `errors`, in standard
    deviations."""

    def __init__(
        self,
        mean: np.ndarray,
        matrix: np.ndarray,
        hidden: tuple[int, ...],
        code: int,
        corruption: float,
    ) -> None:
        super().__init__(mean, matrix)
        self.corruption = corruption
        widths = (len(mean), *hidden, code, *hidden[::-1], len(mean))
        layers: list[nn.Module] = []
        # The code and the restored row may have any sign: no activation behind these two.
        plain = (len(hidden), len(widths) - 2)
        for number, (before, after) in enumerate(pairwise(widths)):
            layers.append(nn.Linear(before, after))
            if number not in plain:
                layers.append(nn.SiLU())
        self.layers = nn.Sequential(*layers)

    def forward(self, values: torch.Tensor) -> Batch:
        scaled = self.scaled(values)
        return {"errors": scaled - self.layers(scaled)}

    def objective(self, values: torch.Tensor) -> torch.Tensor:
        """Mean squared error of the values restored from corrupted ones."""
        scaled = self.scaled(values)
        loss: torch.Tensor = (scaled - self.layers(self._corrupted(scaled))).square().mean()
        return loss

    def _corrupted(self, scaled: torch.Tensor) -> torch.Tensor:
        """Some columns of each row are taken from another row (swap noise), so that the network
        learns to fix a column from the others (Vincent et al. 2008) and its error stays in that
        column.

        Validation is corrupted in the same way each time: its losses can be compared.
        """
        if self.training:
            draw = None
        else:
            draw = torch.Generator(scaled.device).manual_seed(0)
        other = scaled[torch.randperm(len(scaled), generator=draw, device=scaled.device)]
        swap = torch.rand(scaled.shape, generator=draw, device=scaled.device) < self.corruption
        return torch.where(swap, other, scaled)


class LstmAutoencoder(Net):
    """Reads a window into the state of an LSTM and writes it again from there (Malhotra et al.
    2016, with the last state given to every step of the decoder). `forward`: (windows, window,
    columns) to `errors` of the same shape."""

    def __init__(self, mean: np.ndarray, matrix: np.ndarray, units: int) -> None:
        super().__init__(mean, matrix)
        self.encoder = nn.LSTM(len(mean), units, batch_first=True)
        self.decoder = nn.LSTM(units, units, batch_first=True)
        self.output = nn.Linear(units, len(mean))

    def forward(self, values: torch.Tensor) -> Batch:
        scaled = self.scaled(values)
        read, _ = self.encoder(scaled)
        written, _ = self.decoder(read[:, -1:].expand_as(read))
        return {"errors": scaled - self.output(written)}

    def objective(self, values: torch.Tensor) -> torch.Tensor:
        """Mean squared error."""
        loss: torch.Tensor = self(values)["errors"].square().mean()
        return loss


class DeepSvdd(Net):
    """Maps rows close to a fixed centre, without bias terms (Ruff et al. 2018, one-class objective,
    equation 4).

    `forward`: (rows, columns) to `embedding` (rows, embedding).
    """

    def __init__(
        self, mean: np.ndarray, matrix: np.ndarray, hidden: tuple[int, ...], embedding: int
    ) -> None:
        super().__init__(mean, matrix)
        layers: list[nn.Module] = []
        for before, after in pairwise((len(mean), *hidden, embedding)):
            # With a bias the network could answer the centre whatever it is given.
            layers += [nn.Linear(before, after, bias=False), nn.LeakyReLU(0.1)]
        self.layers = nn.Sequential(*layers[:-1])
        self.centre = nn.Buffer(torch.ones(embedding))

    @torch.no_grad()
    def place(self, values: torch.Tensor) -> None:
        """Puts the centre to the mean of the untrained embeddings of `values`, away from 0."""
        mean = self(values)["embedding"].mean(0)
        sign = torch.where(mean < 0, -1.0, 1.0)
        self.centre.copy_(torch.where(mean.abs() < LEAST_CENTRE, sign * LEAST_CENTRE, mean))

    def forward(self, values: torch.Tensor) -> Batch:
        return {"embedding": self.layers(self.scaled(values))}

    def objective(self, values: torch.Tensor) -> torch.Tensor:
        """Mean squared distance from the centre."""
        loss: torch.Tensor = (self(values)["embedding"] - self.centre).square().sum(dim=1).mean()
        return loss


def build(config: AnomalyConfig, assets: Path) -> Net:
    """The untrained network for the folder around `assets`.

    Beside the training rows (in a features folder) it gets what is fitted on them; elsewhere the
    weights bring it.
    """
    schema, settings = Schema.load(assets), config.model
    kind = kind_of(config, schema)
    mean, spread = schema.figures("mean"), schema.figures("spread")
    matrix = np.diag(1 / spread)
    if kind == "neighbours":
        return Neighbours(mean, spread)
    if kind == "autoencoder":
        return Autoencoder(mean, matrix, settings.hidden, settings.code, settings.corruption)
    if kind == "lstm":
        return LstmAutoencoder(mean, matrix, settings.units)
    assert kind == "deepsvdd"
    train = Path(assets).parent / "train.npz"
    if not train.is_file():
        return DeepSvdd(mean, matrix, settings.hidden, settings.embedding)
    part = Part.load(train.parent, "train")
    x = part.x
    if settings.learn_from == "unmarked":
        # Some are left: `fit` refuses data of anomalies only before it trains.
        x = x[part.label != 1]
    if settings.whiten:
        matrix = whitening(x)
    net = DeepSvdd(mean, matrix, settings.hidden, settings.embedding)
    net.place(torch.from_numpy(x))
    return net
