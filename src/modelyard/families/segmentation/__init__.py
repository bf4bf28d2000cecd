"""Pictures in which every pixel has a class."""

from modelyard.families.segmentation.config import SegmentationConfig
from modelyard.family import Entry

FAMILY = Entry(
    "the class of every pixel of a picture",
    SegmentationConfig,
    data=".data:reading",
    build=".family:building",
    host=".host:answering",
)
