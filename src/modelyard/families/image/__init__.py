"""Pictures: classification, with thresholds for diagnosis and maps of the evidence."""

from modelyard.families.image.config import ImageConfig
from modelyard.family import Entry

FAMILY = Entry(
    "pictures: classification and diagnosis",
    ImageConfig,
    data=".data:ImageData",
    build=".family:Image",
    host=".host:ImageHost",
)
