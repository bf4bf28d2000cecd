"""Objects in pictures: their classes and the boxes around them."""

from modelyard.families.detection.config import DetectionConfig
from modelyard.family import Entry

FAMILY = Entry(
    "objects in pictures: boxes around them",
    DetectionConfig,
    data=".data:DetectionData",
    build=".family:Detection",
    host=".host:DetectionHost",
)
