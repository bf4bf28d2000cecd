"""What the client of Kubeflow Pipelines says where something else answers."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator

import pytest

from modelyard.errors import Unavailable, UsageError
from modelyard.kubernetes.kubeflow import Kubeflow

LOGIN = b"<html>Log in to Your Account</html>"
PAGE = b"HTTP/1.0 200 OK\r\nContent-Type: text/html\r\n\r\n" + LOGIN


@pytest.fixture
def answering(request: pytest.FixtureRequest) -> Iterator[Kubeflow]:
    """Kubeflow at a port that answers one call with the given bytes."""
    with socket.create_server(("127.0.0.1", 0)) as server:

        def answer() -> None:
            with server.accept()[0] as connection:
                connection.recv(65_536)
                connection.sendall(request.param)

        threading.Thread(target=answer, daemon=True).start()
        yield Kubeflow(f"http://127.0.0.1:{server.getsockname()[1]}")


@pytest.mark.parametrize("answering", [b"SSH-2.0-OpenSSH_9.6\r\n"], indirect=True)
def test_an_address_of_something_else_is_one_line(answering):
    with pytest.raises(Unavailable, match="does not answer.*Check KFP_HOST"):
        answering.run("r1")


@pytest.mark.parametrize("answering", [PAGE], indirect=True)
@pytest.mark.parametrize("asked", [lambda kubeflow: kubeflow.run("r1"), Kubeflow.runs])
def test_a_page_to_log_in_at_is_no_run(answering, asked):
    with pytest.raises(Unavailable, match="answers a page. Check KFP_HOST and KFP_TOKEN"):
        asked(answering)


def test_a_token_that_cannot_be_read_is_told(tmp_path, monkeypatch):
    monkeypatch.delenv("KFP_TOKEN", raising=False)
    monkeypatch.setenv("KFP_TOKEN_FILE", str(tmp_path / "token"))
    with pytest.raises(UsageError, match="KFP_TOKEN_FILE: .*token cannot be read: No such file"):
        Kubeflow("http://127.0.0.1:9").runs()
