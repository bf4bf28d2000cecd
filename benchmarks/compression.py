"""How much faster and smaller a transformer encoder becomes: int8 next to full precision on ONNX
Runtime and next to eager PyTorch, in one interleaved run. `fp32, fused` is full precision with the
operators that int8 has for attention and GELU: what is left of the ratio then is the products' own.

    python benchmarks/compression.py [--folder FOLDER] [--steps 200] [--rounds 40] [--threads N]

The encoder (6 layers, width 384, 128 tokens) learns from which kind of file 128 bytes come: files of
this Python installation, whole files held out. The weights are kept in FOLDER, so that a second call
times the same model.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import sysconfig
import time
from pathlib import Path

import numpy as np
import onnx
import torch
from torch import nn
from transformers import BertConfig, BertModel

from modelyard.compress import recipes
from modelyard.compress.facts import facts_of
from modelyard.compress.fusing import fused
from modelyard.compress.recipes import Source, Task
from modelyard.runtimes.export import to_onnx
from modelyard.runtimes.opening import open_variant
from modelyard.runtimes.torch import TorchRuntime
from modelyard.runtimes.types import Graph
from modelyard.settings.export import ExportSettings

LENGTH, WIDTH, LAYERS, HEADS = 128, 384, 6, 6
KINDS = (".py", ".h", ".json", ".js", ".pyi", ".md", ".txt", ".html")
BATCHES = (1, 8)
HELD_OUT = 1_500


class Encoder(nn.Module):
    """Bytes, int64 (batch, 128), to logits of kinds of files."""

    def __init__(self) -> None:
        super().__init__()
        config = BertConfig(
            vocab_size=256,
            hidden_size=WIDTH,
            num_hidden_layers=LAYERS,
            num_attention_heads=HEADS,
            intermediate_size=4 * WIDTH,
            max_position_embeddings=LENGTH,
        )
        self.bert = BertModel(config, add_pooling_layer=False)
        self.head = nn.Linear(WIDTH, len(KINDS))

    def forward(self, tokens: torch.Tensor) -> dict[str, torch.Tensor]:
        states = self.bert(input_ids=tokens).last_hidden_state
        return {"logits": self.head(states.mean(dim=1))}


def snippets(count: int, held_out: bool, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """So many pieces of 128 bytes, an equal number of each kind, and their kinds."""
    rng = np.random.default_rng(seed)
    pieces, labels = [], []
    for label, kind in enumerate(KINDS):
        files = FILES[kind]
        half = [file for place, file in enumerate(files) if (place % 5 == 0) == held_out]
        for _ in range(count // len(KINDS)):
            while True:
                content = half[rng.integers(len(half))].read_bytes()
                if len(content) > LENGTH:
                    break
            start = int(rng.integers(len(content) - LENGTH))
            pieces.append(np.frombuffer(content[start : start + LENGTH], np.uint8))
            labels.append(label)
    return np.stack(pieces).astype(np.int64), np.array(labels)


def files_by_kind() -> dict[str, list[Path]]:
    roots = [Path(sysconfig.get_path("stdlib")), Path(sysconfig.get_path("purelib"))]
    found: dict[str, list[Path]] = {kind: [] for kind in KINDS}
    for root in roots:
        for file in sorted(root.rglob("*")):
            if file.suffix in found and len(found[file.suffix]) < 2_000 and file.is_file():
                found[file.suffix].append(file)
    return found


FILES = files_by_kind()


def trained(folder: Path, steps: int) -> Encoder:
    torch.manual_seed(0)
    model, file = Encoder(), folder / "encoder.pt"
    if file.is_file():
        model.load_state_dict(torch.load(file, weights_only=True))
        return model.eval()
    optimizer = torch.optim.AdamW(model.parameters(), lr=3e-4)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 2e-4, total_steps=steps)
    for step in range(steps):
        x, y = snippets(8, held_out=False, seed=step)
        logits = model(torch.from_numpy(x))["logits"]
        loss = nn.functional.cross_entropy(logits, torch.from_numpy(y))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
        if step % 20 == 0:
            print(f"step {step}: loss {loss.item():.3f}", file=sys.stderr, flush=True)
    torch.save(model.state_dict(), file)
    return model.eval()


def variants(model: Encoder, folder: Path, threads: int | None) -> dict[str, object]:
    """Runtimes by name, each with as many threads."""
    if threads is not None:
        torch.set_num_threads(threads)
    example = {"tokens": snippets(8, held_out=False, seed=-1 % 2**31)[0]}
    graph = Graph("encoder", example, module=model)
    file = folder / "onnx-fp32" / "encoder.onnx"
    to_onnx(graph, file, ExportSettings().opset)
    source = Source("encoder", file, facts_of(file))
    calls = [{"tokens": row[None]} for row in snippets(128, held_out=False, seed=7)[0]]
    task = Task(ExportSettings(), frozenset({"Gemm", "MatMul"}), lambda: {"encoder": calls})
    files = {"onnx-fp32": file}
    for recipe in (recipes.OnnxInt8(), recipes.OnnxInt8Static(), recipes.OnnxInt8Weights()):
        made = folder / recipe.name / "encoder.onnx"
        made.parent.mkdir(exist_ok=True)
        recipe.make(source, made, task)
        files[recipe.name] = made
    files["fp32, fused"] = folder / "fused.onnx"
    onnx.save(fused(onnx.load(str(file)), "inside"), str(files["fp32, fused"]))
    opened = {"eager PyTorch": TorchRuntime([graph])}
    for name, made in files.items():
        runtime = "onnx" if name.startswith("fp32") else name
        graphs = {"encoder": made.relative_to(folder).as_posix()}
        opened[name] = open_variant(folder, runtime, graphs, threads=threads)
        print(f"{name}: {made.stat().st_size / 1e6:.1f} MB")
    return opened


def accuracy(run, x: np.ndarray, y: np.ndarray) -> float:
    right = 0
    for start in range(0, len(y), 50):
        logits = run("encoder", {"tokens": x[start : start + 50]})["logits"]
        right += int((logits.argmax(1) == y[start : start + 50]).sum())
    return right / len(y)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--folder", type=Path, default=Path("compression"))
    parser.add_argument("--steps", type=int, default=200)
    parser.add_argument("--rounds", type=int, default=40)
    parser.add_argument("--threads", type=int, help="of one call; not given: all cores")
    arguments = parser.parse_args()
    arguments.folder.mkdir(parents=True, exist_ok=True)
    model = trained(arguments.folder, arguments.steps)
    opened = variants(model, arguments.folder, arguments.threads)
    x, y = snippets(HELD_OUT, held_out=True, seed=1)
    scores = {name: accuracy(run, x, y) for name, run in opened.items()}
    for size in BATCHES:
        taken: dict[str, list[float]] = {name: [] for name in opened}
        worked: dict[str, list[float]] = {name: [] for name in opened}
        for number in range(arguments.rounds + 1):
            batch = {"tokens": x[number : number + size]}
            order = np.random.default_rng(number).permutation(len(opened))
            for place in order:
                name = list(opened)[place]
                start, worked_before = time.perf_counter(), time.process_time()
                opened[name]("encoder", batch)
                taken[name].append(time.perf_counter() - start)
                worked[name].append(time.process_time() - worked_before)
        medians = {name: statistics.median(times[1:]) for name, times in taken.items()}
        for name, median in medians.items():
            best = min(taken[name][1:])
            # A busy machine lengthens this less than the wall's time.
            processor = statistics.median(worked[name][1:])
            print(
                f"batch {size} {name:20} p50 {median * 1e3:8.2f} ms  best {best * 1e3:8.2f} ms  "
                f"processor {processor * 1e3:8.2f} ms  "
                f"{medians['onnx-fp32'] / median:5.2f} x fp32  {medians['eager PyTorch'] / median:5.2f} x eager  "
                f"accuracy {scores[name]:.4f}"
            )


if __name__ == "__main__":
    main()
