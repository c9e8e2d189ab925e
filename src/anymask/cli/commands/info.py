"""`anymask info`: what a model consists of and costs."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from ...modeling.summary import ModelInfo, model_info
from ...modeling_sam import SamModel
from ..start import keep_libraries_quiet


def describe_model(name: str) -> ModelInfo:
    """Load a model and take stock of it.

    Args:
        name: packaged name, folder, file of weights or hub id.

    Raises:
        OSError: If there is no such checkpoint.
        ValueError: If it is another model's.
    """
    keep_libraries_quiet()
    return model_info(SamModel.from_pretrained(name))


def as_dict(name: str, info: ModelInfo) -> dict[str, Any]:
    """The line that `--json` prints: the whole model's numbers, and those of each part."""
    totals = {kind: getattr(info, kind) for kind in ("layers", "parameters", "gradients", "gflops", "weight_bytes")}
    return {"model": name, **totals, **asdict(info)}
