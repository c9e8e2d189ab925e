"""How much faster does the decoder learn on images that are encoded once, and what do adapters cost?

    python benchmarks/training_cost.py decoder --model vit_b
    python benchmarks/training_cost.py adapters --model vit_b
    python benchmarks/training_cost.py adapters --model sam-vit-nano --steps 3

Untrained weights, one image and one box in each step. For the decoder: seconds of a step with the image encoder run
each time, and on cached embeddings. For adapters: numbers that learn and the size of the file; with --steps also
seconds of a step through the whole image encoder and by how much it lets the process grow.
"""

from __future__ import annotations

import argparse
import json
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import torch

from anymask import SamConfig, SamModel
from anymask.training.adapters import PRESETS, add_adapter, count_trainable


def make_model(name: str) -> SamModel:
    torch.manual_seed(0)
    config = SamConfig.from_preset(name) if name.startswith("vit_") else SamConfig.from_pretrained(name)
    return SamModel(config).to("cuda" if torch.cuda.is_available() else "cpu").train()


def make_batch(model: SamModel) -> dict[str, torch.Tensor]:
    side = model.config.vision_config.image_size
    labels = torch.zeros(1, 1, 256, 256, dtype=torch.int8)
    labels[..., 60:180, 40:200] = 1
    box = torch.tensor([[[40.0, 60.0, 200.0, 180.0]]]) * side / 256
    batch = {"pixel_values": torch.randn(1, 3, side, side), "input_boxes": box, "labels": labels}
    return {name: tensor.to(model.device) for name, tensor in batch.items()}


def seconds_per_step(model: Any, batch: dict[str, torch.Tensor], steps: int) -> float:
    """Median time of forward, backward and an AdamW step, after one that is not counted."""
    optimizer = torch.optim.AdamW([p for p in model.parameters() if p.requires_grad], lr=1e-5)
    times = []
    for _ in range(steps + 1):
        begin = time.perf_counter()
        model(**batch).loss.backward()
        optimizer.step()
        optimizer.zero_grad()
        if torch.cuda.is_available():
            torch.cuda.synchronize()
        times.append(time.perf_counter() - begin)
    return statistics.median(times[1:])


def measure_decoder(name: str, steps: int) -> dict[str, float]:
    model = make_model(name).freeze("vision_encoder", "prompt_encoder")
    batch = make_batch(model)
    with torch.no_grad():
        embeddings = model.get_image_embeddings(batch["pixel_values"])
    cached = {**batch, "image_embeddings": embeddings}
    del cached["pixel_values"]
    encoding, decoding = (seconds_per_step(model, inputs, steps) for inputs in (batch, cached))
    return {"encoded_each_time_s": encoding, "cached_s": decoding, "times_faster": encoding / decoding}


def measure_adapter(name: str, preset: str, steps: int) -> dict[str, float]:
    model = make_model(name)
    batch = make_batch(model)
    learner = model if preset == "all" else add_adapter(model, preset)
    trainable, total = count_trainable(learner)
    measured = {"trainable": trainable, "total": total}
    with tempfile.TemporaryDirectory() as folder:
        learner.save_pretrained(folder)
        measured["file_mb"] = sum(path.stat().st_size for path in Path(folder).glob("*.safetensors")) / 2**20
    if steps:
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        measured["step_s"] = seconds_per_step(learner, batch, steps)
        measured["grown_mb"] = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024
    return measured


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("what", choices=("decoder", "adapters"))
    parser.add_argument("--model", default="vit_b", help="vit_b, vit_l, vit_h, or a checkpoint whose sizes are taken")
    parser.add_argument("--steps", type=int, default=0, help="measured ones; the decoder takes 3 by default")
    parser.add_argument("--output", type=Path)
    parser.add_argument("--preset", help="measure this adapter alone, as the script asks itself to")
    arguments = parser.parse_args()
    if arguments.preset:
        print(json.dumps(measure_adapter(arguments.model, arguments.preset, arguments.steps)))
        return
    results: dict[str, Any] = {"model": arguments.model, "torch": torch.__version__, "threads": torch.get_num_threads()}
    if arguments.what == "decoder":
        results |= measure_decoder(arguments.model, arguments.steps or 3)
    else:
        for preset in (*PRESETS, "all"):  # each in a process of its own, for the peak of memory never falls
            command = [
                sys.executable,
                __file__,
                "adapters",
                "--model",
                arguments.model,
                "--steps",
                str(arguments.steps),
            ]
            finished = subprocess.run([*command, "--preset", preset], capture_output=True, text=True, check=True)
            results[preset] = json.loads(finished.stdout.splitlines()[-1])
    print(json.dumps(results, indent=2))
    if arguments.output:
        arguments.output.write_text(json.dumps(results, indent=2) + "\n")


if __name__ == "__main__":
    main()
