"""Checkpoints: all that training needs to resume with the same bits, appearing whole or not at all.

    <folder>/step-00000120/<n>_0.distcp  .metadata    weights, optimizer and average, sharded (PyTorch's DCP)
                          rank-0000.json              random states and sums of one process
                          best.safetensors            weights of the best epoch so far
                          state.json                  position, curves and learning rate; written last

A folder without state.json is what an interrupted save left: nobody reads it, the next save removes
it. The folder may be an fsspec URI. `.metadata` is a pickle of torch's: read only checkpoints that
your own runs wrote.
"""

from __future__ import annotations

import json
import os
import random
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any

import fsspec
import numpy as np
import torch
from torch.distributed.checkpoint.api import CheckpointException
from torch.distributed.checkpoint.filesystem import FileSystemReader, FileSystemWriter
from torch.distributed.checkpoint.state_dict_loader import load as read_shards
from torch.distributed.checkpoint.state_dict_saver import save as write_shards

from modelyard.errors import BrokenArtifact
from modelyard.training.world import World

if TYPE_CHECKING:
    Tensors = dict[str, torch.Tensor]

STATE, BEST = "state.json", "best.safetensors"


@dataclass
class Checkpoints:
    """The checkpoints of one training."""

    folder: str
    """A path, or an fsspec URI."""
    world: World
    keep: int = 2

    def __post_init__(self) -> None:
        self.files, self.root = fsspec.core.url_to_fs(self.folder)

    def save(
        self,
        step: int,
        tensors: Tensors,
        state: dict[str, Any],
        mine: dict[str, Any],
        best: Tensors,
    ) -> None:
        """Writes a checkpoint with every process's help. `mine` is this process's own JSON,
        `best` the leader's."""
        name = f"step-{step:08d}"
        if self.world.leads:
            self._remove_unfinished()
            self.files.makedirs(f"{self.root}/{name}", exist_ok=True)
        # Nobody writes before the leader has created the folder.
        self.world.barrier()
        with _quiet():
            write_shards(tensors, storage_writer=self._writer(name), no_dist=self.world.size == 1)
        self._write_json(self._place_of_mine(name), mine | random_states())
        if self.world.leads and best:
            from safetensors.torch import save

            self._write(f"{name}/{BEST}", save(best))
        # The mark says that all parts are there, so all have to be.
        self.world.barrier()
        if self.world.leads:
            self._write_json(f"{name}/{STATE}", state | {"processes": self.world.size})
            self._prune()
        self.world.barrier()

    def last(self) -> str | None:
        """Name of the newest whole checkpoint."""
        names = self.names()
        if names:
            return names[-1]
        return None

    def names(self) -> list[str]:
        """Names of the whole checkpoints, the oldest first."""
        return [name for name in self._folders() if self._exists(f"{name}/{STATE}")]

    def state(self, name: str) -> dict[str, Any]:
        """What all processes share of a checkpoint.

        Raises:
            BrokenArtifact: it was written by something else, or damaged.
        """
        try:
            state: dict[str, Any] = json.loads(self._read(f"{name}/{STATE}"))
        except ValueError as error:
            raise BrokenArtifact(
                f"{self.folder}/{name}/{STATE} is damaged: {error}. Delete that folder"
            ) from None
        return state

    def shapes(self, name: str) -> dict[str, tuple[torch.Size, torch.dtype]]:
        """Shapes and types of a checkpoint's tensors."""
        metadata = self._reader(name).read_metadata().state_dict_metadata
        # Only tensors have a size: bytes, which it may hold too, have none.
        tensors = {key: value for key, value in metadata.items() if hasattr(value, "size")}
        return {key: (value.size, value.properties.dtype) for key, value in tensors.items()}

    def fill(self, name: str, tensors: Tensors) -> None:
        """Fills `tensors` in place; written by any number of processes, read by any number.

        Raises:
            BrokenArtifact: the checkpoint is damaged, or of another network.
        """
        try:
            with _quiet():
                read_shards(
                    tensors, storage_reader=self._reader(name), no_dist=self.world.size == 1
                )
        except (CheckpointException, OSError, RuntimeError, ValueError) as error:
            raise BrokenArtifact(
                f"checkpoint {self.folder}/{name} cannot be read: {error}. Delete that folder"
            ) from None

    def mine(self, name: str) -> dict[str, Any]:
        """This process's own part of a checkpoint, its random states put back; {} where there
        were fewer processes."""
        place = self._place_of_mine(name)
        if not self._exists(place):
            return {}
        mine: dict[str, Any] = json.loads(self._read(place))
        restore_random_states(mine)
        return mine

    def best(self, name: str) -> Tensors:
        """The best epoch's weights, for the leader; {} before the first epoch's end."""
        from safetensors.torch import load

        place = f"{name}/{BEST}"
        if not self._exists(place):
            return {}
        best: Tensors = load(self._read(place))
        return best

    def finish(self, weights: Tensors, report: dict[str, Any]) -> None:
        """Keeps only the result, so that a job of several trainings, run again, does not repeat
        this one."""
        if self.world.leads:
            from safetensors.torch import save

            self.files.makedirs(f"{self.root}/finished", exist_ok=True)
            self._write(f"finished/{BEST}", save(weights))
            self._write_json(f"finished/{STATE}", report)
            for name in self._folders():
                self.files.rm(f"{self.root}/{name}", recursive=True)
        self.world.barrier()

    def finished(self) -> tuple[Tensors, dict[str, Any]] | None:
        """What `finish` kept."""
        if not self._exists(f"finished/{STATE}"):
            return None
        return self.best("finished"), self.state("finished")

    def _writer(self, name: str) -> Any:
        if "://" not in self.folder:
            return FileSystemWriter(f"{self.root}/{name}")
        from torch.distributed.checkpoint._fsspec_filesystem import FsspecWriter

        return FsspecWriter(f"{self.folder}/{name}")

    def _reader(self, name: str) -> Any:
        if "://" not in self.folder:
            return FileSystemReader(f"{self.root}/{name}")
        from torch.distributed.checkpoint._fsspec_filesystem import FsspecReader

        return FsspecReader(f"{self.folder}/{name}")

    def _folders(self) -> list[str]:
        if not self.files.exists(self.root):
            return []
        names = [PurePosixPath(path).name for path in self.files.ls(self.root, detail=False)]
        return sorted(name for name in names if name.startswith("step-"))

    def _remove_unfinished(self) -> None:
        # A save of the same step must not find another one's shards.
        whole = self.names()
        for name in self._folders():
            if name not in whole:
                self.files.rm(f"{self.root}/{name}", recursive=True)

    def _prune(self) -> None:
        for name in self.names()[: -self.keep]:
            # Its mark goes first: what is left of an interrupted removal is no checkpoint.
            self.files.rm(f"{self.root}/{name}/{STATE}")
            self.files.rm(f"{self.root}/{name}", recursive=True)

    def _place_of_mine(self, name: str) -> str:
        return f"{name}/rank-{self.world.rank:04d}.json"

    def _exists(self, path: str) -> bool:
        return bool(self.files.exists(f"{self.root}/{path}"))

    def _write_json(self, path: str, content: dict[str, Any]) -> None:
        self._write(path, json.dumps(content).encode())

    def _write(self, path: str, content: bytes) -> None:
        target = f"{self.root}/{path}"
        # An object store shows an object when all of it has come.
        if "://" in self.folder:
            self.files.pipe_file(target, content)
            return
        # A machine that fails must not leave a whole name over half a content.
        part = Path(f"{target}.part")
        with part.open("wb") as stream:
            stream.write(content)
            os.fsync(stream.fileno())
        part.replace(target)

    def _read(self, path: str) -> bytes:
        content: bytes = self.files.cat_file(f"{self.root}/{path}")
        return content


