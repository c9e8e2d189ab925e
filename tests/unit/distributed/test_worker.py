import numpy as np
import pytest

from anymask import SamMaskGenerator, SamModel, SamProcessor
from anymask.distributed.worker import MaskWorker, preset
from anymask.mask_generation.options import MaskGenerationOptions
from anymask.sam import SAM


def test_rows_are_those_of_the_generator(photos, options):
    worker = MaskWorker("sam-vit-nano", options)
    paths = [str(photos / "part0/p0.png"), str(photos / "broken.jpg"), str(photos / "part1/p1.png")]
    rows = worker({"name": np.array(["a", "b", "c"]), "image": np.array(paths, dtype=object)})
    assert {column: (array.shape, array.dtype) for column, array in rows.items()} == {
        column: ((3,), np.dtype(object)) for column in ("name", "height", "width", "masks", "error")
    }
    model, processor = SamModel.from_pretrained("sam-vit-nano"), SamProcessor.from_pretrained("sam-vit-nano")
    expected = SamMaskGenerator(model.eval(), processor, **options).generate(paths[2], output_mode="coco_rle")
    assert rows["masks"][2] == expected and len(expected) > 0
    assert (rows["height"].tolist(), rows["width"].tolist()) == ([60, 0, 64], [90, 0, 90])
    assert rows["error"][0] is None and "broken.jpg" in rows["error"][1] and rows["masks"][1] == []


def test_masks_of_nearly_everything_go(photos, options):
    image = str(photos / "part0/p0.png")
    everything = MaskWorker("sam-vit-nano", options).segment("a", image)["masks"]
    areas = sorted(record["area"] for record in everything)
    share = areas[len(areas) // 2] / (60 * 90)
    some = MaskWorker("sam-vit-nano", {**options, "max_area_share": share}).segment("a", image)["masks"]
    assert sorted(record["area"] for record in some) == [area for area in areas if area <= share * 60 * 90]


def test_presets():
    named = preset("sa1b")
    named.pop("max_area_share")
    assert [len(grid) for grid in MaskGenerationOptions.from_kwargs(**named).grids()] == [32**2, 16**2, 8**2]
    with pytest.raises(ValueError, match="got 'sa1'; did you mean 'sa1b'"):
        preset("sa1")
    with pytest.raises(ValueError, match=r"`max_area_share` must lie in \(0, 1\], got 0"):
        MaskWorker("sam-vit-nano", {"max_area_share": 0})
    with pytest.raises(TypeError, match="points_per_sied"):
        MaskWorker("sam-vit-nano", {"points_per_sied": 3})


def test_a_loaded_model_is_used_as_it_is(photos, options):
    sam = SAM("sam-vit-nano", device="cpu")
    worker = MaskWorker(sam.model, options, processor=sam.processor)
    assert worker.generator.model is sam.model
    path = str(photos / "part0/p0.png")
    by_name = MaskWorker("sam-vit-nano", options, device="cpu")
    assert worker.segment("a", path) == by_name.segment("a", path)
