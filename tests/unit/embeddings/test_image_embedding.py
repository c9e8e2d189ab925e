import os
from dataclasses import replace

import numpy as np
import pytest
import torch
from safetensors import safe_open
from safetensors.torch import save_file
from tests.tiny_sam import CHANNELS, GRID, IMAGE_SIZE, tiny_model

from anymask import ImageEmbedding, SamImageProcessor, SamProcessor, embed_image
from anymask.embeddings.image_embedding import embedding_key
from anymask.geometry.coordinates import ResizeGeometry

PIXELS = np.random.default_rng(0).integers(0, 256, (30, 50, 3), dtype=np.uint8)


def tiny_processor(**options) -> SamProcessor:
    return SamProcessor(SamImageProcessor(size=IMAGE_SIZE, pad_size=IMAGE_SIZE, **options))


@pytest.fixture(scope="module")
def model():
    return tiny_model()


@pytest.fixture(scope="module")
def embedding(model):
    return embed_image(model, tiny_processor(), PIXELS, name="pebbles")


def test_embed_image_is_the_encoder_on_a_processed_image(model, embedding):
    pixel_values = tiny_processor()(PIXELS, return_tensors="pt")["pixel_values"]
    with torch.no_grad():
        expected = model.get_image_embeddings(pixel_values)
    assert torch.equal(embedding.tensor, expected)
    assert embedding.tensor.shape == (1, CHANNELS, GRID, GRID)
    assert embedding.geometry == ResizeGeometry((30, 50), (48, 80), (80, 80))
    assert (embedding.original_size_hw, embedding.name) == ((30, 50), "pebbles")
    assert not embedding.tensor.requires_grad
    assert not embedding.tensor.is_inference()  # the decoder may be trained on it


def test_rectangular_images_keep_their_shape(model):
    processor = SamProcessor(SamImageProcessor(size=IMAGE_SIZE, size_divisor=8, pad_size=None))
    embedding = embed_image(model, processor.image_processor, PIXELS)
    assert embedding.tensor.shape == (1, CHANNELS, 6, 10)
    assert embedding.geometry.padded_size_hw == (48, 80)


def test_embed_image_takes_one_image(model):
    with pytest.raises(ValueError, match="must be one image, got 2; call embed_image for each"):
        embed_image(model, tiny_processor(), [PIXELS, PIXELS])


def test_a_file_brings_everything_back(embedding, tmp_path):
    embedding.save(tmp_path / "pebbles.safetensors")
    loaded = ImageEmbedding.load(tmp_path / "pebbles.safetensors")
    assert torch.equal(loaded.tensor, embedding.tensor)
    for name in ("geometry", "model_fingerprint", "preprocessing", "name"):
        assert getattr(loaded, name) == getattr(embedding, name)
    assert os.listdir(tmp_path) == ["pebbles.safetensors"]
    replace(embedding, name=None).save(tmp_path / "pebbles.safetensors")
    assert ImageEmbedding.load(tmp_path / "pebbles.safetensors", device="cpu").name is None


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_float16_files_are_rounded_and_small(embedding, tmp_path, dtype):
    replace(embedding, tensor=embedding.tensor.to(dtype)).save(tmp_path / "half", dtype="float16")
    loaded = ImageEmbedding.load(tmp_path / "half")
    assert torch.equal(loaded.tensor, embedding.tensor.to(dtype).half())
    with safe_open(tmp_path / "half", framework="pt") as file:
        assert file.get_slice("image_embedding").get_dtype() == "F16"


def test_float16_is_refused_where_values_would_be_lost(embedding, tmp_path):
    huge = replace(embedding, tensor=embedding.tensor * 1e6)
    with pytest.raises(ValueError, match=r"of 'pebbles' must lie within float16's 65504 .* save it with dtype=None"):
        huge.save(tmp_path / "huge", dtype="float16")
    with pytest.raises(ValueError, match=r"`dtype` must be 'float16', or None to keep torch.float32, got 'int8'"):
        embedding.save(tmp_path / "huge", dtype="int8")
    assert os.listdir(tmp_path) == []


def test_a_loaded_tensor_stays_in_its_file(embedding, tmp_path):
    path = tmp_path / "large"
    replace(embedding, tensor=torch.zeros(1, 64, 256, 512)).save(path)  # 32 MiB
    loaded = ImageEmbedding.load(path)
    with open("/proc/self/smaps" if os.path.exists("/proc/self/smaps") else os.devnull) as maps:
        assert not os.path.exists("/proc/self/smaps") or str(path) in maps.read()
    loaded.tensor.add_(1)  # a private copy of the page, never the file
    assert ImageEmbedding.load(path).tensor.max() == 0


@pytest.mark.parametrize("length", [0, 7, 60, -1])
def test_truncated_files_are_refused(embedding, tmp_path, length):
    path = tmp_path / "whole.safetensors"
    embedding.save(path)
    path.write_bytes(path.read_bytes()[:length])
    with pytest.raises(
        ValueError, match=r"whole.safetensors must be a whole file .* cut short, damaged .* make it again"
    ):
        ImageEmbedding.load(path)


