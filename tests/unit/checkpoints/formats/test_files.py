"""Files that are not what their names say. Nothing in a file may ever run."""

import argparse
import io
import os
import pickle
import zipfile

import pytest
import safetensors.torch
import torch

from anymask.checkpoints.formats.files import read_tensors
from anymask.checkpoints.reports import CheckpointError

TENSORS = {"a.weight": torch.arange(6.0).reshape(2, 3), "b": torch.ones(4, dtype=torch.float16)}


class Harmful:
    """Unpickling it would create a file."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return os.mkdir, (str(self.path),)


def assert_same(actual):
    assert actual.keys() == TENSORS.keys()
    assert all(
        torch.equal(actual[name], tensor) and actual[name].dtype == tensor.dtype for name, tensor in TENSORS.items()
    )


@pytest.mark.parametrize("kind", ["torch", "torch before 1.6", "safetensors"])
def test_kinds_are_told_by_content_not_by_name(tmp_path, kind):
    path = str(tmp_path / "weights.dat")
    if kind == "safetensors":
        safetensors.torch.save_file(TENSORS, path)
    else:
        torch.save(TENSORS, path, _use_new_zipfile_serialization=kind == "torch")
    assert_same(read_tensors(path))


@pytest.mark.parametrize("kind", ["torch", "torch before 1.6", "safetensors"])
@pytest.mark.parametrize("kept", [0.5, 0.98])
def test_cut_short(tmp_path, kind, kept):
    path = tmp_path / "weights.pth"
    big = {"a": torch.randn(3000), "b": torch.randn(2000)}
    if kind == "safetensors":
        safetensors.torch.save_file(big, path)
    else:
        torch.save(big, path, _use_new_zipfile_serialization=kind == "torch")
    whole = path.read_bytes()
    path.write_bytes(whole[: int(len(whole) * kept)])
    with pytest.raises(CheckpointError, match=r"cut short.*download it again"):
        read_tensors(str(path))


@pytest.mark.parametrize("zipped", [True, False])
@pytest.mark.parametrize("nested", [True, False])
def test_code_in_pickles_does_not_run(tmp_path, zipped, nested):
    path, trace = tmp_path / "weights.pth", tmp_path / "it-ran"
    harmful = Harmful(trace)
    torch.save({"model": TENSORS, "args": harmful} if nested else harmful, path, _use_new_zipfile_serialization=zipped)
    with pytest.raises(CheckpointError, match=r"must hold tensors alone.* call \w+\.mkdir.*weights_only=False"):
        read_tensors(str(path))
    assert not trace.exists()


@pytest.mark.parametrize("protocol", [2, 4, 5])
def test_plain_pickles_are_refused(tmp_path, protocol):
    path, trace = tmp_path / "weights.pth", tmp_path / "it-ran"
    for content in (Harmful(trace), TENSORS, {"a": 1}):
        path.write_bytes(pickle.dumps(content, protocol))
        with pytest.raises(CheckpointError, match=r"but it is a plain pickle.* Ask for a file of tensors") as raised:
            read_tensors(str(path))
        assert "weights_only" not in str(raised.value)
    assert not trace.exists()


@pytest.mark.parametrize("zipped", [True, False])
def test_torch_s_advice_is_not_repeated(tmp_path, zipped):
    path = str(tmp_path / "weights.pth")
    torch.save(TENSORS, path, _use_new_zipfile_serialization=zipped, pickle_protocol=4)  # which torch cannot read back
    with pytest.raises(CheckpointError, match=r"written otherwise \(Unsupported operand 149\)") as raised:
        read_tensors(path)
    assert "weights_only" not in str(raised.value)


def test_harmless_objects_are_refused_too_and_named(tmp_path):
    path = str(tmp_path / "last.ckpt")
    torch.save({"state_dict": TENSORS, "hyper_parameters": argparse.Namespace(lr=0.1)}, path)
    with pytest.raises(CheckpointError, match=r"argparse\.Namespace.*if you trust its author"):
        read_tensors(path)


@pytest.mark.parametrize(
    ("content", "what"),
    [
        (b"", "empty or begins with zeros \\(0 bytes\\)"),
        (b"\0" * 4096, "empty or begins with zeros \\(4096 bytes\\)"),
        (b"<!DOCTYPE html><html>404", "a web page"),
        (b"\n  <?xml version='1.0'?><Error>AccessDenied</Error>", "a web page"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 375042383\n", "git lfs pull"),
        (b"\x1f\x8b\x08\0rest", "a gzip archive; unpack it"),
        (b'{"error": "not found"}', "JSON text"),
        (b"\x89HDF\r\n\x1a\n", "an HDF5 file"),
        (b"GGUF\x03\0\0\0", "a GGUF file"),
        (b"just words", "begins with b'just wor'"),
        (b"PK\x03\x04 and no more", "cut short"),
        (b"\x80\x02 and no more", "cut short, damaged"),
        ((100).to_bytes(8, "little") + b"{not json", "cut short or damaged"),
    ],
)
def test_what_is_no_checkpoint_is_named(tmp_path, content, what):
    path = tmp_path / "sam_vit_b_01ec64.pth"
    path.write_bytes(content)
    with pytest.raises(CheckpointError, match=what):
        read_tensors(str(path))


def test_zip_archives(tmp_path):
    path = tmp_path / "weights.pth"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("photos/a.jpg", b"x")
    with pytest.raises(CheckpointError, match=r"a zip archive of \['photos/a.jpg'\]; unpack it"):
        read_tensors(str(path))
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("model/data.pkl", b"x")
        archive.writestr("model/constants.pkl", b"x")
    with pytest.raises(CheckpointError, match="a TorchScript program"):
        read_tensors(str(path))


def test_damaged_inside(tmp_path):
    buffer = io.BytesIO()
    torch.save(TENSORS, buffer)
    path = tmp_path / "weights.pth"
    path.write_bytes(buffer.getvalue().replace(b"a.weight", b"\xff\xff\xff\xff\xff\xff\xff\xff"))
    with pytest.raises(CheckpointError, match="damaged"):
        read_tensors(str(path))


def test_links_that_lead_nowhere(tmp_path):
    one, other, dangling = (tmp_path / name for name in ("one.pth", "other.pth", "dangling.pth"))
    one.symlink_to(other)
    other.symlink_to(one)
    dangling.symlink_to(tmp_path / "gone.pth")
    with pytest.raises(OSError, match=r"a symbolic link to '.*other\.pth' that leads in a circle"):
        read_tensors(str(one))
    with pytest.raises(OSError, match=r"a symbolic link to '.*gone\.pth' that leads to nothing"):
        read_tensors(str(dangling))


def test_links_that_lead_to_a_file(tmp_path):
    torch.save(TENSORS, tmp_path / "blob")
    (tmp_path / "weights.pth").symlink_to("blob")
    assert_same(read_tensors(str(tmp_path / "weights.pth")))


def test_what_is_no_ordinary_file(tmp_path):
    os.mkfifo(tmp_path / "pipe.pth")
    for path in (tmp_path, tmp_path / "pipe.pth", "/dev/zero"):
        with pytest.raises(OSError, match="must be an ordinary file"):
            read_tensors(str(path))
