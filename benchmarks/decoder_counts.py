"""How much work and memory do prompts share in the mask decoder, and what does sharing lose? No times: they are counts.

Of ViT-B and sam-vit-nano: floating-point operations (of matrix products and convolutions; a multiplication and an
addition are two) to prepare an image, of a prompt of a prepared image, and of a prompt in Transformers; bytes that a
prepared image holds beside its embedding, and of the copies of weights among them. Then, in each type, how far masks
and scores of 16 prompts are from a run in float64, as a share of its norm: by the quick decoder and by the plain one.

    python benchmarks/decoder_counts.py --json benchmarks/results/savings/decoder_counts.json
"""

import argparse
import copy
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import torch
from machine import environment_of, finish
from subjects import Pair, load_pair
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import flop_registry

from anymask import SamModel

SIZES = ("vit_b", "nano")
MANY, COMPARED = 64, 16  # prompts
TYPES = (torch.float32, torch.bfloat16, torch.float16)

aten = torch.ops.aten
# What PyTorch has no formula for, and what has the same.
SAME_FORMULA = {
    aten._scaled_dot_product_flash_attention_for_cpu: aten._scaled_dot_product_flash_attention,
    aten.baddbmm_: aten.baddbmm,
}


class Counter(TorchDispatchMode):
    """Counts by PyTorch's formulas. Its own `FlopCounterMode` hooks modules, for which the plain decoder would run."""

    total = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        output = func(*args, **(kwargs or {}))
        operation = func._overloadpacket
        if formula := flop_registry.get(SAME_FORMULA.get(operation, operation)):
            self.total += formula(*args, **(kwargs or {}), out_val=output)
        return output


def gflop(work: Callable[[], Any]) -> float:
    """Billions of floating-point operations."""
    with Counter() as counter:
        work()
    return counter.total / 1e9


def tensors_in(value: Any) -> Iterator[Tensor]:
    """All tensors that an object holds, each memory once."""
    seen: set[int] = set()
    waiting = [value]
    while waiting:
        one = waiting.pop()
        if isinstance(one, Tensor):
            if one.untyped_storage().data_ptr() not in seen:
                seen.add(one.untyped_storage().data_ptr())
                yield one
        elif isinstance(one, (list, tuple)):
            waiting += one
        elif hasattr(one, "__dict__"):
            waiting += vars(one).values()


def megabytes(value: Any) -> float:
    return sum(tensor.untyped_storage().nbytes() for tensor in tensors_in(value)) / 1e6


def counts(pair: Pair) -> dict[str, float]:
    """GFLOP and MB."""
    embedding, points = pair.embedding(), pair.points(MANY)
    prepared = pair.ours.prepare_image(embedding)
    assert prepared.sharing is not None
    return {
        "gflop_to_prepare": gflop(lambda: pair.ours.prepare_image(embedding)),
        "gflop_of_a_prompt": gflop(lambda: pair.ours(image_embeddings=prepared, input_points=points)) / MANY,
        "transformers_gflop_of_a_prompt": gflop(lambda: pair.theirs(image_embeddings=embedding, input_points=points))
        / MANY,
        "megabytes_of_a_prepared_image": megabytes(prepared) - megabytes(embedding),
        "megabytes_of_copied_weights": megabytes(prepared.sharing.weights),
        "megabytes_of_the_decoder": megabytes(list(pair.ours.mask_decoder.parameters())),
    }


def distances(pair: Pair) -> Iterator[dict[str, Any]]:
    """For each type, the distance of masks and of scores to float64: by the quick decoder, and by the plain one."""
    embedding, points = pair.embedding(), pair.points(COMPARED)
    exact = answer(copy.deepcopy(pair.ours).double(), "eager", embedding.double(), points)
    for dtype in TYPES:
        model = copy.deepcopy(pair.ours).to(dtype)
        row: dict[str, Any] = {"type": str(dtype).removeprefix("torch.")}
        for way, attention in (("quick", "sdpa"), ("plain", "eager")):
            for what, mine, best in zip(
                ("masks", "scores"), answer(model, attention, embedding.to(dtype), points), exact, strict=True
            ):
                row[f"{way}_{what}"] = ((mine.double() - best).norm() / best.norm()).item()
        yield row


def answer(model: SamModel, attention: str, embedding: Tensor, points: Tensor) -> tuple[Tensor, Tensor]:
    """Low-resolution logits and scores; "eager" takes the plain decoder."""
    model.set_attn_implementation(attention)
    output = model(image_embeddings=model.prepare_image(embedding), input_points=points)
    return output.pred_masks, output.iou_scores


@torch.no_grad()
def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--size", nargs="+", choices=SIZES, default=list(SIZES))
    parser.add_argument("--json", type=Path, help="file to write")
    options = parser.parse_args()
    options.device = "cpu"
    rows = []
    for size in options.size:
        pair = load_pair(size, "float32", options.device)
        rows.append({"size": size, **counts(pair), "distance_to_float64": list(distances(pair))})
        for name, value in rows[-1].items():
            print(size, name, value, flush=True)
    report = {
        "benchmark": "decoder_counts",
        "question": "How much work and memory do prompts share in the mask decoder, and what does sharing lose?",
        "environment": environment_of(options),
        "rows": rows,
    }
    finish(report, options.json)


if __name__ == "__main__":
    main()
