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
from modelyard.store.base import base_of


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


def settled(config: RecommenderConfig, folder: Path) -> RecommenderModel:
    """The settings of the model, with `auto` decided by the number of items. `folder` is of features,
    or of a trained model, which says itself what it is.

    A linear model of pairs is fitted in seconds and at least as good on most small catalogues. Who
    sets something of a network wants one, and an earlier model goes on as what it is.
    """
    known = folder / "assets" / "model.json"
    if known.is_file():
        return RecommenderModel.model_validate(json.loads(known.read_text())["settings"])
    settings = config.model
    if settings.kind != "auto":
        return settings
    if base := base_of(folder):
        kind = json.loads((base / "assets" / "model.json").read_text())["kind"]
    else:
        # Only the shared loop makes networks small and keeps exemplars.
        of_the_loop = config.compress.wanted or config.continual.memory > 0
        wants_network = of_the_loop or settings != RecommenderModel()
        items = len(Catalog.load(folder / "assets").items)
        kind = "lightgcn" if wants_network or items > ease.MOST_ITEMS else "ease"
    return settings.model_copy(update={"kind": kind})


def build(settings: RecommenderModel, assets: Path) -> Network:
    """The untrained network for the users and items of `assets`; `settings` are settled."""
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
