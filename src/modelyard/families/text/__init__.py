"""Texts: labels of a text, spans in it, answers from it and translations of it, by recurrent networks
or transformers, from scratch or a checkpoint."""

from modelyard.families.text.config import TextConfig
from modelyard.family import Entry

FAMILY = Entry(
    "texts: labels, one or many; spans; answers; translation",
    TextConfig,
    data=".tasks.data:data",
    build=".tasks.build:build",
    host=".tasks.host:host",
)
