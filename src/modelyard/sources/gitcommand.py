"""Running git, which never asks a question here, and reading its complaints."""

from __future__ import annotations

import os
import shutil
import subprocess

from modelyard.credentials import redact
from modelyard.errors import ModelyardError, Unavailable, UsageError

_REFUSED = ("authentication", "could not read username", "permission denied", "403")
_ABSENT = ("not found", "does not exist", "not appear to be a git", "dubious ownership")


class GitError(Exception):
    """Git's own last word, without credentials."""


def git(*arguments: str) -> str:
    """Runs git; returns what it prints.

    Raises:
        GitError: it failed; UsageError: there is no git.
    """
    program = shutil.which("git")
    if program is None:
        raise UsageError("data from a Git repository needs git on the PATH")
    # A transfer below 1,000 bytes a second for a minute counts as broken.
    give_up = ["-c", "http.lowSpeedLimit=1000", "-c", "http.lowSpeedTime=60"]
    # Never a question, which nobody would answer; messages in English, which `explained` reads. A
    # person's own way to call ssh goes over ours.
    silent = {
        "GIT_SSH_COMMAND": "ssh -o BatchMode=yes",
        **os.environ,
        "GIT_TERMINAL_PROMPT": "0",
        "LC_ALL": "C",
    }
    done = subprocess.run(
        [program, *give_up, *arguments],
        env=silent,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise GitError(_last_word(done.stderr))
    return done.stdout.strip()


def explained(label: str, error: GitError) -> ModelyardError:
    """What a person can do about it: UsageError for access and names, Unavailable for the
    network."""
    low = str(error).lower()
    if any(words in low for words in _REFUSED):
        return UsageError(
            f"data.uri: no access to {label} ({error}). Credentials come by environment: docs/data.md"
        )
    if any(words in low for words in _ABSENT):
        return UsageError(f"data.uri: {label}: {error}")
    return Unavailable(f"data.uri: {label} does not answer: {error}")


def _last_word(stderr: str) -> str:
    """Git's errors; where it calls nothing so, its last line."""
    fatal = []
    last = "git failed"
    for line in filter(None, map(str.strip, stderr.splitlines())):
        last = line
        if line.startswith(("fatal: ", "ERROR: ")):
            fatal.append(line.removeprefix("fatal: "))
    return redact("; ".join(fatal) or last)
