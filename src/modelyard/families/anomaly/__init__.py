"""Anomalies in measurements of machines: detectors trained on normal rows or windows of time."""

from modelyard.families.anomaly.config import AnomalyConfig
from modelyard.family import Entry

FAMILY = Entry(
    "anomalies in sensor series: rows or windows of time",
    AnomalyConfig,
    data=".data:AnomalyData",
    build=".family:Anomaly",
    host=".host:AnomalyHost",
)
