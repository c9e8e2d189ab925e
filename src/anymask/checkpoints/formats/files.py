"""Reading files of tensors without running what they may contain, and saying what a file is that holds none.

Pickles are read by torch's restricted reader alone (`weights_only=True`), which makes tensors and plain containers and
calls nothing else. The kind of a file follows from its first bytes, never from its name.
"""

from __future__ import annotations

import errno
import os
import pickle
import pickletools
import re
import warnings
import zipfile
from collections.abc import Sequence
from typing import Any

import torch
from safetensors import SafetensorError, safe_open

from ..reports import CheckpointError

WEIGHT_SUFFIXES = frozenset({".bin", ".ckpt", ".pt", ".pth", ".safetensors"})

_HEAD_BYTES = 512
_TORCH_MAGIC = b"\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19."  # the number with which torch.save began before 1.6
_AGAIN = "download it again, and compare its size with the source's"
# Beginnings of files that people take for checkpoints: what each is, and what to do.
_NO_CHECKPOINTS: list[tuple[bytes, str, str]] = [
    (
        b"version https://git-lfs.github.com/spec",
        "a Git LFS pointer, which stands for the file",
        "run `git lfs pull` where it lies, or download the file itself",
    ),
    (b"<", "a web page, perhaps an error in place of the download", "open it as text, and download the file again"),
    (b"\x1f\x8b", "a gzip archive", "unpack it"),
    (b"\x89HDF", "an HDF5 file, as Keras writes", "convert the model's PyTorch weights instead"),
    (b"GGUF", "a GGUF file", "take the PyTorch or safetensors weights"),
    (b"7z\xbc\xaf", "a 7z archive", "unpack it"),
    (b"Rar!", "a RAR archive", "unpack it"),
    (b"{", "JSON text", "pass the file with the weights, or the folder for a hub's checkpoint"),
]


def read_tensors(path: str) -> Any:
    """What a file of safetensors or of `torch.save` holds. Tensors may be backed by the file: copy before changing.

    Raises:
        OSError: If there is no readable file.
        CheckpointError: If it is of another kind, damaged, or holds anything but tensors and plain containers.
    """
    head = _read_head(path)
    if _is_safetensors(head):
        return _read_safetensors(path)
    if head.startswith(b"PK\x03\x04"):
        return _read_zip(path)
    if head.startswith(b"\x80") and _TORCH_MAGIC in head[:24]:
        return _read_pickle(path, mmap=False)
    if head.startswith(b"\x80"):
        raise _plain_pickle(path)
    for beginning, what, remedy in _NO_CHECKPOINTS:
        if head.lstrip(b"\xef\xbb\xbf \t\r\n").startswith(beginning):
            raise CheckpointError(f"{path} must be a file of weights, but it is {what}; {remedy}.")
    raise CheckpointError(
        f"{path} must be a file that torch.save or safetensors wrote, but it begins with {head[:8]!r}; {_AGAIN}."
    )


def _read_head(path: str) -> bytes:
    try:
        is_file = os.path.isfile(path)
        os.stat(path)
    except OSError as error:
        if os.path.islink(path):
            why = "in a circle" if error.errno == errno.ELOOP else "to nothing"
            raise OSError(
                f"{path} must be a file, but it is a symbolic link to {os.readlink(path)!r} that leads {why}; "
                f"pass the file itself."
            ) from error
        raise
    if not is_file:
        raise OSError(f"{path} must be an ordinary file, but it is a folder, device or pipe; pass a file of weights.")
    with open(path, "rb") as file:
        head = file.read(_HEAD_BYTES)
    if not head.strip(b"\0"):
        size = os.path.getsize(path)
        raise CheckpointError(
            f"{path} must be a file of weights, but it is empty or begins with zeros ({size} bytes); {_AGAIN}."
        )
    return head


def _is_safetensors(head: bytes) -> bool:
    """Eight bytes of header length, little-endian, then the header, which is JSON."""
    return len(head) > 8 and head[8:9] == b"{" and int.from_bytes(head[:8], "little") < 1 << 32


