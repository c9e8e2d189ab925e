import numpy as np
import pytest

from anymask.data.synthetic.backgrounds import paint_background, uneven_light
from anymask.data.synthetic.canvas import Canvas
from anymask.data.synthetic.textures import TextureBank

PALETTE = [np.array([200.0, 150.0, 100.0]), np.array([90.0, 120.0, 160.0])]


@pytest.mark.parametrize("numbered", [False, True])
def test_backgrounds_fill_the_canvas_and_number_whole_regions_only_when_asked(numbered):
    bank = TextureBank(())
    layered = 0
    for seed in range(25):
        canvas = Canvas((70, 100))
        paint_background(canvas, np.random.default_rng(seed), bank, PALETTE, numbered)
        assert canvas.image.size == (100, 70) and canvas.image.mode == "RGB"
        assert np.asarray(canvas.image).any()
        owners = np.asarray(canvas.owners)
        assert (owners > 0).all() or not owners.any()
        layered += bool(owners.any())
    assert layered > 5 if numbered else layered == 0


def test_uneven_light_stays_within_its_depth():
    for seed in range(20):
        field = np.asarray(uneven_light(np.random.default_rng(seed), (40, 60), depth=0.4))
        assert field.shape == (40, 60)
        assert field.min() >= 255 * 0.6 * 0.9  # the bicubic enlargement overshoots a little
