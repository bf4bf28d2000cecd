"""Tables: classification and regression on a person's CSV or Parquet file."""

from modelyard.families.tabular.config import TabularConfig
from modelyard.family import Entry

FAMILY = Entry(
    "tables: classification and regression",
    TabularConfig,
    data=".data:TabularData",
    build=".family:Tabular",
    host=".host:TabularHost",
)