def _read_safetensors(path: str) -> dict[str, torch.Tensor]:
    try:
        with safe_open(path, framework="pt", device="cpu") as file:
            return {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - not a dictionary
    except SafetensorError as error:
        raise CheckpointError(
            f"{path} must be a whole safetensors file, but it is cut short or damaged ({error}); {_AGAIN}."
        ) from error


def _read_zip(path: str) -> Any:
    try:
        with zipfile.ZipFile(path) as archive:
            members = archive.namelist()
    except zipfile.BadZipFile as error:
        raise CheckpointError(
            f"{path} must be a whole file of torch.save, but it is cut short ({os.path.getsize(path)} bytes); {_AGAIN}."
        ) from error
    if any(name.endswith("/constants.pkl") for name in members):
        raise CheckpointError(
            f"{path} must be a file of weights, but it is a TorchScript program; where you trust its author, save its "
            f"weights with torch.save(torch.jit.load({path!r}).state_dict(), 'weights.pth')."
        )
    if not any(name.endswith("data.pkl") for name in members):
        raise CheckpointError(f"{path} must be a file of weights, but it is a zip archive of {members[:3]}; unpack it.")
    try:
        unsafe = torch.serialization.get_unsafe_globals_in_checkpoint(path)  # lists, without running anything
    except pickle.UnpicklingError as error:
        raise _damaged(path, str(error)) from error
    if unsafe:
        raise _refused(path, unsafe)
    return _read_pickle(path, mmap=True)


def _read_pickle(path: str, mmap: bool) -> Any:
    try:
        with warnings.catch_warnings():
            # What it cannot read it refuses; that it might is no news.
            warnings.filterwarnings("ignore", "Detected pickle protocol", UserWarning)
            return torch.load(path, map_location="cpu", weights_only=True, mmap=mmap)
    except pickle.UnpicklingError as error:
        named = re.findall(r"(?:GLOBAL|global:?|function|class) ([\w.]+\.\w+)", str(error))
        if named:
            raise _refused(path, sorted(set(named))) from error
        # What stands before is torch's advice to read the file all the same.
        raise _damaged(path, str(error).rpartition("WeightsUnpickler error:")[2]) from error
    except (RuntimeError, EOFError, ValueError, LookupError, AttributeError, TypeError) as error:
        # Whatever a damaged pickle leads torch's reader to.
        raise _damaged(path, str(error) or type(error).__name__) from error


def _refused(path: str, names: Sequence[str]) -> CheckpointError:
    return CheckpointError(
        f"{path} must hold tensors alone, but reading it would call {', '.join(names)}, and a pickle can make such "
        f"calls do anything. Ask for a file of tensors. Or, if you trust its author, write one where nothing can be "
        f"harmed, in a container say: python -c \"import torch; content = torch.load({path!r}, map_location='cpu', "
        f"weights_only=False); torch.save(content['model'], 'tensors.pth')\", with the name under which the tensors "
        f"lie, and `.state_dict()` behind it for a whole module."
    )


def _plain_pickle(path: str) -> CheckpointError:
    """The error about a pickle that torch did not write; looked at, never run."""
    try:
        with open(path, "rb") as file:
            for _ in pickletools.genops(file):
                pass
    except (ValueError, EOFError, UnicodeDecodeError) as error:
        return _damaged(path, str(error))
    return CheckpointError(
        f"{path} must be a file that torch.save or safetensors wrote, but it is a plain pickle, a program that can do "
        f"anything when it is read. Ask for a file of tensors. Or, if you trust its author, write one where nothing "
        f"can be harmed, in a container say: read it there with Python's pickle, and write the dictionary of its "
        f"tensors with torch.save(tensors, 'tensors.pth')."
    )


def _damaged(path: str, problem: str) -> CheckpointError:
    first_line = problem.strip().partition("\n")[0][:200]
    return CheckpointError(
        f"{path} must be a whole file of torch.save, but it is cut short, damaged, or written otherwise "
        f"({first_line}); {_AGAIN}."
    )
