import numpy as np
import pytest
import torch
from tests.tiny_sam import tiny_image_processor, tiny_model
from tests.unit.training.test_samples import drawn
from tests.unit.training.trainer_runs import Boxes

from anymask.training import TrainingSamples
from anymask.training.cached_embeddings import cache_image_embeddings


def samples(**options):
    boxes = [(x, 10, x + 8, 30) for x in range(0, 110, 20)]
    images = [drawn(*boxes), drawn((3, 3, 40, 50))._replace(image=np.full((60, 120, 3), 30, np.uint8))]
    return TrainingSamples(images, tiny_image_processor(), max_objects=3, sample_seeds=True, **options)


@pytest.mark.parametrize("in_folder", [False, True])
def test_cached_samples_are_the_samples_with_embeddings_for_pixels(tmp_path, in_folder):
    model = tiny_model().train()
    cached = cache_image_embeddings(model, samples(), torch.float32, tmp_path / "kept" if in_folder else None)
    assert len(cached) == 2 and model.training
    plain = samples()
    for epoch in (0, 1):
        cached.set_epoch(epoch)
        plain.set_epoch(epoch)
        for index in range(2):
            expected = plain[index]
            pixel_values = expected.pop("pixel_values")
            actual = cached[index]
            embedding = actual.pop("image_embeddings")
            assert set(actual) == set(expected)
            assert all(torch.equal(actual[name], expected[name]) for name in expected)
            torch.testing.assert_close(embedding, model.get_image_embeddings(pixel_values[None])[0].detach())


def test_other_data_sets_are_cached_too():
    cached = cache_image_embeddings(tiny_model(), Boxes(3))
    assert set(cached[2]) == {"image_embeddings", "input_boxes", "labels"}
    assert cached[2]["image_embeddings"].dtype == torch.float16
    cached.set_epoch(1)


def test_files_are_found_again_and_belong_to_their_image_encoder(tmp_path):
    model = tiny_model()
    cache_image_embeddings(model, samples(), folder=tmp_path)
    files = {path: path.stat().st_mtime_ns for path in tmp_path.iterdir()}
    assert len(files) == 2
    calls = []
    model.vision_encoder.register_forward_hook(lambda *_: calls.append(1))
    cache_image_embeddings(model, samples(), folder=tmp_path)
    assert not calls and files == {path: path.stat().st_mtime_ns for path in tmp_path.iterdir()}
    cache_image_embeddings(tiny_model(seed=1), samples(), folder=tmp_path)
    assert len(list(tmp_path.iterdir())) == 4


def test_images_that_change_are_refused():
    with pytest.raises(ValueError, match="leave out `augment`"):
        cache_image_embeddings(tiny_model(), samples(augment=lambda sample, _: sample))
    with pytest.raises(ValueError, match="`dtype` must be one of"):
        cache_image_embeddings(tiny_model(), samples(), torch.int8)
