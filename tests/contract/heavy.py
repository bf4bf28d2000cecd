"""A family whose module imports what importing a family must not."""

from __future__ import annotations

import pandas  # noqa: F401 - the broken promise

from modelyard.family import Entry
from tests.toy.family import LineConfig, LineFamily, LineHost

Heavy = Entry("a straight line", LineConfig, build=LineFamily, host=LineHost)
