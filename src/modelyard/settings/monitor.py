"""The `monitor` section: when served traffic counts as drifted."""

from __future__ import annotations

from pydantic import Field, model_validator

from modelyard.settings.base import Settings


class MonitorSettings(Settings):
    """When served traffic counts as drifted, and when drift asks for a retraining."""

    log: str | None = None
    """Folder or fsspec URI of the prediction log. None: `predictions/<family>` in the home
    folder."""
    window_hours: float = Field(default=24.0, gt=0)
    """Only predictions of the last so many hours are compared."""
    window_rows: int | None = Field(default=None, ge=10)
    """A window by count: of these hours only the newest so many predictions are compared. None: all
    of them."""
    min_rows: int = Field(default=50, ge=10)
    """Fewer logged rows than this give the verdict `too few rows` (none: `no rows`), never drift."""
    alpha: float = Field(default=0.01, gt=0, lt=1)
    """False discovery rate over all columns (Benjamini-Hochberg)."""
    min_effect: float = Field(default=0.1, ge=0, le=1)
    """Least distance between the distributions (Kolmogorov-Smirnov D, or total variation for
    categories) that matters, so that millions of rows don't turn trifles into alarms. Twice of it
    for a spread, half of it for missing cells, a fifth for values never seen; half of each from
    4,000 rows on."""
    share: float = Field(default=0.0, ge=0, lt=1)
    """The data set counts as drifted when more than this share of the columns drifted."""
    consecutive: int = Field(default=1, ge=1)
    """Drifted windows in a row before a retraining is requested. Windows that overlap count
    once."""
    cooldown_hours: float = Field(default=24.0, ge=0)
    """No retraining is requested within so many hours of the package's creation or of the last
    request."""
    most_a_week: int | None = Field(default=None, ge=1)
    """Retrainings that drift may request within seven days, over all versions of the name. None: as
    many as the cooldown allows."""
    quiet: str | None = Field(
        default=None, pattern=r"^([01]\d|2[0-3]):[0-5]\d-([01]\d|2[0-3]):[0-5]\d$"
    )
    """Time of day, in UTC, at which no retraining is requested: `08:00-18:00`; `22:00-06:00` goes over
    midnight. The first look after it requests what is due."""
    alert_link: str | None = None
    """Address that alerts point to, followed by the id of the run that looked: the page of drift
    reports, or of Kubeflow's runs."""
    textfile: str | None = None
    """File that each look's figures are written to, for the textfile collector of Prometheus' node
    exporter: `/var/lib/node_exporter/churn.prom`."""
    pushgateway: str | None = None
    """Address of a Prometheus Pushgateway that gets the figures: `pushgateway:9091`."""
    schedule: str | None = None
    """Name of the schedule that starts it, for verdict and report; the platform's chart sets it. None:
    a person does."""

    @model_validator(mode="after")
    def _enough_rows(self) -> MonitorSettings:
        if self.window_rows is not None and self.window_rows < self.min_rows:
            raise ValueError(
                f"monitor.window_rows is {self.window_rows}, less than monitor.min_rows = {self.min_rows}: "
                "every window would have too few rows. Raise it, or lower monitor.min_rows"
            )
        return self
