import json

import pytest
import torch

from anymask.export import export as module
from anymask.export.export import ExportError, export
from anymask.export.layouts import LAYOUTS


@pytest.mark.slow
def test_every_layout_says_how_far_it_is_off(exported):
    for layout in LAYOUTS:
        report = json.loads((exported(layout) / "export.json").read_text())
        assert (report["layout"], report["precision"]) == (layout, "fp32")
        for errors in report["files"].values():
            assert max(errors.values()) < 1e-3


@pytest.mark.slow
@pytest.mark.parametrize("precision", ["fp16", "int8"])
def test_fewer_bits_are_smaller_and_near(exported, precision):
    folder, whole = exported("transformers.js", precision), exported("transformers.js")
    suffix = {"fp16": "_fp16", "int8": "_quantized"}[precision]
    assert sorted(path.name for path in (folder / "onnx").iterdir()) == [
        f"prompt_encoder_mask_decoder{suffix}.onnx",
        f"vision_encoder{suffix}.onnx",
    ]
    small = (folder / f"onnx/vision_encoder{suffix}.onnx").stat().st_size
    assert small < (whole / "onnx/vision_encoder.onnx").stat().st_size


@pytest.mark.slow
def test_openvino(exported):
    for layout, names in {
        "anymask": ["encoder", "mask_decoder"],
        "meta": ["decoder", "decoder_multi", "encoder"],
    }.items():
        folder = exported(layout, file_format="openvino")
        assert sorted(path.stem for path in folder.glob("*.xml")) == names
        assert sorted(path.stem for path in folder.glob("*.bin")) == names
        assert not list(folder.glob("*.onnx")) + list(folder.glob(".*"))
        report = json.loads((folder / "export.json").read_text())
        assert report["format"] == "openvino"
        assert max(error for errors in report["files"].values() for error in errors.values()) < 1e-3


@pytest.mark.slow
@pytest.mark.parametrize("precision", ["fp16", "int8"])
def test_openvino_in_fewer_bits(exported, precision):
    few, whole = (exported("anymask", bits, "openvino") / "encoder.bin" for bits in (precision, "fp32"))
    assert few.stat().st_size < 0.8 * whole.stat().st_size


@pytest.mark.slow
def test_what_is_off_is_not_written(model, preprocessor, tmp_path, monkeypatch):
    monkeypatch.setitem(module.TOLERANCES, "fp32", 1e-12)
    with pytest.raises(ExportError, match=r"must be within 1e-12 of PyTorch, but .* is off by"):
        export(model, tmp_path / "out", preprocessor=preprocessor, layout="anymask")
    assert list(tmp_path.iterdir()) == []


def test_what_cannot_be(model, preprocessor, tmp_path):
    with pytest.raises(ValueError, match="got 'metta'; did you mean 'meta'"):
        export(model, tmp_path / "out", preprocessor=preprocessor, layout="metta")
    with pytest.raises(ValueError, match="`precision` must be one of those that can be written, got 'int4'"):
        export(model, tmp_path / "out", preprocessor=preprocessor, precision="int4")
    with pytest.raises(ValueError, match="written in the layout 'osam', got 'openvino'; did you mean 'onnx'"):
        export(model, tmp_path / "out", preprocessor=preprocessor, layout="osam", file_format="openvino")
    with pytest.raises(ValueError, match="`samples` must be photographs to take ranges from"):
        export(model, tmp_path / "out", preprocessor=preprocessor, precision="int8-static")
    half = type(model)(model.config).to(torch.bfloat16)
    with pytest.raises(ValueError, match=r"must be float32 on the CPU, got torch.bfloat16"):
        export(half, tmp_path / "out", preprocessor=preprocessor)
