"""A program may change torch's default dtype or device: the package's tensors go by what they belong to.

"meta" stands for any device but the CPU: what is wrongly made there has no values, so that nothing comes of it in
silence.
"""

from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import pytest
import torch

from anymask import SAM, SamAutomaticMaskGenerator, SamMaskGenerator, SamPredictor, load_image, model_info

PHOTO = np.ascontiguousarray(np.asarray(load_image("examples/coffee.jpg"))[::3, ::3])
HEIGHT, WIDTH = PHOTO.shape[:2]


@contextmanager
def default(value: torch.dtype | str) -> Iterator[None]:
    if isinstance(value, str):
        with torch.device(value):
            yield
        return
    before = torch.get_default_dtype()
    torch.set_default_dtype(value)
    try:
        yield
    finally:
        torch.set_default_dtype(before)


def predictions() -> dict[str, object]:
    sam = SAM("sam-vit-nano")
    processor = sam.processor
    results = sam.predict(PHOTO, points=[[100, 60], [10, 10]])[0]
    session = sam.session(PHOTO)
    found = {
        "prompts": [record["area"] for record in results.records],
        "box": len(sam.predict(PHOTO, boxes=[[50, 30, 150, 100]])[0]),
        "mask": len(sam.predict(PHOTO, masks=PHOTO[..., 0] > 128)[0]),
        "everything": len(sam.predict(PHOTO, points_per_side=3, crop_n_layers=1)[0]),
        "embedding": len(sam.predict(sam.embed(PHOTO), points=[100, 60])[0]),
        "session": type(session).__name__,
        "picture": results.plot().size,
        "model_info": str(model_info(sam.model)),
    }
    generator = SamMaskGenerator(sam.model, processor, points_per_side=3, min_mask_region_area=20)
    found["generator"] = [record["area"] for record in generator.generate(PHOTO)]
    for make in (False, True):
        image_processor = type(processor).from_pretrained("sam-vit-nano", use_fast=make)
        inputs = image_processor(
            PHOTO,
            input_points=[[[[100, 60]], None]],
            input_boxes=[[None, [50, 30, 150, 100]]],
            input_masks=[[None, PHOTO[..., 0] > 128]],
            segmentation_maps=PHOTO[..., 0],
            return_tensors="pt",
        )
        labels = inputs.pop("labels")
        outputs = sam.model(**inputs)
        (masks,) = image_processor.post_process_masks(
            outputs.pred_masks, inputs["original_sizes"], inputs["reshaped_input_sizes"], binarize=False
        )
        crops = image_processor.image_processor.generate_crop_boxes(PHOTO, crop_n_layers=1, points_per_crop=2)
        kept = image_processor.image_processor.filter_masks(
            masks, outputs.iou_scores[0], (HEIGHT, WIDTH), [0, 0, WIDTH, HEIGHT], 0, 0
        )
        best = image_processor.image_processor.post_process_for_mask_generation(*kept, 0.7)
        found[f"processor {make}"] = {
            **{name: (value.dtype, value.device) for name, value in inputs.items()},
            "labels": labels.sum().item(),
            "crops": crops[1].sum().item(),
            "masks": [mask.sum() for mask in best[0]],
        }
    predictor = SamPredictor(sam.model)
    predictor.set_image(PHOTO)
    predicted = predictor.predict(np.array([[100, 60]]), np.array([1]), box=np.array([50, 30, 150, 100]))
    found["predictor"] = [mask.sum() for mask in predicted[0]]
    meta_generator = SamAutomaticMaskGenerator(
        sam.model, points_per_side=3, pred_iou_thresh=0.1, stability_score_thresh=0.1, min_mask_region_area=20
    )
    found["automatic"] = [record["area"] for record in meta_generator.generate(PHOTO)]
    return found


@pytest.fixture(scope="module")
def expected() -> dict[str, object]:
    return predictions()


@pytest.mark.parametrize("value", [torch.float64, torch.bfloat16, "meta"], ids=str)
def test_nothing_depends_on_a_programs_defaults(value, expected):
    with default(value):
        assert predictions() == expected
