"""Runs in MLflow: settings, metrics beside the baseline's, learning curves, the card.

`deploy` tracks a run that passed its gate and `package` one that failed: importing MLflow takes
seconds, so that only the step that ends a run pays for it.
"""

from __future__ import annotations

import fcntl
import json
import logging
import math
import os
import re
import sqlite3
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from modelyard.errors import MissingExtra, ModelyardError, Unavailable
from modelyard.home import home, slug, tracking_uri
from modelyard.judging.evaluation import Evaluation, GateResult
from modelyard.packages.variant import Variants
from modelyard.registry import variants
from modelyard.registry.quiet import QUIET
from modelyard.settings.family import config_hash

if TYPE_CHECKING:
    from mlflow import MlflowClient

    from modelyard.stages.run import Run

log = logging.getLogger("modelyard")
_ARTIFACTS = "/api/2.0/mlflow-artifacts"
"""Where a server takes and gives the files of runs."""
PARAMETERS_A_CALL, METRICS_A_CALL, LONGEST, LONGEST_TAG, LONGEST_NAME = 100, 1000, 6000, 5000, 100
"""MLflow's own limits; in characters of a parameter's value, a tag's value, and a name, of which
a metric has two."""


def client() -> MlflowClient:
    """A client of the tracking and registry server; the SQLite file in the home is made when it is
    missing.

    Raises:
        MissingExtra: MLflow is not installed.
    """
    for name, value in QUIET.items():
        os.environ.setdefault(name, value)
    try:
        from mlflow import MlflowClient
    except ModuleNotFoundError:
        raise MissingExtra("tracking", "track") from None
    uri = tracking_uri()
    with server():
        if (file := database(uri)) is not None and not file.is_file():
            file.parent.mkdir(parents=True, exist_ok=True)
            with file.with_name(f".{file.name}.lock").open("w") as stream:
                fcntl.flock(stream, fcntl.LOCK_EX)
                if not file.is_file():  # another process may have made it meanwhile
                    _make_database(file)
        return MlflowClient(uri, uri)


def _make_database(file: Path) -> None:
    """MLflow makes its tables one by one, and never opens a file again in which it was stopped
    halfway: so they are made elsewhere, and the file appears whole."""
    from mlflow import MlflowClient

    with tempfile.TemporaryDirectory(prefix=".mlflow-", dir=file.parent) as folder:
        fresh, whole = Path(folder) / "fresh.db", Path(folder) / "whole.db"
        made = MlflowClient(f"sqlite:///{fresh}", f"sqlite:///{fresh}")
        made.search_experiments(max_results=1)
        made.search_registered_models(max_results=1)
        with closing(sqlite3.connect(fresh)) as source, closing(sqlite3.connect(whole)) as target:
            source.backup(target)
        whole.replace(file)


def database(uri: str) -> Path | None:
    """The file of a SQLite tracking URI; None for a server."""
    if uri.startswith("sqlite:///"):
        return Path(uri.removeprefix("sqlite:///"))
    return None


@contextmanager
def server() -> Iterator[None]:
    """Turns MLflow's and the network's errors into `Unavailable`, with the server's address."""
    from mlflow.exceptions import MlflowException

    try:
        yield
    except (MlflowException, OSError) as error:
        said = str(error)
        if _ARTIFACTS in said:
            said = f"it does not store files. {_store_says()}. The request: {said}"
        raise Unavailable(
            f"MLflow at {tracking_uri()}: {said.rstrip('.')}. See MLFLOW_TRACKING_URI"
        ) from None


def _store_says() -> str:
    """The server's own words about its artifact store. An upload that fails has none: its
    connection is cut while the file is still being sent. A listing asks the same store and is
    answered."""
    from mlflow.exceptions import MlflowException
    from mlflow.utils.credentials import get_default_host_creds
    from mlflow.utils.rest_utils import http_request

    try:
        creds = get_default_host_creds(tracking_uri())
        answer = http_request(
            creds, f"{_ARTIFACTS}/artifacts", "GET", max_retries=0, raise_on_status=False
        )
    except (MlflowException, OSError) as error:
        return f"Its store cannot be reached: {error}"
    if answer.ok:
        return "Its store can be read, so that it may lack the right to write"
    try:
        return f"It says: {answer.json()['message']}"
    except (ValueError, KeyError, TypeError):
        return f"It answers {answer.status_code}; why, only its log says: kubectl logs deployment/NAME-mlflow"


def run_of(mlflow: MlflowClient, run: Run) -> str:
    """The MLflow run of a run of ours, made when there is none: found by its id and config."""
    with server():
        experiment = _experiment(mlflow, slug(run.name))
        tags = {"modelyard.run": run.id, "modelyard.config": config_hash(run.config)[:12]}
        conditions = [f"tags.`{name}` = '{value}'" for name, value in tags.items()]
        known = mlflow.search_runs([experiment], " and ".join(conditions), max_results=1)
        if known:
            return str(known[0].info.run_id)
        tags |= {"modelyard.family": run.name, "modelyard.code": run.code_version}
        return str(mlflow.create_run(experiment, tags=tags, run_name=run.id).info.run_id)


def has_ended(family: str, run: str) -> bool:
    """Whether a run of ours left a record of its end, as `track` writes it: also one that failed its
    gate."""
    mlflow = client()
    with server():
        experiment = _experiment(mlflow, slug(family))
        found = mlflow.search_runs([experiment], f"tags.`modelyard.run` = '{run}'", max_results=1)
    return bool(found)


