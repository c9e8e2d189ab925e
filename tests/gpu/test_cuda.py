"""On a CUDA device: the same numbers as on the CPU, in every type. `make test-gpu` runs this where there is one."""

import numpy as np
import pytest
import torch

from anymask import SamImageProcessorFast, SamMaskGenerator, SamModel, SamProcessor, load_image

pytestmark = pytest.mark.gpu

PHOTO = "examples/coffee.jpg"


def outputs(device: str, dtype: torch.dtype):
    model = SamModel.from_pretrained("sam-vit-nano", dtype=dtype).to(device)
    processor = SamProcessor.from_pretrained("sam-vit-nano")
    inputs = processor(load_image(PHOTO), input_points=[[[[300, 150]], [[420, 350]]]], return_tensors="pt").to(device)
    with torch.no_grad():
        return model(**inputs)


@pytest.mark.parametrize(("dtype", "same"), [(torch.float32, 0.999), (torch.bfloat16, 0.97), (torch.float16, 0.99)])
def test_masks_are_those_of_the_cpu(dtype, same):
    on_cpu, on_cuda = outputs("cpu", torch.float32), outputs("cuda", dtype)
    assert on_cuda.iou_scores.dtype == torch.float32
    assert ((on_cpu.pred_masks > 0) == (on_cuda.pred_masks > 0).cpu()).float().mean() >= same


def test_segment_everything_finds_the_same():
    processor = SamProcessor.from_pretrained("sam-vit-nano")
    records = []
    for device in ("cpu", "cuda"):
        model = SamModel.from_pretrained("sam-vit-nano", dtype=torch.float32).to(device)
        records.append(SamMaskGenerator(model, processor).generate(PHOTO))
    on_cpu, on_cuda = records
    assert len(on_cpu) > 0
    assert abs(len(on_cpu) - len(on_cuda)) <= 0.05 * len(on_cpu)  # ties at a threshold
    ious = [
        max(
            np.logical_and(a["segmentation"], b["segmentation"]).sum()
            / np.logical_or(a["segmentation"], b["segmentation"]).sum()
            for b in on_cuda
        )
        for a in on_cpu
    ]
    assert np.median(ious) > 0.99


def test_fast_image_processor_on_the_device():
    processor = SamImageProcessorFast.from_pretrained("sam-vit-nano")
    image = load_image(PHOTO)
    on_cpu = processor(image, return_tensors="pt")["pixel_values"]
    on_cuda = processor(image, return_tensors="pt", device="cuda")["pixel_values"]
    assert on_cuda.device.type == "cuda"
    assert (on_cpu - on_cuda.cpu()).abs().max() < 3 / 255 / 0.2
