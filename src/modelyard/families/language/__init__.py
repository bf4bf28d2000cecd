"""Language: GPT-2, Llama and Mistral models that continue a prompt; from scratch, a checkpoint,
or adapters."""

from modelyard.families.language.config import LanguageConfig
from modelyard.family import Entry

FAMILY = Entry(
    "text: causal language models",
    LanguageConfig,
    data=".data:LanguageData",
    build=".family:Language",
    host=".host:LanguageHost",
)
