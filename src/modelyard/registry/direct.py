"""A version of a registered name, read without MLflow's client, whose import takes seconds: from
the SQLite file on a laptop, by MLflow's REST API from a server.

It only reads, and only what one lookup needs: what it does not know, the client is asked.
"""

from __future__ import annotations

import base64
import http.client
import json
import os
import sqlite3
import ssl
import urllib.parse
import urllib.request
from collections.abc import Mapping
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from modelyard.home import tracking_uri
from modelyard.registry.tracking import database
from modelyard.registry.version import CHAMPION, DIGEST, VERSION, Version

ALIAS = "registered-models/alias"
_VERSION = "model-versions/get"
_SECONDS = 10.0
_LONGEST = 1_000_000
"""Most bytes of an answer."""


def find(name: str, version: str) -> Version | None:
    """A version, `champion` for the one that serves; None where it is not known here, which does
    not say that there is none."""
    # With workspaces other rows and other addresses count, which only the client knows.
    if os.environ.get("MLFLOW_WORKSPACE"):
        return None
    uri = tracking_uri()
    try:
        if (file := database(uri)) is not None:
            return _from_database(file, name, version)
        if uri.startswith(("http://", "https://")):
            return _from_server(name, version)
    except (sqlite3.Error, OSError, http.client.HTTPException, KeyError, ValueError):
        # No answer, or tables and answers of another MLflow: the client is asked instead.
        return None
    return None


def find_digest(name: str, digest: str) -> Version | None:
    """The first version that holds the package with this digest, from the SQLite file; None where
    it is not known here."""
    file = database(tracking_uri())
    if file is None or os.environ.get("MLFLOW_WORKSPACE"):
        return None
    try:
        with closing(_opened(file)) as tables:
            row = tables.execute(
                "SELECT min(version) FROM model_version_tags"
                " WHERE name = ? AND key = ? AND value = ? AND workspace = 'default'",
                (name, DIGEST, digest),
            ).fetchone()
        if row[0] is not None:
            return _from_database(file, name, str(row[0]))
        return None
    except sqlite3.Error:
        return None


def ask(method: str, **query: str) -> dict[str, Any]:
    """The answer of a GET method of the registry's REST API.

    Raises:
        OSError, HTTPException: the server does not answer, or refuses.
        ValueError: its answer is not JSON.
    """
    url = f"{tracking_uri().rstrip('/')}/api/2.0/mlflow/{method}?{urllib.parse.urlencode(query)}"
    request = urllib.request.Request(url, headers=_authorization(os.environ))  # noqa: S310
    with urllib.request.urlopen(  # noqa: S310
        request, timeout=_SECONDS, context=_context(os.environ)
    ) as answer:
        found: dict[str, Any] = json.loads(answer.read(_LONGEST))
    return found


def _opened(file: Path) -> sqlite3.Connection:
    """For reading only."""
    # `ro`: SQLite would create a file that is missing.
    place = f"file:{urllib.parse.quote(str(file.absolute()))}?mode=ro"
    return sqlite3.connect(place, uri=True, timeout=_SECONDS)


def _from_database(file: Path, name: str, version: str) -> Version | None:
    with closing(_opened(file)) as tables:
        serving = tables.execute(
            "SELECT version FROM registered_model_aliases"
            " WHERE name = ? AND alias = ? AND workspace = 'default'",
            (name, CHAMPION),
        ).fetchone()
        champion = str(serving[0]) if serving else None
        number = champion if version == CHAMPION else version
        # As text: SQLite takes `03` and `3.0` for the number 3, and no version is called so.
        row = tables.execute(
            "SELECT source, run_id, creation_time FROM model_versions"
            " WHERE name = ? AND CAST(version AS TEXT) = ? AND workspace = 'default' AND status = 'READY'",
            (name, number),
        ).fetchone()
        tags = tables.execute(
            "SELECT key, value FROM model_version_tags"
            " WHERE name = ? AND version = ? AND workspace = 'default'",
            (name, number),
        ).fetchall()
    if row is None or number is None:
        return None
    return _version(name, number, champion, dict(tags), *row)


def _from_server(name: str, version: str) -> Version | None:
    serving = ask(ALIAS, name=name, alias=CHAMPION)["model_version"]
    champion = str(serving["version"])
    found = serving
    if version not in (CHAMPION, champion):
        found = ask(_VERSION, name=name, version=version)["model_version"]
    tags = {tag["key"]: tag["value"] for tag in found.get("tags", ())}
    created = int(found["creation_timestamp"])
    number = str(found["version"])
    return _version(name, number, champion, tags, found["source"], found["run_id"], created)


def _version(
    name: str,
    number: str,
    champion: str | None,
    tags: dict[str, str],
    source: str,
    run: str,
    created: int,
) -> Version | None:
    """None for a version that was not registered by modelyard."""
    if DIGEST not in tags:
        return None
    return Version(
        name=name,
        version=number,
        package_version=tags.get(VERSION, ""),
        created=datetime.fromtimestamp(created / 1000, UTC),
        champion=number == champion,
        tags=tags,
        source=source,
        mlflow_run=run,
    )


def _authorization(environ: Mapping[str, str]) -> dict[str, str]:
    """As MLflow's own client reads the environment."""
    user, secret = environ.get("MLFLOW_TRACKING_USERNAME"), environ.get("MLFLOW_TRACKING_PASSWORD")
    if user and secret:
        text = base64.b64encode(f"{user}:{secret}".encode()).decode()
        return {"authorization": f"Basic {text}"}
    token = environ.get("MLFLOW_TRACKING_TOKEN")
    if token:
        return {"authorization": f"Bearer {token}"}
    return {}


def _context(environ: Mapping[str, str]) -> ssl.SSLContext:
    context = ssl.create_default_context(
        cafile=environ.get("MLFLOW_TRACKING_SERVER_CERT_PATH") or None
    )
    if environ.get("MLFLOW_TRACKING_INSECURE_TLS", "").lower() in ("true", "1"):
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    return context