def track(
    run: Run,
    evaluation: Evaluation,
    gate: GateResult,
    *,
    training: Mapping[str, Any] | None = None,
    data_revision: str | None = None,
    cost: Mapping[str, float] | None = None,
    compiled: Variants | None = None,
    files: Sequence[Path] = (),
) -> str:
    """Records a finished run, once however often it is called with the same; returns MLflow's run
    id.

    `training` is what `Family.fit` returned: its `curves` become metrics by step. `cost` holds
    figures called `cost_…`. `compiled` are the variants: each one's figures become metrics under
    `variant/NAME`, and what became of them a tag. `files` are kept as artifacts.

    Raises:
        MissingExtra, Unavailable: no MLflow here, or its server does not answer.
    """
    from modelyard.store.artifact import now

    mlflow = client()
    run_id = run_of(mlflow, run)
    with server():
        known = mlflow.get_run(run_id)
        mark = evaluation.model_dump_json() + gate.model_dump_json()
        if known.data.tags.get("modelyard.tracked") == hash_text(mark):
            return run_id
        _log_parameters(mlflow, run_id, run.config.model_dump(mode="json"))
        figures = dict(cost or {})
        tags: dict[str, str] = {}
        if compiled is not None:
            figures |= variants.figures(compiled)
            tags |= variants.tags(compiled)
        _log_metrics(mlflow, run_id, evaluation, (training or {}).get("curves") or {}, figures)
        for file in files:
            mlflow.log_artifact(run_id, str(file))
        tags |= {
            "modelyard.gate": gate.reason,
            "modelyard.passed": str(gate.passed).lower(),
            "modelyard.ended": now(),
        }
        tags["modelyard.data"] = data_revision or ""
        for name, value in tags.items():
            mlflow.set_tag(run_id, name, value[:LONGEST_TAG])
        mlflow.set_terminated(run_id, "FINISHED" if gate.passed else "FAILED")
        # The mark last: without it a step that was killed records everything again.
        mlflow.set_tag(run_id, "modelyard.tracked", hash_text(mark))
    return run_id


def track_failure(run: Run, evaluation: Evaluation, gate: GateResult, **fields: Any) -> None:
    """`track` for a run that missed its gate: where MLflow is missing or silent, the gate's own
    error comes first."""
    try:
        track(run, evaluation, gate, **fields)
    except MissingExtra:
        return
    except ModelyardError as error:
        log.warning("the failed run is not tracked: %s", error)


def hash_text(text: str) -> str:
    """Twelve digits that stand for a text."""
    import hashlib

    return hashlib.sha256(text.encode()).hexdigest()[:12]


def flat(values: Mapping[str, Any], prefix: str = "") -> dict[str, str]:
    """`{"model": {"kind": "mlp"}}` to `{"model.kind": "mlp"}`; what is not text is JSON."""
    found: dict[str, str] = {}
    for name, value in values.items():
        if isinstance(value, Mapping) and value:
            found |= flat(value, f"{prefix}{name}.")
        else:
            found[prefix + name] = value if isinstance(value, str) else json.dumps(value)
    return found


def _experiment(mlflow: MlflowClient, name: str) -> str:
    from mlflow.exceptions import MlflowException

    if (known := mlflow.get_experiment_by_name(name)) is not None:
        return str(known.experiment_id)
    place = None  # a server's own store
    if database(tracking_uri()) is not None:
        place = (home() / "mlflow").as_uri()
    try:
        return str(mlflow.create_experiment(name, artifact_location=place))
    except MlflowException:  # made by another run in this very moment
        known = mlflow.get_experiment_by_name(name)
        if known is None:
            raise
        return str(known.experiment_id)


def _log_parameters(mlflow: MlflowClient, run_id: str, config: Mapping[str, Any]) -> None:
    from mlflow.entities import Param

    settings = [Param(_name(name), value[:LONGEST]) for name, value in flat(config).items()]
    for start in range(0, len(settings), PARAMETERS_A_CALL):
        mlflow.log_batch(run_id, params=settings[start : start + PARAMETERS_A_CALL])


def _log_metrics(
    mlflow: MlflowClient,
    run_id: str,
    evaluation: Evaluation,
    curves: Mapping[str, Mapping[str, Sequence[Any]]],
    cost: Mapping[str, float],
) -> None:
    from time import time

    from mlflow.entities import Metric

    now = int(time() * 1000)
    metrics = []
    for name, value in evaluation.metrics.items():
        metrics.append(Metric(_name(name), value, now, 0))
    for name, value in evaluation.baseline.items():
        metrics.append(Metric(f"baseline/{_name(name)}", value, now, 0))
    for name, value in cost.items():
        metrics.append(Metric(_name(name), value, now, 0))
    for figure, lines in curves.items():
        for line, values in lines.items():
            key = f"{_name(figure)}/{_name(line)}"
            for step, value in enumerate(values):
                # A curve may have gaps and texts; servers refuse what is not finite.
                if isinstance(value, int | float) and math.isfinite(value):
                    metrics.append(Metric(key, float(value), now, step))
    for start in range(0, len(metrics), METRICS_A_CALL):
        mlflow.log_batch(run_id, metrics=metrics[start : start + METRICS_A_CALL])


def _name(name: str) -> str:
    """As MLflow takes it, which makes files of names: `recall@10` to `recall_at_10`, `../x` to
    `x`."""
    if len(name) > LONGEST_NAME:
        name = f"{name[: LONGEST_NAME - 13]}-{hash_text(name)}"  # two long names stay two
    plain = re.sub(r"[^\w\-. /]", "_", name.replace("@", "_at_"), flags=re.ASCII)
    # A part of dots only would lead to another folder.
    parts = [part.strip().lstrip(".") for part in plain.split("/") if part.strip(" .")]
    return "/".join(parts) or "_"
