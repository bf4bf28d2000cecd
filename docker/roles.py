"""Uses every role of an image once, in the image's own environment: roles.py IMAGE FOLDER [ROLE…].

FOLDER holds `package/`, which the trainer leaves and the server serves, and the platform chart's
scripts in `files/`. The object store is that of AWS_ENDPOINT_URL: any that speaks S3, with nothing
in it.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

BIN = Path(sys.executable).parent
MODELS, LOGS, DATA = "models", "predictions", "dvc-data"
"""Buckets."""
SERVER, MLFLOW, REPORTS = 3100, 5100, 8100
"""Ports on the loopback interface."""
FAMILY = os.environ.get("FAMILY", "tabular")


def run(*command: object, codes: tuple[int, ...] = (0,), **environment: str) -> str:
    """What a command prints; ends this script with its words where it exits with another code."""
    words = [str(word) for word in command]
    words[0] = (
        shutil.which(words[0], path=f"{BIN}{os.pathsep}{os.environ.get('PATH', '')}") or words[0]
    )
    done = subprocess.run(
        words, env=os.environ | environment, capture_output=True, text=True, check=False
    )
    if done.returncode not in codes:
        sys.exit(
            f"{' '.join(words)} ended with {done.returncode}:\n{(done.stdout + done.stderr)[-3000:]}"
        )
    return done.stdout + done.stderr


def get(url: str, host: str = "") -> bytes:
    """The body of an answer."""
    request = urllib.request.Request(url, headers={"Host": host} if host else {})
    with urllib.request.urlopen(request, timeout=10) as answer:
        content: bytes = answer.read()
    return content


@contextmanager
def running(url: str, *command: object, **environment: str) -> Iterator[None]:
    """A server that answers at a URL until the block ends; SIGTERM must end it well."""
    words = [str(BIN / str(command[0])), *map(str, command[1:])]
    with tempfile.TemporaryFile("w+") as said:
        process = subprocess.Popen(
            words, env=os.environ | environment, stdout=said, stderr=subprocess.STDOUT
        )
        try:
            until = time.monotonic() + 240
            while not _answers(url):
                if process.poll() is not None or time.monotonic() > until:
                    said.seek(0)
                    sys.exit(f"{' '.join(words)} does not answer at {url}:\n{said.read()[-3000:]}")
                time.sleep(0.2)
            yield
        finally:
            process.terminate()
            process.wait(60)


def _answers(url: str) -> bool:
    try:
        get(url, host="localhost:5000")
    except (urllib.error.URLError, OSError):
        return False
    return True


def stored(bucket: str, prefix: str) -> str:
    """The listing of a bucket, as XML."""
    return get(f"{os.environ['AWS_ENDPOINT_URL']}/{bucket}?list-type=2&prefix={prefix}").decode()


def make_buckets() -> None:
    """The buckets, where they are not there yet."""
    for bucket in (MODELS, LOGS, DATA):
        put(bucket, b"")


def put(path: str, content: bytes) -> None:
    """A bucket, or an object in one."""
    kind = {"Content-Type": "application/octet-stream"}
    request = urllib.request.Request(
        f"{os.environ['AWS_ENDPOINT_URL']}/{path}", content, kind, method="PUT"
    )
    urllib.request.urlopen(request, timeout=10).close()


def deploy(folder: Path) -> None:
    """helm, and the chart that a deploying step takes without a setting."""
    code = "from modelyard.release.values import chart_of; from modelyard.settings.serve import ServeSettings; "
    chart = run("python", "-c", f"{code}print(chart_of(ServeSettings()))").splitlines()[-1]
    run("helm", "version", "--short")
    run("helm", "lint", "--quiet", chart, "--set", "package.uri=s3://models/x")


def pipeline(folder: Path) -> None:
    """A table through the whole pipeline; runs and package go to an MLflow whose files lie in
    the store."""
    place = f"http://127.0.0.1:{MLFLOW}"
    words = ["server", "--host=127.0.0.1", f"--port={MLFLOW}", "--workers=1", "--serve-artifacts"]
    words += [
        f"--artifacts-destination=s3://{MODELS}/mlflow",
        "--allowed-hosts=localhost:*,127.0.0.1:*",
    ]
    with tempfile.TemporaryDirectory() as work:
        state = {
            "MLFLOW_BACKEND_STORE_URI": f"sqlite:///{work}/mlflow.db",
            "MODELYARD_HOME": f"{work}/runs",
        }
        quiet = {"MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false", "MLFLOW_DISABLE_TELEMETRY": "true"}
        with running(
            f"{place}/api/2.0/mlflow-artifacts/artifacts", "mlflow", *words, **state, **quiet
        ):
            run("modelyard", "run", FAMILY, MLFLOW_TRACKING_URI=place, **state)
        (package,) = Path(work, "runs", FAMILY).glob("*/package")
        shutil.rmtree(folder / "package", ignore_errors=True)
        shutil.copytree(package.resolve(), folder / "package", copy_function=shutil.copyfile)
    if "/package-" not in stored(MODELS, "mlflow"):
        sys.exit("MLflow has no package in the store")


def data(folder: Path) -> None:
    """DVC pushes data to the store, and modelyard's code for data reads from there."""
    with tempfile.TemporaryDirectory() as work:
        os.chdir(work)
        run("git", "init", "--quiet")
        Path("rows.csv").write_text("x,y\n1,2\n")
        run("dvc", "init", "--quiet")
        run("dvc", "remote", "add", "--default", "store", f"s3://{DATA}/dvc")
        run("dvc", "add", "--quiet", "rows.csv")
        run("dvc", "push", "--quiet")
        Path("rows.csv").unlink()
        shutil.rmtree(".dvc/cache")
        run("dvc", "pull", "--quiet")
        if Path("rows.csv").read_text() != "x,y\n1,2\n":
            sys.exit("DVC brought something else back than it was given")
        os.chdir("/")


