"""The shared loop against a bare PyTorch loop: optimizer steps a second, same model, same batches,
same processes.

    python benchmarks/training.py                                   image and language, as they train by default
    python benchmarks/training.py --precision bf16 --compile        on a GPU
    python benchmarks/training.py --mfu                             a language model of 100 million weights

Rounds of both alternate, each round a pass over the same training batches with the same optimizer,
clipping and precision; the ratio is the median of the rounds' ratios. On a machine that does other
work beside it, the ratio of the best rounds says more.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any

import torch

from modelyard.family import Family, load
from modelyard.settings.family import parse_assignments, resolve
from modelyard.training.engine import AUTOCAST
from modelyard.training.loop import Trainer
from modelyard.training.session import Session
from modelyard.training.throughput import peak
from modelyard.training.world import Preemption, World

HUNDRED_MILLION = {
    "model.kind": "llama",
    "model.layers": 12,
    "model.width": 768,
    "model.heads": 12,
    "model.kv_heads": 12,
    "model.context": 1024,
    "features.vocabulary": 16_000,
    "features.sample_bytes": 5_000_000,
}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--families", nargs="+", default=["image", "language"])
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--steps", type=int, default=40, help="batches a round")
    parser.add_argument("--precision", default="fp32", choices=["fp32", "tf32", "bf16", "fp16"])
    parser.add_argument("--compile", action="store_true")
    parser.add_argument("--mfu", action="store_true")
    parser.add_argument(
        "--batches", nargs="+", type=int, default=[8, 16, 32, 64], help="rows a batch, with --mfu"
    )
    told = parser.parse_args()
    shared = [
        f"training.precision={told.precision}",
        f"training.compile={str(told.compile).lower()}",
    ]
    device = World().device
    where = (
        torch.cuda.get_device_name(device)
        if device.type == "cuda"
        else f"{torch.get_num_threads()} CPU threads"
    )
    print(f"{where}, {told.precision}{', compiled' if told.compile else ''}")
    if told.mfu:
        by_batch_size(shared, told)
        return
    print(
        f"{'family':<10}{'bare steps/s':>14}{'ours steps/s':>14}{'ratio':>8}{'of best':>9}   rounds"
    )
    for name in told.families:
        family, features = prepare(name, shared)
        bare, ours = compare(family, features, told.rounds, told.steps)
        ratios = [mine / theirs for mine, theirs in zip(ours, bare, strict=True)]
        spread = f"{min(ratios):.3f} to {max(ratios):.3f}"
        medians = [statistics.median(one) for one in (bare, ours, ratios)]
        best = max(ours) / max(bare)
        print(
            f"{name:<10}{medians[0]:>14.2f}{medians[1]:>14.2f}{medians[2]:>8.3f}{best:>9.3f}   {spread}",
            flush=True,
        )


def prepare(name: str, assignments: list[str]) -> tuple[Family[Any], Path]:
    """A family of these settings, and features of its built-in data."""
    cls = load(name)
    family = cls(resolve(cls.Config, ("--set", parse_assignments(assignments))))
    folder = Path(tempfile.mkdtemp(prefix="modelyard-bench-"))
    (folder / "raw").mkdir()
    (folder / "features" / "assets").mkdir(parents=True)
    family.sample(folder / "raw")
    family.features(folder / "raw", folder / "features")
    return family, folder / "features"


def compare(
    family: Family[Any], features: Path, rounds: int, steps: int
) -> tuple[list[float], list[float]]:
    """Steps a second of the bare loop and of ours, by round; the first round of each warms up."""
    batches = family.batches(features, "train", 1)
    order = batches.order[: steps * batches.size]
    ours, bare = our_pass(family, features, order), bare_pass(family, features, order)
    found: tuple[list[float], list[float]] = ([], [])
    for number in range(rounds + 1):
        for place in (0, 1) if number % 2 else (1, 0):
            rate = (bare, ours)[place]()
            if number:
                found[place].append(rate)
    return found


def our_pass(family: Family[Any], features: Path, order: Any) -> Callable[[], float]:
    """A pass of the shared loop's own epoch."""
    session = Session(
        Trainer(0, family.config.training), family, features, World(), None, Preemption()
    )
    whole = session.family.batches(features, "train", 1)
    session.steps_per_epoch = len(type(whole)(order, whole.size, whole.take, whole.least))
    session._batches = lambda split, epoch: type(whole)(order, whole.size, whole.take, whole.least)  # type: ignore[method-assign]
    return lambda: timed(session, session.steps_per_epoch)


def timed(session: Session, steps: int) -> float:
    session.at = 0
    session.engine.reset()
    begun = time.perf_counter()
    session._train_epoch()
    session.engine.mean()
    return steps / (time.perf_counter() - begun)


def bare_pass(family: Family[Any], features: Path, order: Any) -> Callable[[], float]:
    """What one would write by hand."""
    settings, device = family.config.training, World().device
    torch.manual_seed(0)
    model = family.model(features / "assets").to(device)
    loss_of: Callable[..., torch.Tensor] = (
        torch.compile(family.loss) if settings.compile else family.loss
    )
    optimizer = torch.optim.AdamW(
        model.parameters(),
        lr=settings.learning_rate,
        weight_decay=settings.weight_decay,
        fused=True,
    )
    low = AUTOCAST.get(settings.precision)
    whole = family.batches(features, "train", 1)
    model.train()

    def run() -> float:
        total, count = torch.zeros((), device=device), 0
        begun = time.perf_counter()
        for start in range(0, len(order), whole.size):
            batch = {
                name: value.to(device)
                for name, value in whole.take(order[start : start + whole.size]).items()
            }
            optimizer.zero_grad(set_to_none=True)
            cast: AbstractContextManager[Any] = (
                torch.autocast(device.type, low) if low else nullcontext()
            )
            with cast:
                loss = loss_of(model, batch)
            loss.backward()  # type: ignore[no-untyped-call]
            torch.nn.utils.clip_grad_norm_(model.parameters(), settings.clip)
            optimizer.step()
            total, count = total + loss.detach(), count + 1
        total.item()
        return count / (time.perf_counter() - begun)

    return run


def by_batch_size(shared: list[str], told: argparse.Namespace) -> None:
    """Model FLOPs utilization of a language model by batch size."""
    sizes = [f"{name}={value}" for name, value in HUNDRED_MILLION.items()]
    print(f"{'rows':>6}{'tokens/s':>12}{'TFLOP/s':>10}{'MFU':>8}")
    for rows in told.batches:
        family, features = prepare("language", [*sizes, *shared, f"training.batch_size={rows}"])
        try:
            session = Session(
                Trainer(0, family.config.training), family, features, World(), None, Preemption()
            )
            run = our_pass(
                family, features, family.batches(features, "train", 1).order[: rows * told.steps]
            )
            run()
            rate = run()
        except torch.cuda.OutOfMemoryError:
            print(f"{rows:>6}  out of memory")
            break
        batch = next(session._loaded(family.batches(features, "train", 1), 0))
        flops = rate * session.engine.operations(batch)
        limit = peak(World().device, told.precision)
        share = f"{flops / limit:>8.1%}" if limit else "       -"
        tokens = rate * rows * family.config.model.context
        print(
            f"{rows:>6}{tokens:>12,.0f}{flops / 1e12:>10.2f}{share}   {session.parameters:,} weights",
            flush=True,
        )


if __name__ == "__main__":
    main()