def write_image(path):
    path.write_bytes(b"\xff\xd8\xff\xe0" + bytes(2000))


def write_other_safetensors(path):
    save_file({"weight": torch.zeros(2, 3)}, path, {"format": "pt"})


def write_without_metadata(path):
    save_file({"image_embedding": torch.zeros(1, 2, 3, 4)}, path)


def write_without_a_tensor(path):
    save_file({"other": torch.zeros(1)}, path, {"format": "anymask image embedding 1"})


def write_another_geometry(path):
    metadata = {"format": "anymask image embedding 1", "geometry": '{"size": 3}', "model_fingerprint": "0"}
    save_file({"image_embedding": torch.zeros(1, 2, 3, 4)}, path, metadata)


def write_whole_numbers(path):
    geometry = '{"original_size_hw": [3, 4], "resized_size_hw": [6, 8], "padded_size_hw": [8, 8]}'
    metadata = {"format": "anymask image embedding 1", "geometry": geometry}
    metadata |= {"model_fingerprint": "0", "preprocessing": "{}"}
    save_file({"image_embedding": torch.zeros(1, 2, 3, 4, dtype=torch.int32)}, path, metadata)


@pytest.mark.parametrize(
    "write",
    [
        write_image,
        write_other_safetensors,
        write_without_metadata,
        write_without_a_tensor,
        write_another_geometry,
        write_whole_numbers,
    ],
)
def test_foreign_files_are_refused(tmp_path, write):
    write(tmp_path / "foreign")
    with pytest.raises(ValueError, match=r"foreign must be a whole file that ImageEmbedding.save wrote, but"):
        ImageEmbedding.load(tmp_path / "foreign")


def test_missing_files_are_named(tmp_path):
    for path in (tmp_path, tmp_path / "nothing"):
        with pytest.raises(FileNotFoundError, match=f"{path.name} must be a file that ImageEmbedding.save wrote"):
            ImageEmbedding.load(path)


def test_only_one_floating_image_is_an_embedding(embedding):
    for tensor in (torch.zeros(2, 3, 4, 5), torch.zeros(3, 4, 5), torch.zeros(1, 3, 4, 5, dtype=torch.uint8)):
        with pytest.raises(ValueError, match=r"must be floating, of shape \(1, channels, height, width\), got torch"):
            replace(embedding, tensor=tensor)


def test_another_model_is_refused(model, embedding):
    embedding.check_model(model)
    embedding.check_model(tiny_model().bfloat16())
    with pytest.raises(ValueError, match=r"of 'pebbles' must come from this model's image encoder, .* make it again"):
        embedding.check_model(tiny_model(seed=5))
    with pytest.raises(ValueError, match=r"In float16 a checkpoint has another hash than in float32 or bfloat16\.$"):
        embedding.check_model(tiny_model().half())


def test_another_preprocessing_is_refused(embedding):
    embedding.check_preprocessing(tiny_processor())
    embedding.check_preprocessing(tiny_processor().image_processor)
    with pytest.raises(ValueError, match=r"prepared as this processor does it, but resample was 2 and is 3; make it"):
        embedding.check_preprocessing(tiny_processor(resample=3))


class Drawer(dict):
    """A cache that remembers in which order it was asked."""

    def __init__(self):
        self.log = []

    def get(self, key):
        self.log.append("get")
        return super().get(key)

    def put(self, key, embedding):
        self.log.append("put")
        self[key] = embedding


def test_a_cached_image_is_not_encoded_again(model, embedding, monkeypatch):
    cache = Drawer()
    first = embed_image(model, tiny_processor(), PIXELS, name="first", cache=cache)
    monkeypatch.setattr(type(model), "get_image_embeddings", None)
    second = embed_image(model, tiny_processor(), PIXELS.copy(), name="second", cache=cache)
    assert cache.log == ["get", "put", "get"]
    assert (first.name, second.name) == ("first", "second")
    assert torch.equal(second.tensor, embedding.tensor)


def test_what_changes_an_embedding_changes_its_key(model):
    processor = tiny_processor().image_processor
    keys = [
        embedding_key(model, processor, PIXELS),
        embedding_key(model, processor, PIXELS[::-1]),
        embedding_key(model, tiny_processor(resample=3).image_processor, PIXELS),
        embedding_key(tiny_model(seed=5), processor, PIXELS),
        embedding_key(tiny_model().bfloat16(), processor, PIXELS),
    ]
    assert len(set(keys)) == len(keys)
    assert keys[0] == embedding_key(tiny_model(), processor, PIXELS.copy())


def test_a_place_that_cannot_be_written_to_is_named(tmp_path, embedding):
    with pytest.raises(FileNotFoundError, match=r"gone/a\.safetensors must be a file that can be written, but: there"):
        embedding.save(tmp_path / "gone" / "a.safetensors")