@contextmanager
def _quiet() -> Iterator[None]:
    """Without torch's remark that a single process saves for itself."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "torch.distributed is disabled", UserWarning)
        yield


def random_states() -> dict[str, Any]:
    """States of all random generators of this process, as JSON."""
    kind, keys, at, has_gauss, cached = np.random.get_state(legacy=True)
    states: dict[str, Any] = {
        "torch": torch.get_rng_state().numpy().tobytes().hex(),
        "numpy": [kind, np.asarray(keys).tolist(), int(at), int(has_gauss), float(cached)],
        "python": random.getstate(),
    }
    if torch.cuda.is_available():
        states["cuda"] = torch.cuda.get_rng_state().numpy().tobytes().hex()
    return states


def restore_random_states(states: dict[str, Any]) -> None:
    """Puts them back."""
    torch.set_rng_state(_bytes(states["torch"]))
    kind, keys, at, has_gauss, cached = states["numpy"]
    np.random.set_state((kind, np.array(keys, np.uint32), at, has_gauss, cached))
    version, internal, following = states["python"]
    random.setstate((version, tuple(internal), following))
    if "cuda" in states and torch.cuda.is_available():
        torch.cuda.set_rng_state(_bytes(states["cuda"]))


def _bytes(text: str) -> torch.Tensor:
    return torch.frombuffer(bytearray.fromhex(text), dtype=torch.uint8)
