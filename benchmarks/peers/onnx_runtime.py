"""ONNX Runtime on the processor, in float32, as a column: Transformers' networks, exported; encoder, decoder, click."""

import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from exports import Run, exported_column
from torch import nn

PACKAGES = ("onnxruntime", "onnx", "onnxscript")


def column(stage: str, *inputs: Any) -> Callable[[], Any] | None:
    """ONNX Runtime's work for a stage; see where the scripts call `benchmark.peers`."""
    if stage not in ("encoder", "decoder", "click"):
        return None
    if inputs[0].device.type != "cpu" or inputs[0].dtype != torch.float32:
        return None
    return exported_column(stage, _compiled, *inputs)


def _compiled(network: nn.Module, example: tuple[torch.Tensor, ...]) -> Run:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = torch.get_num_threads()
    # Its threads would go on spinning beside the other columns.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "network.onnx"
        torch.onnx.export(network, example, file, dynamo=True, verbose=False)
        session = onnxruntime.InferenceSession(file, options, providers=["CPUExecutionProvider"])
    names = [node.name for node in session.get_inputs()]
    return lambda *inputs: torch.from_numpy(
        session.run(None, {name: tensor.numpy() for name, tensor in zip(names, inputs, strict=True)})[0]
    )
