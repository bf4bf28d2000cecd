"""A family from outside modelyard: short sounds, classified by their spectrogram."""

from modelyard.family import Entry
from tests.sounds.config import SoundsConfig

Sounds = Entry(
    "short sounds: classification",
    SoundsConfig,
    data=".data:SoundsData",
    build=".family:SoundsFamily",
    host=".host:SoundsHost",
)
