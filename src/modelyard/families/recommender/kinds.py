"""The kinds of model: the network of each and what it is trained on. A new kind is a row here, and
its defaults in config.py."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from modelyard.families.recommender import ease
from modelyard.families.recommender.batches import (
    Make,
    impressions,
    interactions,
    ordered_interactions,
    windows,
)
from modelyard.families.recommender.catalog import Catalog
from modelyard.families.recommender.config import USUAL, RecommenderConfig, RecommenderModel
from modelyard.families.recommender.din import DIN
from modelyard.families.recommender.ease import EASE
from modelyard.families.recommender.model import LightGCN, NeuMF
from modelyard.families.recommender.networks import Network
from modelyard.families.recommender.sequence import SASRec
from modelyard.families.recommender.towers import Towers


@dataclass(frozen=True)
class Kind:
    """A network, and how it is trained."""

    network: Callable[[Catalog, RecommenderModel], Network]
    batches: Make | None = None
    """What the shared loop trains it on."""
    fit: Callable[[RecommenderConfig, Path, Path], dict[str, Any]] | None = None
    """Fits it in place of the shared loop: config, features and the model's folder to its report."""


KINDS: Mapping[str, Kind] = {
    "lightgcn": Kind(LightGCN, interactions),
    "ncf": Kind(NeuMF, interactions),
    "multitask": Kind(Towers, impressions),
    "din": Kind(DIN, ordered_interactions),
    "sequence": Kind(SASRec, windows),
    "ease": Kind(EASE, fit=ease.fit),
}


def build(settings: RecommenderModel, assets: Path) -> Network:
    """The untrained network for the users and items of `assets`.

    The assets of a trained model say themselves which network it is; `settings` say it for those of
    features.
    """
    known = Path(assets) / "model.json"
    if known.is_file():
        settings = RecommenderModel.model_validate(json.loads(known.read_text())["settings"])
    catalog = Catalog.load(assets)
    if not USUAL[settings.kind].columns:
        catalog = catalog.without_columns()
    return KINDS[settings.kind].network(catalog, settings)


def describe(settings: RecommenderModel, net: Network) -> dict[str, Any]:
    """What `assets/model.json` holds."""
    if settings.kind == "multitask":
        heads = {"rank_by": settings.rank_by}
    else:
        heads = {}
    return {
        "kind": settings.kind,
        "scorer": net.scorer,
        "settings": settings.model_dump(mode="json"),
        **heads,
    }
