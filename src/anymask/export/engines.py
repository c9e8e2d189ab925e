"""What runs exported files: ONNX Runtime and OpenVINO, with one way to call them."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

FORMATS = {"onnx": ".onnx", "openvino": ".xml"}
"""What files of a format end in; an OpenVINO file has its weights beside it, in one that ends in .bin."""


class Engine(ABC):
    """One file, ready to run. May be called from several threads."""

    @abstractmethod
    def input_shape(self, name: str) -> list[int | None]:
        """Lengths of an input's axes, None where any will do."""

    @abstractmethod
    def run(self, outputs: Sequence[str], inputs: Mapping[str, np.ndarray]) -> list[np.ndarray]:
        """The outputs of these names, which the caller may change."""


class OnnxRuntimeEngine(Engine):
    """An ONNX file in ONNX Runtime.

    Args:
        path: Of the file.
        providers: As ONNX Runtime takes them; None takes the CPU.

    Raises:
        ImportError: If ONNX Runtime is not installed.
    """

    def __init__(self, path: Path, providers: Sequence[Any] | None = None):
        try:
            import onnxruntime
        except ImportError as error:
            raise ImportError(
                "Exported files need onnxruntime, which is not installed; run pip install 'anymask[onnx]'."
            ) from error
        options = onnxruntime.SessionOptions()
        options.log_severity_level = 3  # errors; its warnings are about nodes that it removes
        options.intra_op_num_threads = torch.get_num_threads()
        # Leaves the cores to PyTorch between calls.
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        self.session = onnxruntime.InferenceSession(
            path, options, providers=list(providers or ["CPUExecutionProvider"])
        )

    def input_shape(self, name: str) -> list[int | None]:
        """See `Engine.input_shape`."""
        [shape] = [value.shape for value in self.session.get_inputs() if value.name == name]
        return [length if isinstance(length, int) else None for length in shape]

    def run(self, outputs: Sequence[str], inputs: Mapping[str, np.ndarray]) -> list[np.ndarray]:
        """See `Engine.run`."""
        return self.session.run(list(outputs), dict(inputs))


class OpenVinoEngine(Engine):
    """An OpenVINO file.

    Args:
        path: Of the file that ends in .xml.
        device_name: As OpenVINO has them: "CPU", "GPU", "NPU", "AUTO".
        options: Of OpenVINO's `compile_model`, beside and in place of float32 and low latency.

    Raises:
        ImportError: If OpenVINO is not installed.
    """

    def __init__(self, path: Path, device_name: str = "CPU", options: Mapping[str, Any] | None = None):
        defaults = {"PERFORMANCE_HINT": "LATENCY", "INFERENCE_PRECISION_HINT": "f32"}
        if device_name == "CPU":
            defaults["INFERENCE_NUM_THREADS"] = str(torch.get_num_threads())
        core = import_openvino().Core()
        self.compiled = core.compile_model(path, device_name, {**defaults, **(options or {})})

    def input_shape(self, name: str) -> list[int | None]:
        """See `Engine.input_shape`."""
        shape = self.compiled.input(name).partial_shape
        return [axis.get_length() if axis.is_static else None for axis in shape]

    def run(self, outputs: Sequence[str], inputs: Mapping[str, np.ndarray]) -> list[np.ndarray]:
        """See `Engine.run`."""
        request = self.compiled.create_infer_request()  # one for all calls would answer only one thread at a time
        results = request.infer(dict(inputs))
        return [results[name] for name in outputs]


def import_openvino() -> Any:
    """The package `openvino`.

    Raises:
        ImportError: If it is not installed.
    """
    try:
        import openvino
    except ImportError as error:
        raise ImportError(
            "OpenVINO files need openvino, which is not installed; run pip install 'anymask[openvino]'."
        ) from error
    return openvino


ENGINES: dict[str, type[OnnxRuntimeEngine] | type[OpenVinoEngine]] = {
    "onnx": OnnxRuntimeEngine,
    "openvino": OpenVinoEngine,
}
"""What runs the files of each of `FORMATS`."""
