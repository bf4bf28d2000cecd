"""The `cost` section: what an hour of each resource costs."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from modelyard.settings.base import Settings


class CostSettings(Settings):
    """Prices. What has none is measured and not priced; CPU and memory prices of a cloud hold
    its energy already."""

    currency: str = Field(default="EUR", min_length=1)
    """Label of all prices; nothing is converted."""
    cpu_core_hour: float | None = Field(default=None, ge=0)
    """Price of an hour of one core's work."""
    memory_gb_hour: float | None = Field(default=None, ge=0)
    """Price of an hour of 10^9 bytes of memory."""
    gpu_hour: dict[str, Annotated[float, Field(ge=0)]] = Field(default_factory=dict)
    """Price of an hour of one GPU by pattern of its name, `{"*H100*": 2.5}`; the first that fits
    counts."""
    kwh: float | None = Field(default=None, ge=0)
    """Price of a kilowatt-hour, where energy is measured and no other price holds it."""
