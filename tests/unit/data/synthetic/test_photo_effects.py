import numpy as np
from PIL import Image

from anymask.data.synthetic.photo_effects import photograph
from anymask.data.synthetic.textures import TextureBank


def painted():
    ramp = np.linspace(0, 255, 90).astype(np.uint8)
    return Image.fromarray(np.broadcast_to(ramp[None, :, None], (60, 90, 3)).copy())


def test_photographs_keep_size_and_type_and_depend_on_the_generator_only():
    bank = TextureBank(())
    for seed in range(30):
        image = photograph(np.random.default_rng(seed), painted(), bank)
        assert image.shape == (60, 90, 3) and image.dtype == np.uint8
        assert np.array_equal(image, photograph(np.random.default_rng(seed), painted(), bank))


def test_the_scene_stays_where_it_is():
    bank = TextureBank(())
    for seed in range(30):  # the painted ramp rises to the right, and so must its photograph
        columns = photograph(np.random.default_rng(seed), painted(), bank).mean(axis=(0, 2))
        assert columns[60:].mean() > columns[:30].mean()


def test_the_source_image_is_left_alone():
    source = painted()
    photograph(np.random.default_rng(0), source, TextureBank(()))
    assert np.array_equal(np.asarray(source), np.asarray(painted()))
