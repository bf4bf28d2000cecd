"""Texts: labels of a text and spans in it, by recurrent networks or transformers, from scratch or a checkpoint."""

from modelyard.families.text.config import TextConfig
from modelyard.family import Entry

FAMILY = Entry(
    "texts: classification, one label or many; spans",
    TextConfig,
    data=".tasks.data:data",
    build=".tasks.build:build",
    host=".tasks.host:host",
)
