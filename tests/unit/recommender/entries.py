"""Small runs of kinds that the family's debug run does not have, for the contract's checks."""

from __future__ import annotations

from modelyard.families.recommender.config import RecommenderConfig
from modelyard.family import Entry

FAMILY = "modelyard.families.recommender"


def entry(kind: str) -> Entry[RecommenderConfig]:
    """The family with a debug run of another kind."""

    class Small(RecommenderConfig):
        """A run of seconds."""

        @classmethod
        def debug(cls) -> RecommenderConfig:
            settings = RecommenderConfig.debug().model_dump()
            settings["model"] |= {"kind": kind, "length": 8}
            return RecommenderConfig.model_validate(settings)

    return Entry(
        "a small run",
        Small,
        data=f"{FAMILY}.data:RecommenderData",
        build=f"{FAMILY}.family:Recommender",
        host=f"{FAMILY}.host:RecommenderHost",
    )


multitask = entry("multitask")
din = entry("din")
sequence = entry("sequence")
ease = entry("ease")
