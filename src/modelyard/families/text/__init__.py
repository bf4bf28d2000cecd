"""Texts: one label each, by recurrent networks or transformers, from scratch or a checkpoint."""

from modelyard.families.text.config import TextConfig
from modelyard.family import Entry

FAMILY = Entry(
    "texts: classification",
    TextConfig,
    data=".data:TextData",
    build=".family:Text",
    host=".host:TextHost",
)
