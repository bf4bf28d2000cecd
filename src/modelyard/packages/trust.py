"""What an operator allows the packages of this process: families from outside, and whose
signatures count."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from modelyard import family as families
from modelyard.errors import UsageError
from modelyard.family import Entry
from modelyard.packages import signing
from modelyard.packages.signing import PUBLIC_KEY

FAMILIES = "MODELYARD_FAMILIES"


@dataclass(frozen=True)
class Trust:
    """A package is data: it says which family answers for it, and does not decide that its code
    is imported."""

    families: frozenset[str] = frozenset()
    """Families from outside (`module:Class`) whose code may be imported. Those of modelyard
    always may."""
    public_keys: Path | None = None
    """PEM file of the keys of which one must have signed a package. None: packages need no
    signature."""

    @classmethod
    def from_environment(cls, environ: Mapping[str, str] = os.environ) -> Trust:
        """As MODELYARD_FAMILIES (names with commas between) and MODELYARD_PUBLIC_KEY_FILE say."""
        names = re.split(r"[,\s]+", environ.get(FAMILIES, ""))
        keys = environ.get(PUBLIC_KEY)
        return cls(frozenset(filter(None, names)), Path(keys) if keys else None)

    def naming(self, *names: str) -> Trust:
        """The same, and these families: a command named them, or they answer here already."""
        return replace(self, families=self.families | set(names))

    def check(self, package: Path) -> None:
        """Refuses a package without a signature that counts here."""
        if self.public_keys is not None:
            signing.check(package, self.public_keys)

    def family(self, name: str) -> Entry[Any]:
        """The family of a package.

        Raises:
            UsageError: it is from outside and nobody named it: nothing was imported.
        """
        # Names of modelyard's own families have no colon.
        if ":" in name and name not in self.families:
            raise UsageError(
                f"the package is of family {name!r}, which is code from outside modelyard that nobody named here; it "
                f"was not imported. If you trust that code, name it: --family {name}, or {FAMILIES}={name}"
            )
        return families.load(name)
