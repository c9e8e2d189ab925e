"""Whether what is computed now becomes a program for other inputs: the one question that all quick ways ask first."""

from __future__ import annotations

import torch


def is_being_exported() -> bool:
    """Whether a program is being made: by `torch.export`, `torch.compile`, `torch.jit.trace` or `torch.onnx.export`.

    Then sizes and values are those of an example, and nothing may be decided by them: neither chunks nor shortcuts.
    """
    return torch.compiler.is_compiling() or torch.jit.is_tracing()  # type: ignore[attr-defined]
