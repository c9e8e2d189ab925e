r"""How long is a training step beside Transformers, with the same weights, the same batch and the same loss?

    python benchmarks/training_step.py --threads 1 --runs 5 --steps 4 --case "decoder, 1 box" "decoder, 8 boxes" \
        --json benchmarks/results/savings/training_step_decoder.json
    python benchmarks/training_step.py --threads 2 --case "everything, 1 box" \
        --json benchmarks/results/savings/training_step_everything.json

ViT-B with random weights in float32, one image, masks of 256 x 256, AdamW. The decoder learns on embeddings that are
kept, with 1 and 8 boxes; everything learns with one box and gradient checkpointing. Transformers' model has no loss:
its masks get `segmentation_loss` of this package, so that only the networks differ. Each measurement is a process of
its own. The script stops if losses or gradients differ.
"""

import argparse
import ctypes
import gc
import json
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
import transformers
from machine import environment_of, finish
from subjects import load_pair
from torch import Tensor

from anymask.modeling.losses import LossOptions, segmentation_loss

SIDES = ("transformers", "anymask")
CASES = {"decoder, 1 box": ("decoder", 1), "decoder, 8 boxes": ("decoder", 8), "everything, 1 box": ("everything", 1)}
TOLERANCE = 1e-3  # relative, of the loss and of the gradient of the mask tokens


def make_batch(config: Any, prompts: int, what: str) -> dict[str, Tensor]:
    """One image, or its embedding, and boxes with their masks."""
    generator = torch.Generator().manual_seed(0)
    side, grid = config.vision_config.image_size, config.vision_config.image_size // config.vision_config.patch_size
    labels = torch.zeros(1, prompts, 256, 256, dtype=torch.int8)
    boxes = torch.zeros(1, prompts, 4)
    for index in range(prompts):
        x0, y0 = torch.randint(10, 120, (2,), generator=generator).tolist()
        labels[0, index, y0 : y0 + 90, x0 : x0 + 70] = 1
        boxes[0, index] = torch.tensor([x0, y0, x0 + 70, y0 + 90]) * side / 256
    image = (
        {"image_embeddings": torch.randn(1, config.vision_config.output_channels, grid, grid, generator=generator)}
        if what == "decoder"
        else {"pixel_values": torch.randn(1, 3, side, side, generator=generator)}
    )
    return {**image, "input_boxes": boxes, "labels": labels}


def make_step(side: str, size: str, case: str) -> tuple[torch.nn.Module, Callable[[], Tensor]]:
    """A model that learns, and what computes its loss."""
    what, prompts = CASES[case]
    model: Any = getattr(load_pair(size, "float32", "cpu"), "ours" if side == "anymask" else "theirs")
    batch = make_batch(model.config, prompts, what)
    model.train()
    if what == "decoder":
        model.requires_grad_(False).mask_decoder.requires_grad_(True)
    else:
        model.gradient_checkpointing_enable(gradient_checkpointing_kwargs={"use_reentrant": False})
    if side == "anymask":
        return model, lambda: model(**batch).loss
    labels, options = batch.pop("labels"), LossOptions()

    def loss() -> Tensor:
        outputs = model(**batch)
        return segmentation_loss(outputs.pred_masks, outputs.iou_scores, labels, options).total

    return model, loss


