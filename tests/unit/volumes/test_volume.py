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


def test_what_cannot_be():
    with pytest.raises(ValueError, match=r"must have shape \(I, J, K\), got \(4, 5\)"):
        Volume(VOXELS[0])
    with pytest.raises(ValueError, match="`axis` must be 0, 1 or 2, got 3"):
        Volume(VOXELS, 3)
    with pytest.raises(ValueError, match="got 'abdomn'; did you mean 'abdomen'"):
        Windowing(Volume(VOXELS), "abdomn")
    with pytest.raises(ValueError, match=r"black below white, got \(5, 5\)"):
        Windowing(Volume(VOXELS), value_range=(5, 5))