def register(folder: Path) -> None:
    """The Job's script gets as far as Kubeflow Pipelines, which is not there."""
    plan = {
        "waitMinutes": 0,
        "families": [FAMILY],
        "image": "x:1",
        "namespace": "",
        "experiment": "x",
        "schedules": {},
    }
    with tempfile.TemporaryDirectory() as work:
        file = Path(work) / "plan.json"
        file.write_text(json.dumps(plan))
        said = run(
            "python", folder / "files/register.py", file, codes=(2,), KFP_HOST="http://127.0.0.1:9"
        )
    if "register.host" not in said:
        sys.exit(f"the Job that registers says something else: {said[-2000:]}")


def reports(folder: Path) -> None:
    """The web server of reports lists one that lies in the store."""
    put(f"{LOGS}/a/report.html", b"<p>drift</p>")
    address = f"http://127.0.0.1:{REPORTS}"
    with running(
        f"{address}/livez", "python", folder / "files/reports.py", f"s3://{LOGS}", REPORTS
    ):
        if b"a/report.html" not in get(f"{address}/"):
            sys.exit("the report in the store is not listed")


def serve(folder: Path) -> None:
    """The package comes from the store, is verified and served; it gives its own answer; the log
    goes to the store."""
    code = "from modelyard.home import source_root; print(source_root() / 'charts' / 'model' / 'files')"
    files = Path(run("python", "-c", code).splitlines()[-1])
    address = f"http://127.0.0.1:{SERVER}"
    log = f"s3://{LOGS}/log"
    with tempfile.TemporaryDirectory() as work:
        publish = "import pathlib, sys; from modelyard.release.store import publish; "
        publish += "print(publish(pathlib.Path(sys.argv[1]), sys.argv[2], 'served'))"
        place = run(
            "python", "-c", publish, folder / "package", f"s3://{MODELS}/packages"
        ).splitlines()[-1]
        run("python", files / "fetch.py", place, f"{work}/model")
        state = {
            "MODELYARD_PREDICTIONS": log,
            "MODELYARD_HOME": f"{work}/home",
            "MODELYARD_LOG_FORMAT": "json",
            # An image for GPUs is looked at where there may be none.
            "MODELYARD_DEVICE": "auto",
        }
        words = ["serve", f"{work}/model", "--host", "127.0.0.1", "--port", SERVER]
        with running(f"{address}/readyz", "modelyard", *words, **state):
            run("python", files / "golden.py", address, f"{work}/model")
    if ".parquet" not in stored(LOGS, "log/"):
        sys.exit(f"no prediction was logged to {log}: {stored(LOGS, '')}")


def monitor(folder: Path) -> None:
    """Drift is judged on the log in the store."""
    with tempfile.TemporaryDirectory() as work:
        words = ["--set", f"monitor.log=s3://{LOGS}/log", "--verdict", f"{work}/verdict"]
        run("modelyard", "monitor", folder / "package", *words, MODELYARD_HOME=f"{work}/home")
        if not (Path(work) / "verdict" / "verdict.json").is_file():
            sys.exit("no verdict was written")


ROLES: dict[str, tuple[Callable[[Path], None], ...]] = {
    "trainer": (deploy, pipeline, data, register, reports, serve, monitor),
    "trainer-cuda": (deploy, pipeline, data, register, reports, serve, monitor),
    "server": (serve,),
    "server-cuda": (serve,),
}


def main(image: str, folder: str, *names: str) -> None:
    """The roles of an image, or those that are named; each says how long it took."""
    make_buckets()
    for role in ROLES[image]:
        if names and role.__name__ not in names:
            continue
        began = time.monotonic()
        role(Path(folder).resolve())
        print(f"{image}: {role.__name__} in {time.monotonic() - began:.0f} s", flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
