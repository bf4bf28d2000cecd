"""Texts: labels of a text, by recurrent networks or transformers, from scratch or a checkpoint."""

from modelyard.families.text.config import TextConfig
from modelyard.family import Entry

FAMILY = Entry(
    "texts: classification, one label or many",
    TextConfig,
    data=".tasks:data",
    build=".tasks:build",
    host=".tasks:host",
)
