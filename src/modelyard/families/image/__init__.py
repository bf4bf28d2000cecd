"""Pictures: classification, with thresholds for diagnosis and maps of the evidence."""

from modelyard.families.image.config import ImageConfig
from modelyard.family import Entry

FAMILY = Entry(
    "pictures: classification, one label or many; diagnosis",
    ImageConfig,
    data=".tasks.data:data",
    build=".tasks.build:build",
    host=".tasks.host:host",
)
