"""Devices: which one is meant, whether it can be used here, and whether the host waits for it."""

from __future__ import annotations

from typing import Any

import torch


def usable_device(device: str | torch.device | None) -> torch.device:
    """The device of this name; None or "auto" is CUDA where there is one, else the CPU.

    Raises:
        ValueError: If torch cannot use it here.
    """
    if device is None or device == "auto":
        device = "cuda" if torch.cuda.is_available() else "cpu"
    try:
        return torch.empty(0, device=device).device
    except (RuntimeError, AssertionError) as error:  # an assertion where torch is built without CUDA
        raise ValueError(
            f"`device` must be 'auto', 'cpu' or another that torch can use here, got {str(device)!r}: {error}"
        ) from error


def check_devices(devices: Any, device: Any) -> None:
    """Refuse what is no list of several devices, or comes beside a single one.

    Args:
        devices: Each gets a copy of a model; None where there is one device.
        device: The single one, or None.

    Raises:
        ValueError: If there is none of them, or there are both.
    """
    if devices is not None and (device is not None or len(devices) == 0 or isinstance(devices, str)):
        raise ValueError(
            f"`devices` must be a list with a device or more, in place of `device`, got {devices!r} and {device!r}."
        )


def is_accelerator(device: torch.device) -> bool:
    """Whether a device works while the host goes on.

    There starting a step costs more than the arithmetic of a small one, and asking for a result stops the host.
    """
    return device.type != "cpu"
