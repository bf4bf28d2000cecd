"""The HTTP server that stand-ins answer with."""

from __future__ import annotations

from http.server import ThreadingHTTPServer


class Listening(ThreadingHTTPServer):
    """Takes many connections at once, and ends as soon as it is told to."""

    # helm asks for all API groups at the same time. Of more than five connections, Python's own
    # number, the kernel drops some, which come again after a second.
    request_queue_size = 128

    def serve_forever(self, poll_interval: float = 0.02) -> None:
        """Until `shutdown`, which waits for the end of an interval."""
        super().serve_forever(poll_interval)
