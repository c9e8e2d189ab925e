import numpy as np
import pytest

from anymask.masks.record import make_record
from anymask.masks.rle import mask_to_rle, rle_to_mask
from anymask.results.formats.annotated_image import AnnotatedImage
from anymask.results.formats.yolo import read_yolo, write_yolo

NAMES = ["dog", "cup", "sea lion"]


def test_one_line_per_mask_in_fractions(tmp_path):
    mask = np.zeros((5, 8), bool)
    mask[1:4, 2:6] = True
    write_yolo(tmp_path / "a.txt", AnnotatedImage([make_record(mask_to_rle(mask))], (5, 8)))
    assert (tmp_path / "a.txt").read_text() == "0 0.25 0.8 0.25 0.2 0.75 0.2 0.75 0.8\n"


def test_round_trip_with_holes_and_parts(annotated, masks, tmp_path):
    write_yolo(tmp_path / "a.txt", annotated, class_names=NAMES)
    assert [line.split()[0] for line in (tmp_path / "a.txt").read_text().splitlines()] == ["0", "1", "2", "0"]
    read = read_yolo(tmp_path / "a.txt", annotated.size_hw, class_names=NAMES)
    assert [record["label"] for record in read.records] == ["dog", "cup", "sea lion", "dog"]
    for record, mask in zip(read.records, masks, strict=True):
        np.testing.assert_array_equal(rle_to_mask(record["segmentation"]), mask)


def test_classes_without_names_are_numbers(annotated, tmp_path):
    write_yolo(tmp_path / "a.txt", annotated, class_names=NAMES)
    read = read_yolo(tmp_path / "a.txt", annotated.size_hw)
    assert [record["label"] for record in read.records] == ["0", "1", "2", "0"]
    write_yolo(tmp_path / "b.txt", read)
    assert (tmp_path / "b.txt").read_text() == (tmp_path / "a.txt").read_text()


def test_digits_suffice_for_large_images(tmp_path):
    rng = np.random.default_rng(0)
    mask = np.zeros((11, 60_000), bool)
    for start in rng.integers(0, 59_000, 40):
        mask[3:8, start : start + 7] = True
    write_yolo(tmp_path / "a.txt", AnnotatedImage([make_record(mask_to_rle(mask))], mask.shape))
    (record,) = read_yolo(tmp_path / "a.txt", mask.shape).records
    np.testing.assert_array_equal(rle_to_mask(record["segmentation"]), mask)


def test_nothing_and_empty_masks(nothing, empty_mask, tmp_path):
    write_yolo(tmp_path / "a.txt", nothing)
    assert read_yolo(tmp_path / "a.txt", (23, 31)).records == []
    with pytest.warns(UserWarning, match="1 masks without pixels were left out"):
        write_yolo(tmp_path / "a.txt", empty_mask)
    assert (tmp_path / "a.txt").read_text() == ""


def test_labels_need_names(annotated, tmp_path):
    with pytest.raises(ValueError, match="`class_names` must hold the label 'cup'"):
        write_yolo(tmp_path / "a.txt", annotated)
    with pytest.raises(ValueError, match="`class_names` must hold the label 'sea lion'"):
        write_yolo(tmp_path / "a.txt", annotated, class_names=["cup"])
    assert list(tmp_path.iterdir()) == []


def test_labels_that_are_numbers(annotated, tmp_path):
    for record, label in zip(annotated.records, (3, 0, np.int64(7), "1"), strict=True):
        record["label"] = label
    write_yolo(tmp_path / "a.txt", annotated)
    assert [line.split()[0] for line in (tmp_path / "a.txt").read_text().splitlines()] == ["3", "0", "7", "1"]


def test_class_names_by_number_and_numbers_of_a_detector(annotated, tmp_path):
    write_yolo(tmp_path / "a.txt", annotated, class_names={5: "cup", 9: "sea lion"})
    read = read_yolo(tmp_path / "a.txt", annotated.size_hw, class_names={0: "?", 5: "cup", 9: "sea lion"})
    assert [(record["label"], record["category_id"]) for record in read.records] == [
        ("?", 0), ("cup", 5), ("sea lion", 9), ("?", 0),
    ]  # fmt: skip
    write_yolo(tmp_path / "b.txt", read)  # their classes have numbers
    assert (tmp_path / "b.txt").read_text() == (tmp_path / "a.txt").read_text()


def test_confidence_is_the_last_column(annotated, masks, tmp_path):
    write_yolo(tmp_path / "a.txt", annotated, class_names=NAMES, confidence=True)
    read = read_yolo(tmp_path / "a.txt", annotated.size_hw, class_names=NAMES)
    assert [record["predicted_iou"] for record in read.records] == pytest.approx([0.9, 0.8, 0.7, 0.6])
    for record, mask in zip(read.records, masks, strict=True):
        np.testing.assert_array_equal(rle_to_mask(record["segmentation"]), mask)
    del annotated.records[1]["predicted_iou"]
    with pytest.raises(ValueError, match="must find a predicted IoU in every record"):
        write_yolo(tmp_path / "a.txt", annotated, class_names=NAMES, confidence=True)


def test_lines_with_boxes(tmp_path):
    (tmp_path / "a.txt").write_text("1 0.5 0.5 0.4 0.5\n2.0 0.5 0.5 0.4 0.5 0.75\n")
    with pytest.warns(UserWarning, match="2 of 2 lines hold a box and no outline; their masks are their boxes"):
        plain, scored = read_yolo(tmp_path / "a.txt", (8, 20)).records
    expected = np.zeros((8, 20), bool)
    expected[2:6, 6:14] = True
    for record in (plain, scored):
        np.testing.assert_array_equal(rle_to_mask(record["segmentation"]), expected)
    assert (plain["label"], scored["label"], scored["predicted_iou"]) == ("1", "2", 0.75)
    assert "predicted_iou" not in plain


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
def test_byte_order_marks(encoding, tmp_path):
    (tmp_path / "a.txt").write_text("0 0 0 1 0 1 1 0 1\r\n", encoding=encoding)
    assert [record["area"] for record in read_yolo(tmp_path / "a.txt", (4, 5)).records] == [20]


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("0 0.5 0.5 0.2", "line 2 .* got 3 numbers"),
        ("0 120 40 130 50 10 10", "fractions of the image's width and height"),
        ("0 nan 0 1 0 1 1", "fractions"),
        ("0.5 0 0 1 0 1 1", "line 2 .* a whole number, got '0.5'"),
        ("cup 0 0 1 0 1 1", "line 2 is not understood"),
        ("9 0 0 1 0 1 1", "class 9 must be one of the 3"),
        ("-1 0 0 1 0 1 1", "a whole number, got '-1'"),
        ("\x00\x01", "line 2"),
    ],
)
def test_a_bad_line_does_not_cost_the_file(line, message, tmp_path):
    (tmp_path / "a.txt").write_text(f"0 0 0 1 0 1 1 0 1\n{line}\n")
    with pytest.warns(UserWarning, match=rf"1 of 2 lines were passed over: .*{message}"):
        read = read_yolo(tmp_path / "a.txt", (4, 5), class_names=NAMES)
    assert [record["area"] for record in read.records] == [20]


def test_not_text(tmp_path):
    (tmp_path / "a.txt").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(ValueError, match=r"a\.txt must be segmentation text of YOLO, but the file"):
        read_yolo(tmp_path / "a.txt", (4, 5))
