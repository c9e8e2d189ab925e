"""On a CUDA device: the same numbers as on the CPU, in every type, by the kernels and without the waits that are meant.

`make test-gpu` runs this where there is one.
"""

import subprocess
import sys

import numpy as np
import pytest
import torch
from torch.nn.attention import SDPBackend, sdpa_kernel

from anymask import SamImageProcessorFast, SamMaskGenerator, SamModel, SamProcessor, load_image
from anymask.geometry.coordinates import ResizeGeometry
from anymask.masks.sparse_upsampling import SparseUpsampler
from anymask.modeling.attention import RelativePositionBias, eager_attention, sdpa_attention

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


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
@pytest.mark.parametrize(("channels", "side"), [(64, 14), (64, 64), (80, 14), (80, 64)])  # ViT-B and L, ViT-H
def test_flash_attention_takes_relative_positions(dtype, channels, side):
    query, key, value = torch.randn(3, 1, 2, side**2, channels)
    bias = RelativePositionBias(*torch.randn(2, 1, 2, side**2, side))
    expected, _ = eager_attention(query, key, value, scale=channels**-0.5, relative_position=bias)
    query, key, value = (tensor.to("cuda", dtype) for tensor in (query, key, value))
    bias = RelativePositionBias(*(part.to("cuda", dtype) for part in bias))
    with sdpa_kernel(SDPBackend.FLASH_ATTENTION):  # an error where that cannot be
        attended, _ = sdpa_attention(query, key, value, scale=channels**-0.5, relative_position=bias)
    torch.testing.assert_close(attended.cpu().float(), expected, rtol=6e-2, atol=2e-2)


def generator_on(device: str, **options) -> SamMaskGenerator:
    model = SamModel.from_pretrained("sam-vit-nano", dtype=torch.float32).to(device)
    return SamMaskGenerator(model, SamProcessor.from_pretrained("sam-vit-nano"), **options)


def test_runs_of_many_masks():
    on_cpu, on_cuda = (
        SparseUpsampler.from_geometry(ResizeGeometry((300, 200), (48, 32), (48, 32)), (12, 8), device)
        for device in ("cpu", "cuda")
    )
    logits = torch.randn(5, 12, 8)
    expected = on_cpu.runs_of_each(logits, 0.25, 310, (4, 3))
    for mine, their in zip(on_cuda.runs_of_each(logits.cuda(), 0.25, 310, (4, 3)), expected, strict=True):
        np.testing.assert_array_equal(np.concatenate(mine), np.concatenate(their))


@pytest.mark.filterwarnings("ignore")  # of the compiler, about what is not used here
def test_cuda_graphs_change_no_mask():
    generator = generator_on("cuda")
    pictures = [load_image(PHOTO), load_image(PHOTO).transpose(0)]  # mirrored
    expected = list(generator.generate_many(pictures))
    for name in ("get_image_embeddings", "decode_proposals"):
        setattr(generator.model, name, torch.compile(getattr(generator.model, name), mode="reduce-overhead"))
    for _ in range(3):  # graphs are recorded in the second
        for records, plain in zip(generator.generate_many(pictures), expected, strict=True):
            assert abs(len(records) - len(plain)) <= 0.05 * len(plain)


@pytest.mark.parametrize("options", [{}, {"crop_n_layers": 1}, {"points_per_batch": 50}])
def test_segment_everything_finds_the_same(options):
    on_cpu, on_cuda = (generator_on(device, **options).generate(PHOTO) for device in ("cpu", "cuda"))
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


def test_two_workers_on_one_gpu_share_a_model_and_give_what_one_gives(tmp_path):
    """The script is a file, since the workers' processes import it."""
    script = tmp_path / "run.py"
    script.write_text(
        "import sys\n"
        "from anymask.distributed.generate import generate\n"
        "if __name__ == '__main__':\n"
        "    photos, workers = ['examples/coffee.jpg', 'examples/tulip.jpg'], int(sys.argv[2])\n"
        "    options = {'points_per_side': 8}\n"
        "    generate(photos, sys.argv[1], n_shards=2, workers=workers, devices=['cuda'], options=options)\n"
    )
    for workers in ("1", "2"):
        subprocess.run([sys.executable, str(script), str(tmp_path / workers), workers], check=True)
    shards = [{path.name: path.read_bytes() for path in (tmp_path / workers).glob("shard_*.tar")} for workers in "12"]
    assert len(shards[0]) == 2 and shards[0] == shards[1]
