"""OpenVINO on the processor as a column: Transformers' networks, converted in memory; encoder, decoder, click.

In bfloat16 the weights are float32 and OpenVINO computes in bfloat16; where that would be emulated there is no column.
"""

from collections.abc import Callable
from typing import Any

import torch
from exports import Run, exported_column
from machine import emulates_bfloat16
from torch import nn

PACKAGES = ("openvino",)
PRECISIONS = {torch.float32: "f32", torch.bfloat16: "bf16"}


def column(stage: str, *inputs: Any) -> Callable[[], Any] | None:
    """OpenVINO's work for a stage; see where the scripts call `benchmark.peers`."""
    if stage not in ("encoder", "decoder", "click") or inputs[0].device.type != "cpu":
        return None
    precision = inputs[0].dtype
    if precision == torch.bfloat16 and emulates_bfloat16("cpu"):
        return None

    def compiled(network: nn.Module, example: tuple[torch.Tensor, ...]) -> Run:
        import openvino

        options = {
            "INFERENCE_PRECISION_HINT": PRECISIONS[precision],
            "INFERENCE_NUM_THREADS": torch.get_num_threads(),
            "PERFORMANCE_HINT": "LATENCY",
        }
        model = openvino.convert_model(network, example_input=example)
        run = openvino.Core().compile_model(model, "CPU", options)
        return lambda *inputs: torch.from_numpy(run([tensor.numpy() for tensor in inputs])[0])

    return exported_column(stage, compiled, *inputs)
