import numpy as np
import pytest

from anymask.volumes.volume import Volume, Windowing

VOXELS = np.arange(3 * 4 * 5, dtype=np.int16).reshape(3, 4, 5)


@pytest.mark.parametrize(("axis", "length", "size_hw"), [(0, 3, (4, 5)), (1, 4, (3, 5)), (2, 5, (3, 4))])
def test_slices(axis, length, size_hw):
    volume = Volume(VOXELS, axis)
    assert (len(volume), volume.slice_size_hw) == (length, size_hw)
    np.testing.assert_array_equal(volume.read(1), np.take(VOXELS, 1, axis=axis))


def test_windows():
    values = np.array([[-2000, -160, 41, 240, 5000]])
    np.testing.assert_array_equal(Windowing(Volume(VOXELS), "abdomen")(values), [[0, 0, 128, 255, 255]])
    np.testing.assert_array_equal(Windowing(Volume(VOXELS), (50, 100))(values), [[0, 0, 105, 255, 255]])
    by_range = Windowing(Volume(VOXELS), value_range=(0, 100))
    np.testing.assert_array_equal(by_range(values), [[0, 0, 105, 255, 255]])


def test_without_a_window_percentiles_of_what_is_there():
    voxels = np.zeros((3, 40, 50))
    voxels[1] = np.random.default_rng(0).normal(500, 50, (40, 50))
    windowing = Windowing(Volume(voxels))
    low, high = np.percentile(voxels[1], (0.5, 99.5))
    assert (windowing.black, windowing.white) == pytest.approx((low, high))
    assert not Windowing(Volume(np.zeros((3, 4, 5))))(np.zeros((4, 5))).any()


@pytest.mark.parametrize("dtype", [bool, np.uint8, np.int64, np.float16])
def test_one_value_beside_zero_is_white(dtype):
    voxels = np.zeros((3, 4, 5), dtype)
    voxels[1, 1:3] = 1
    np.testing.assert_array_equal(Windowing(Volume(voxels))(voxels[1]), voxels[1] * np.uint8(255))
    np.testing.assert_array_equal(Windowing(Volume(voxels.astype(float) * -7))(voxels[1] * -7.0)[1], [0] * 5)


def test_nan_is_black_and_infinity_clipped():
    voxels = np.full((2, 4, 5), 40.0)
    voxels[:, 0], voxels[:, 1], voxels[:, 2, 0] = np.nan, np.inf, -np.inf
    shown = Windowing(Volume(voxels), value_range=(0, 100))(voxels[0])
    np.testing.assert_array_equal(shown, [[0] * 5, [255] * 5, [0, *[102] * 4], [102] * 5])


def test_what_cannot_be():
    with pytest.raises(ValueError, match="must be real numbers, got complex128"):
        Volume(VOXELS.astype(complex))
    with pytest.raises(ValueError, match=r"must have shape \(I, J, K\), got \(4, 5\)"):
        Volume(VOXELS[0])
    with pytest.raises(ValueError, match="`axis` must be 0, 1 or 2, got 3"):
        Volume(VOXELS, 3)
    with pytest.raises(ValueError, match="got 'abdomn'; did you mean 'abdomen'"):
        Windowing(Volume(VOXELS), "abdomn")
    with pytest.raises(ValueError, match=r"black below white, got \(5, 5\)"):
        Windowing(Volume(VOXELS), value_range=(5, 5))
