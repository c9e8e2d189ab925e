import numpy as np

from anymask.image_processing_sam_fast import SamImageProcessorFast
from anymask.images.resize_torch import TorchResizer


def test_pixels_are_those_of_torchs_resize():
    image = np.random.default_rng(0).integers(0, 256, (30, 40, 3), dtype=np.uint8)
    processor, resizer = SamImageProcessorFast(size=16, pad_size=20), TorchResizer()
    expected = resizer.pixel_values([resizer.load(image)], [processor.geometry((30, 40))], processor.options(), None)
    assert (processor(image, return_tensors="pt")["pixel_values"] == expected).all()
    assert processor.to_dict()["image_processor_type"] == "SamImageProcessorFast"
