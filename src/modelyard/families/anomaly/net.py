"""What every torch detector begins with: inputs without a unit."""

from __future__ import annotations

from abc import abstractmethod

import numpy as np
import torch
from torch import nn

Batch = dict[str, torch.Tensor]
FARTHEST = 1e3
"""Scaled inputs are kept within this distance of 0, so that every score is finite."""


class Net(nn.Module):
    """Scales its inputs, then what the subclass does. `matrix` turns standardized columns."""

    def __init__(self, mean: np.ndarray, matrix: np.ndarray) -> None:
        """`mean` (columns,) and `matrix` (columns, columns): scaled = (values - mean) @ matrix."""
        super().__init__()
        self.mean = nn.Buffer(torch.tensor(mean, dtype=torch.float32))
        self.matrix = nn.Buffer(torch.tensor(matrix, dtype=torch.float32))

    def scaled(self, values: torch.Tensor) -> torch.Tensor:
        """Without a unit, each training column of mean 0 and standard deviation 1."""
        return ((values - self.mean) @ self.matrix).clamp(-FARTHEST, FARTHEST)

    @abstractmethod
    def objective(self, values: torch.Tensor) -> torch.Tensor:
        """Mean loss of a batch, a scalar."""
