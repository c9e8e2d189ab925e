"""How the tests run, and what every test may rely on.

    make test                                  # the default: unit and parity, two processes, no network
    .venv/bin/pytest                           # the same in one process
    .venv/bin/pytest tests/unit/masks          # one folder; -k NAME picks tests by name
    .venv/bin/pytest -m parity                 # only what compares with Transformers
    make test-slow                             # what takes minutes
    make test-gpu                              # what needs a CUDA device
    make test-browser                          # the demo page in Chromium
    make test-minimum                          # the default tests on the oldest supported versions, in their own .venv

tests/unit mirrors src/anymask, the core file by file; tests/parity compares with Transformers on the same weights;
tests/gpu holds what needs a device; a mark says which tests are slow. Sizes in tests differ pairwise (batch 2, prompts
3, points 4, height != width), so that swapped axes fail.

Policies, all set here: seeds are fixed before every test; torch computes on one thread, so that sums do not depend on
the machine and processes do not fight for cores; nothing reaches the network, and the hub client is told so; warnings
are errors.
"""

import os

# Before torch and huggingface_hub are imported, since both read these once; subprocesses started by tests inherit them.
os.environ["HF_HUB_OFFLINE"] = "1"
os.environ["OMP_NUM_THREADS"] = "1"

import ipaddress
import random
import socket
from typing import NamedTuple

import numpy as np
import pytest
import torch


class Tolerance(NamedTuple):
    """Relative and absolute tolerance, in the form that `torch.testing.assert_close` and `numpy.allclose` take."""

    rtol: float
    atol: float


# How far two computations of the same quantity may differ: a few hundred times the rounding of one operation
# (2^-24, 2^-11, 2^-8), since an encoder sums thousands of terms in an order of its own.
TOLERANCES = {
    torch.float64: Tolerance(rtol=1e-9, atol=1e-9),
    torch.float32: Tolerance(rtol=1e-4, atol=1e-5),
    torch.float16: Tolerance(rtol=2e-2, atol=2e-3),
    torch.bfloat16: Tolerance(rtol=6e-2, atol=2e-2),
}


@pytest.fixture(scope="session")
def tolerances() -> dict[torch.dtype, Tolerance]:
    """The tolerance table: `torch.testing.assert_close(actual, expected, **tolerances[dtype]._asdict())`."""
    return TOLERANCES


@pytest.fixture(scope="session", autouse=True)
def _one_torch_thread() -> None:
    torch.set_num_threads(1)


@pytest.fixture(autouse=True)
def _seeds() -> None:
    random.seed(0)
    np.random.seed(0)
    torch.manual_seed(0)


@pytest.fixture(scope="session", autouse=True)
def _no_network():
    """Refuses every connection that would leave this machine, so that a test cannot come to depend on one."""
    connect = socket.socket.connect

    def connect_to_loopback_only(self: socket.socket, address):
        if self.family in (socket.AF_INET, socket.AF_INET6) and not _is_loopback(address[0]):
            raise ConnectionRefusedError(f"tests have no network, but one tried to reach {address[0]}")
        return connect(self, address)

    socket.socket.connect = connect_to_loopback_only
    yield
    socket.socket.connect = connect


def _is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
