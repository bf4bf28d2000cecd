"""Texts: labels of a text, spans in it and answers from it, by recurrent networks or transformers,
from scratch or a checkpoint."""

from modelyard.families.text.config import TextConfig
from modelyard.family import Entry

FAMILY = Entry(
    "texts: classification, one label or many; spans; answers",
    TextConfig,
    data=".tasks.data:data",
    build=".tasks.build:build",
    host=".tasks.host:host",
)
