"""Recommenders: who had what, to what they may like next."""

from modelyard.families.recommender.config import RecommenderConfig
from modelyard.family import Entry

FAMILY = Entry(
    "recommendations: what a user may like next",
    RecommenderConfig,
    data=".data:RecommenderData",
    build=".family:Recommender",
    host=".host:RecommenderHost",
)