def measure(side: str, size: str, case: str, steps: int) -> dict[str, Any]:
    """Median time of a step after the first, or of the first if `steps` is 0; and how far memory rose."""
    model, loss = make_step(side, size, case)
    # Fused as by default in Trainer; 120 weights one by one cost both sides more than a tenth of their step.
    optimizer = torch.optim.AdamW([p for p in model.parameters() if p.requires_grad], lr=1e-5, fused=True)
    gc.collect()
    ctypes.CDLL(None).malloc_trim(0)  # what loading took goes back to the system
    Path("/proc/self/clear_refs").write_text("5")  # and is not counted as the peak
    before = _bytes_of("VmRSS")
    times, busy, first = [], [], {}
    for number in range(steps + 1):
        start, busy_start = time.perf_counter(), time.process_time()
        value = loss()
        value.backward()
        if number == 0:
            gradient = model.mask_decoder.mask_tokens.weight.grad
            first = {"loss": value.item(), "gradient": gradient.norm().item()}
        optimizer.step()
        optimizer.zero_grad()
        times.append(time.perf_counter() - start)
        busy.append(time.process_time() - busy_start)
    return {
        "seconds": statistics.median(times[1:] or times),
        "cpu_seconds": statistics.median(busy[1:] or busy),  # which other programs do not lengthen, with one thread
        "bytes": _bytes_of("VmHWM") - before,
        **first,
    }


def _bytes_of(field: str) -> int:
    """Memory of this process as Linux tells it: now ("VmRSS") or at its peak ("VmHWM")."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith(field))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--size", default="vit_b", help="as in the other benchmarks: nano, vit_b ...")
    parser.add_argument("--case", nargs="+", choices=list(CASES), default=list(CASES))
    parser.add_argument("--steps", type=int, default=3, help="of the decoder, after the first; of everything the first")
    parser.add_argument("--runs", type=int, default=1, help="processes of each side, in turn; the median one counts")
    parser.add_argument("--threads", type=int, help="of torch")
    parser.add_argument("--json", type=Path, help="file to write")
    parser.add_argument("--side", choices=SIDES, help="measure this one alone, as the script asks itself to")
    options = parser.parse_args()
    options.device = "cpu"
    if options.threads:
        torch.set_num_threads(options.threads)
    if options.side:
        transformers.logging.set_verbosity_error()
        (case,) = options.case
        print(json.dumps(measure(options.side, options.size, case, options.steps)))
        return
    rows = []
    for case in options.case:
        runs: dict[str, list[dict[str, Any]]] = {side: [] for side in SIDES}
        for side in SIDES * options.runs:  # in turn, so that a neighbour's work falls on both
            steps = str(options.steps if CASES[case][0] == "decoder" else 0)
            command = [sys.executable, __file__, "--side", side, "--case", case, "--size", options.size]
            command += ["--steps", steps, "--threads", str(torch.get_num_threads())]
            finished = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
            runs[side].append(json.loads(finished.stdout.splitlines()[-1]))
        measured = {side: sorted(some, key=lambda run: run["seconds"])[len(some) // 2] for side, some in runs.items()}
        theirs, ours = (measured[side] for side in SIDES)
        for name in ("loss", "gradient"):
            if abs(ours[name] - theirs[name]) > TOLERANCE * abs(theirs[name]):
                sys.exit(f"{case}: the {name} must be Transformers' {theirs[name]:g}, got {ours[name]:g}.")
        faster, memory = theirs["seconds"] / ours["seconds"], ours["bytes"] / theirs["bytes"]
        in_cpu = theirs["cpu_seconds"] / ours["cpu_seconds"]
        compared = {"times_as_many_steps": faster, "of_processor_time": in_cpu, "share_of_memory": memory}
        seconds_of_runs = {side: [run["seconds"] for run in some] for side, some in runs.items()}
        rows.append({"case": case, **measured, **compared, "seconds_of_runs": seconds_of_runs})
        print(
            f"{case:18} transformers {theirs['seconds']:6.2f} s, anymask {ours['seconds']:6.2f} s: {faster:.2f} times "
            f"as many steps, {in_cpu:.2f} by processor time; "
            f"{memory:.2f} of the memory, {ours['bytes'] / 2**20:.0f} MB",
            flush=True,
        )
    report = {
        "benchmark": "training_step",
        "question": "How long is a training step beside Transformers?",
        "environment": environment_of(options),
        "size": options.size,
        "rows": rows,
    }
    finish(report, options.json)


if __name__ == "__main__":
    main()
