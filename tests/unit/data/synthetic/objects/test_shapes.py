import numpy as np
import pytest

from anymask.data.synthetic.objects import shapes


def area(outline):
    """Shoelace formula."""
    following = np.roll(outline, -1, axis=0)
    return abs((outline[:, 0] * following[:, 1] - outline[:, 1] * following[:, 0]).sum()) / 2


def test_ellipse_has_its_centre_and_area():
    outline = shapes.ellipse((3.0, -2.0), (2.0, 0.5), 0.7)
    assert outline.mean(axis=0) == pytest.approx((3.0, -2.0))
    assert area(outline) == pytest.approx(np.pi * 2.0 * 0.5, rel=0.01)


def test_superellipse_grows_from_a_diamond_to_a_rectangle():
    areas = [area(shapes.superellipse((0, 0), (2.0, 1.0), exponent)) for exponent in (1.0, 2.0, 20.0)]
    assert areas == pytest.approx([4.0, 2 * np.pi, 8.0], rel=0.04)


def test_rotation_is_clockwise_on_the_screen():
    assert shapes.rotate(np.array([[1.0, 0.0]]), np.pi / 2)[0] == pytest.approx((0.0, 1.0))


def test_densify_keeps_the_polygon():
    corners = np.array([[0.0, 0.0], [4.0, 0.0], [1.0, 3.0]])
    dense = shapes.densify(corners, 5)
    assert dense.shape == (15, 2)
    assert np.array_equal(dense[::5], corners)
    assert area(dense) == pytest.approx(area(corners))


def test_a_tapered_box_is_a_trapezium():
    assert area(shapes.box(-1, 0, 1, 3, taper=0.5)) == pytest.approx((2 + 1) / 2 * 3)


def test_a_straight_limb_is_a_strip_of_twice_its_half_width():
    strip = shapes.limb(np.array([[0.0, 0.0], [5.0, 0.0], [10.0, 0.0]]), 0.5, round_end=False)
    assert area(strip) == pytest.approx(10.0)
    assert np.abs(strip[:, 1]).max() == pytest.approx(0.5)


def test_a_profile_is_symmetric_and_passes_through_its_widths():
    outline = shapes.profile(np.array([0.2, 0.8]))
    assert area(outline) == pytest.approx(2 * 0.5 * 2, rel=0.01)
    assert outline[:, 0].min() == pytest.approx(-outline[:, 0].max())


def test_roughening_follows_the_outline():
    circle = shapes.ellipse()
    rough = shapes.roughen(np.random.default_rng(0), circle, 0.05)
    radii = np.linalg.norm(rough, axis=1)
    assert radii.mean() == pytest.approx(1.0, abs=0.02)
    assert 0.03 < radii.std() < 0.08


def test_random_outlines_stay_near_the_unit_frame():
    rng = np.random.default_rng(3)
    for _ in range(100):
        outline = shapes.simple_outline(rng)
        assert np.isfinite(outline).all() and np.abs(outline).max() < 4 and area(outline) > 0.05


def test_a_bend_of_no_strength_changes_nothing():
    outline = shapes.ellipse()
    assert np.array_equal(shapes.Bend(np.random.default_rng(0), 0.0)(outline), outline)
    assert not np.allclose(shapes.Bend(np.random.default_rng(0), 0.1)(outline), outline)


def test_a_noise_line_has_unit_deviation():
    assert shapes.noise_line(np.random.default_rng(0), 65).std() == pytest.approx(1.0)
