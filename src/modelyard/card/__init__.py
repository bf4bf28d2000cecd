"""The card: one self-contained page that shows what a run produced, from what, and how
good it is."""

from __future__ import annotations

import importlib.util
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from modelyard.errors import MissingExtra

if TYPE_CHECKING:
    from modelyard.judging.evaluation import Evaluation
    from modelyard.packages.package import PackageInfo
    from modelyard.store.artifact import Origin

__all__ = ["render"]


def render(
    info: PackageInfo,
    evaluation: Evaluation,
    *,
    data: Mapping[str, Any],
    training: Mapping[str, Any],
    lineage: Mapping[str, Origin],
    reference: Mapping[str, Sequence[Any]] | None = None,
    others: Sequence[Origin] = (),
) -> str:
    """The page as HTML: no script, no external resource; the same arguments give the same bytes.

    `data` and `training` are the summaries that `Family.features` and `Family.fit` return; what
    they lack is left out. `lineage` holds what the package was made from, by digest. `reference`
    holds the columns that drift is measured against, by name. `others` is what the run produced that is
    not in the lineage: its cost counts too.

    Raises:
        MissingExtra: matplotlib or jinja2 is not installed.
    """
    for module in ("jinja2", "matplotlib"):
        if importlib.util.find_spec(module) is None:
            raise MissingExtra("the card of a run", "card")
    from modelyard.card.page import page

    return page(info, evaluation, data, training, lineage, reference or {}, others)
