"""Samples and the data sets that hold them."""

import pickle
import warnings

import numpy as np
import pytest

from anymask.data.samples import BrokenSampleError, Entry, MaskDataset, sample_of_masks
from anymask.masks.rle import mask_to_rle


def blank(name):
    return sample_of_masks(name, np.zeros((4, 6, 3), np.uint8), [np.ones((4, 6), bool)])


def broken():
    raise OSError("the file is\n cut off")


def dataset(count=10):
    return MaskDataset([Entry(f"s{i}", lambda name=f"s{i}": blank(name)) for i in range(count)], "somewhere")


def test_arrays_of_a_sample(photo, shapes):
    ignored = np.zeros((20, 30), bool)
    ignored[:, :5] = True
    empty = np.zeros((20, 30), bool)
    sample = sample_of_masks("a", photo, [*shapes, empty], ignored=mask_to_rle(ignored))
    assert sample.size_hw == (20, 30)
    assert np.array_equal(sample.masks, [*shapes, empty])
    assert sample.boxes_xyxy.tolist() == [[3, 2, 12, 9], [15, 10, 28, 18], [0, 0, 0, 0]]
    assert sample.targets[0, 3, :13].tolist() == [-1] * 5 + [1] * 7 + [0]
    assert sample.object_ids == [1, 2, 3] and sample.labels == [None] * 3


def test_sample_without_objects(photo):
    sample = sample_of_masks("a", photo, [])
    assert sample.masks.shape == (0, 20, 30) and sample.boxes_xyxy.shape == (0, 4)


def test_masks_of_another_size_are_refused(photo):
    with pytest.raises(ValueError, match=r"size of their image \(20, 30\), got \(20, 31\)"):
        sample_of_masks("a", photo, [np.ones((20, 31), bool)])


def test_split_is_by_name_and_seed():
    train, validation = dataset().split(0.3, seed=1)
    assert (len(train), len(validation)) == (7, 3)
    assert {e.name for e in train.entries} | {e.name for e in validation.entries} == {f"s{i}" for i in range(10)}
    again = MaskDataset(dataset().entries[::-1], "in another order").split(0.3, seed=1)[1]
    assert {e.name for e in again.entries} == {e.name for e in validation.entries}
    assert {e.name for e in dataset().split(0.3, seed=2)[1].entries} != {e.name for e in validation.entries}


def test_both_parts_of_a_split_have_samples():
    assert [len(part) for part in dataset(2).split(0.01)] == [1, 1]
    with pytest.raises(ValueError, match=r"a split must have a fraction between 0 and 1 of 2 samples or more"):
        dataset(1).split()


def test_limited_keeps_the_order():
    names = [entry.name for entry in dataset().limited(4).entries]
    assert len(names) == 4 and names == sorted(names)


def test_broken_samples_are_named_and_raised_or_skipped():
    some = MaskDataset([*dataset(2).entries, Entry("c.jpg", broken)], "somewhere")
    with pytest.raises(BrokenSampleError, match=r"c\.jpg of somewhere must be readable, but: the file is cut off"):
        some[2]
    with pytest.warns(UserWarning, match=r"Skipped: c\.jpg of somewhere"):
        assert [sample.name for sample in some.samples("skip")] == ["s0", "s1"]
    with pytest.raises(BrokenSampleError):
        list(some.samples())
    with warnings.catch_warnings(), pytest.raises(ValueError, match="'raise' or 'skip'"):
        next(some.samples("ignore"))


def test_names_are_unique_and_there_is_at_least_one():
    with pytest.raises(ValueError, match="two are called 's0'"):
        MaskDataset(dataset(1).entries * 2, "somewhere")
    with pytest.raises(ValueError, match="at least one image with masks"):
        MaskDataset([], "somewhere")


def test_readers_can_go_to_worker_processes(tmp_path, photo, shapes, save):
    from anymask.data import open_dataset

    save(tmp_path / "images/a.png", photo)
    save(tmp_path / "masks/a.png", shapes[0])
    copy = pickle.loads(pickle.dumps(open_dataset(tmp_path)))
    assert np.array_equal(copy[0].masks, shapes[:1])
