import json
import re
from pathlib import Path

import pytest
import torch
from tests.tiny_sam import tiny_image_processor, tiny_model

from anymask import SAM
from anymask.demo.static import write_static
from anymask.processing_sam import SamProcessor

DOCUMENTATION = Path(__file__).parents[3] / "docs" / "demo-api.md"


def test_the_folder_is_the_page_with_the_model(page, tmp_path):
    import onnxruntime

    # Each block takes the exporter seconds.
    model = tiny_model(vision=dict(num_hidden_layers=1, global_attn_indexes=[0]), decoder=dict(num_hidden_layers=1))
    sam = SAM(model, processor=SamProcessor(tiny_image_processor()))
    folder = tmp_path / "static"
    write_static(sam, "tiny", folder, page)
    assert (folder / "index.html").read_bytes() == (page / "index.html").read_bytes()
    assert (folder / "ort" / "run.wasm").is_file()
    manifest = json.loads((folder / "manifest.json").read_text())
    assert {name: manifest[name] for name in ("engine", "layout", "model", "image_size", "mask_size")} == {
        "engine": "browser",
        "layout": "meta",
        "model": "tiny",
        "image_size": 80,
        "mask_size": 40,
    }
    documented = re.findall(r"```json\n(.*?)```", DOCUMENTATION.read_text(encoding="utf-8"), re.DOTALL)[-1]
    assert set(manifest) == set(json.loads(documented))
    assert manifest["mean"] == list(sam.processor.image_processor.image_mean)
    encoder = onnxruntime.InferenceSession(folder / manifest["encoder"])
    pixels = torch.randn(1, 3, 80, 80)
    [embedding] = encoder.run(["image_embeddings"], {"pixel_values": pixels.numpy()})
    expected = sam.model.get_image_embeddings(pixels).detach()
    torch.testing.assert_close(torch.from_numpy(embedding), expected, rtol=1e-3, atol=1e-3)
    decoder = onnxruntime.InferenceSession(folder / manifest["decoder"])
    assert {"point_coords", "point_labels", "mask_input", "has_mask_input"} < {put.name for put in decoder.get_inputs()}
    with pytest.raises(FileExistsError):
        write_static(sam, "tiny", folder, page)


def test_a_page_that_is_not_built(sam, tmp_path):
    with pytest.raises(FileNotFoundError, match="make web"):
        write_static(sam, "tiny", tmp_path / "static", tmp_path / "no page")
    assert not (tmp_path / "static").exists()
