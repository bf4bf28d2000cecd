"""Runs roles.py beside a store that speaks S3: with_store.py PACKAGES ROLES-SCRIPT IMAGE FOLDER
[ROLE…].

PACKAGES is a folder with moto[s3] and flask-cors, as `pip install --target` makes it: only the
store sees them, so that the roles have what their image has. docker/check.sh fills it.
"""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time

KEYS = {"AWS_ACCESS_KEY_ID": "any", "AWS_SECRET_ACCESS_KEY": "any", "AWS_REGION": "us-east-1"}


def main(packages: str, *roles: str) -> int:
    """The exit code of the roles."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)]
    environment = os.environ | {"PYTHONPATH": packages}
    with subprocess.Popen(
        command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    ) as store:
        try:
            _wait(store, port)
            there = KEYS | {
                "AWS_ENDPOINT_URL": f"http://127.0.0.1:{port}",
                "AWS_DEFAULT_REGION": "us-east-1",
            }
            return subprocess.run(
                [sys.executable, *roles], env=os.environ | there, check=False
            ).returncode
        finally:
            store.terminate()


def _wait(store: subprocess.Popen[bytes], port: int) -> None:
    until = time.monotonic() + 60
    while store.poll() is None and time.monotonic() < until:
        try:
            socket.create_connection(("127.0.0.1", port), 1).close()
        except OSError:
            time.sleep(0.1)
        else:
            return
    sys.exit("the S3 stand-in does not start")


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
