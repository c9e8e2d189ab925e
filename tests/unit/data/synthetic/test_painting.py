import numpy as np
import pytest
from PIL import Image

from anymask.data.synthetic.canvas import Canvas, Window
from anymask.data.synthetic.objects.primitives import Primitive
from anymask.data.synthetic.objects.shapes import box, ellipse
from anymask.data.synthetic.painting import Light, cast_shadow, paint_object, relief
from anymask.data.synthetic.textures import TextureBank

FROM_THE_LEFT = Light(np.array([-1.0, 0.0]), strength=0.8, shadow_darkness=0.5, shadow_softness=0.05)
SIZE_HW = (60, 90)


def paint(primitives, seed=0, canvas=None):
    canvas = Canvas(SIZE_HW) if canvas is None else canvas
    colour = np.array([200.0, 120.0, 60.0])
    paint_object(canvas, np.random.default_rng(seed), TextureBank(()), primitives, lambda: colour, FROM_THE_LEFT)
    return canvas


def test_a_later_object_hides_an_earlier_one():
    canvas = paint([Primitive(box(5, 5, 50, 50))])
    masks, parent = paint([Primitive(box(30, 20, 80, 40))], seed=1, canvas=canvas).visible_masks()
    assert parent.tolist() == [-1, -1]
    assert not (masks[0] & masks[1]).any()
    assert masks[1][30, 40] and masks[0][10, 40] and not masks[0][30, 40]


def test_a_clipped_primitive_stays_on_the_object():
    body, patch = Primitive(ellipse((40, 30), (20, 20))), Primitive(box(0, 20, 90, 40), 1, "patch", clipped=True)
    for seed in range(6):  # some objects have named parts, some do not
        masks, parent = paint([body, patch], seed).visible_masks()
        alone, _ = paint([body], seed).visible_masks()
        if abs(int(masks[0].sum()) - int(alone[0].sum())) > 30:  # 30: a fuzzy edge
            pytest.fail("the patch enlarged the object")
        assert parent.tolist() in ([-1], [-1, 0])


def test_parts_are_named_in_some_objects_and_not_in_others():
    counts = {
        len(paint([Primitive(box(5, 5, 50, 50)), Primitive(box(40, 5, 80, 50), 1, "wing")], seed).visible_masks()[0])
        for seed in range(12)
    }
    assert counts == {1, 2}


def test_an_object_outside_the_canvas_leaves_no_trace():
    canvas = paint([Primitive(box(200, 200, 240, 240))])
    assert len(canvas.visible_masks()[0]) == 0
    assert canvas.image.getextrema() == ((0, 0), (0, 0), (0, 0))


def test_relief_is_brighter_towards_the_light():
    shade = np.asarray(
        relief(ellipse((45, 30), (40, 25)), Window(5, 55, 5, 85), FROM_THE_LEFT, roundness=0.2), dtype=float
    )
    assert shade.shape == (50, 80)
    assert shade[25, 8] > shade[25, 40] > shade[25, 72]


def test_a_shadow_darkens_under_its_outline_and_belongs_to_nobody():
    canvas = Canvas(SIZE_HW)
    canvas.image = Image.new("RGB", SIZE_HW[::-1], (200, 200, 200))
    cast_shadow(canvas, [box(20, 20, 40, 40)], np.array([10.0, 0.0]), softness=1.0, darkness=0.5)
    pixels = np.asarray(canvas.image)[..., 0]
    assert pixels[30, 40] == pytest.approx(100, abs=4)
    assert pixels[30, 22] == 200 and pixels[5, 5] == 200
    assert len(canvas.visible_masks()[0]) == 0
