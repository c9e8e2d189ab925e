import numpy as np
import pytest

from anymask.data.synthetic.objects.recipes import RECIPES, draw_object


@pytest.mark.parametrize("recipe", [recipe for recipe, _ in RECIPES], ids=lambda recipe: recipe.__name__)
def test_every_recipe_gives_an_object_of_the_unit_frame(recipe):
    rng = np.random.default_rng(0)
    for _ in range(15):
        primitives = draw_object(rng, recipe)
        points = np.concatenate([primitive.outline for primitive in primitives if not primitive.clipped])
        assert np.isfinite(points).all()
        assert np.abs(points).max() == pytest.approx(1.0)
        assert np.allclose(points.min(axis=0), -points.max(axis=0))
        assert not primitives[0].clipped  # there must be something to clip to


def test_parts_lie_in_the_object_or_in_one_of_its_parts_and_never_in_themselves():
    rng = np.random.default_rng(1)
    for recipe, _ in RECIPES:
        for primitive in (primitive for _ in range(5) for primitive in recipe(rng)):
            assert primitive.part != primitive.part_of or not primitive.part
            assert primitive.part or not primitive.part_of


def test_an_object_depends_on_the_generator_only():
    first, again = (draw_object(np.random.default_rng(9)) for _ in range(2))
    assert all(np.array_equal(a.outline, b.outline) for a, b in zip(first, again, strict=True))
