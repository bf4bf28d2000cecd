"""One of two processes that are to train together: `python -m tests.training.connected RANK PORT
HOW`, where HOW is `connects` or `silent`: joined, and then no word."""

from __future__ import annotations

import os
import socket
import sys
import time
from datetime import timedelta

import torch
from torch import distributed

from modelyard.errors import ModelyardError
from modelyard.training.connecting import connect

LIMIT = 4.0


def free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


def main(rank: str, port: str, how: str) -> int:
    os.environ |= {"RANK": rank, "WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port}
    if how == "silent":
        distributed.init_process_group("gloo", timeout=timedelta(minutes=5))
        time.sleep(120)
        return 0
    try:
        connect(torch.device("cpu"), 2, timedelta(minutes=5), LIMIT)
    except ModelyardError as error:
        print(f"error: {error}", file=sys.stderr, flush=True)
        return error.exit_code
    return 0


if __name__ == "__main__":
    os._exit(main(*sys.argv[1:]))
