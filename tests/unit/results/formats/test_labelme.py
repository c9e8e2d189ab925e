import base64
import io
import json

import numpy as np
import pytest
from PIL import Image

from anymask.images.load import image_size_hw, load_image
from anymask.masks.record import make_record
from anymask.masks.rle import mask_to_rle, rle_to_mask
from anymask.results.formats.annotated_image import AnnotatedImage
from anymask.results.formats.labelme import read_labelme, write_labelme


def write(path, shapes, **more):
    path.write_text(json.dumps({"shapes": shapes, "imageHeight": 12, "imageWidth": 17, "imagePath": "a.jpg", **more}))
    return path


def masks_of(annotated):
    return [rle_to_mask(record["segmentation"]) for record in annotated.records]


def test_round_trip_with_holes_and_parts(annotated, masks, tmp_path):
    write_labelme(tmp_path / "a.json", annotated, tolerance=0, min_area=0)
    document = json.loads((tmp_path / "a.json").read_text())
    assert (document["imagePath"], document["imageData"]) == ("photo.jpg", None)
    # The frame and the island in it are one mask, and so are the parts of the others.
    assert [shape["group_id"] for shape in document["shapes"]][:4] == [0, 0, 1, 1]
    assert document["shapes"][-1]["group_id"] is None
    read = read_labelme(tmp_path / "a.json")
    assert (read.size_hw, read.name) == (annotated.size_hw, annotated.name)
    assert [record["label"] for record in read.records] == ["object", "cup", "sea lion", "object"]
    np.testing.assert_array_equal(masks_of(read), masks)


def test_shapes_that_people_draw(tmp_path):
    part = io.BytesIO()
    Image.fromarray(np.array([[0, 255, 255], [255, 0, 255]], np.uint8)).save(part, format="PNG")
    shapes = [
        {"label": "r", "points": [[9, 8], [3, 2]], "shape_type": "rectangle", "group_id": None},
        {"label": "c", "points": [[6, 6], [9, 6]], "shape_type": "circle"},
        {
            "label": "m",
            "points": [[4, 5], [6, 6]],
            "shape_type": "mask",
            "mask": base64.b64encode(part.getvalue()).decode(),
        },
        {"label": "p", "points": [[0, 0], [5, 0], [0, 5]]},
    ]
    rectangle, circle, mask, polygon = masks_of(read_labelme(write(tmp_path / "a.json", shapes)))
    rows, columns = np.mgrid[:12, :17]
    np.testing.assert_array_equal(rectangle, (rows >= 2) & (rows < 8) & (columns >= 3) & (columns < 9))
    np.testing.assert_array_equal(circle, (rows - 5.5) ** 2 + (columns - 5.5) ** 2 < 9)
    assert sorted(zip(*np.nonzero(mask), strict=True)) == [(5, 5), (5, 6), (6, 4), (6, 6)]
    np.testing.assert_array_equal(polygon, rows + columns + 1 < 5)
    shapes[2]["points"] = [[-1, 0], [1, 1]]  # its first column is beyond the image's edge
    mask = masks_of(read_labelme(write(tmp_path / "b.json", shapes)))[2]
    assert sorted(zip(*np.nonzero(mask), strict=True)) == [(0, 0), (0, 1), (1, 1)]


def test_shapes_of_a_group_are_one_mask(tmp_path):
    square = {"points": [[0, 0], [2, 0], [2, 2], [0, 2]], "group_id": 3}
    shapes = [
        {**square, "label": "a"},
        {**square, "label": "b"},
        {"label": "a", "points": [[8, 8], [10, 8], [10, 10], [8, 10]], "group_id": 3},
    ]
    read = read_labelme(write(tmp_path / "a.json", shapes))
    assert [(record["label"], record["area"]) for record in read.records] == [("a", 8), ("b", 4)]


def test_points_and_lines_are_passed_over(tmp_path):
    path = write(tmp_path / "a.json", [{"label": "p", "points": [[1, 1]], "shape_type": "point"}])
    with pytest.warns(UserWarning, match="1 of 1 shapes were passed over: .* a point is no mask"):
        assert read_labelme(path).records == []


def test_nothing_and_empty_masks(nothing, empty_mask, tmp_path):
    write_labelme(tmp_path / "a.json", nothing)
    assert read_labelme(tmp_path / "a.json") == nothing
    with pytest.warns(UserWarning, match="1 masks without pixels were left out"):
        write_labelme(tmp_path / "a.json", empty_mask)
    assert read_labelme(tmp_path / "a.json").records == []


@pytest.mark.parametrize(
    ("shape", "message"),
    [
        ({"label": "a"}, "shape 1 has no 'points'"),
        ({"points": [[0, 0], [1, 0], [1, 1]]}, "shape 1 has no 'label'"),
        ({"label": "a", "points": [[0, 0], [1, 0]]}, "3 points or more, got 2"),
        ({"label": "a", "points": [[0, 0], [1, 0], [1, float("nan")]]}, "shape 1 .* finite numbers, got NaN"),
        ({"label": "a", "points": [[0, 0]], "shape_type": "cuboid"}, "a cuboid is no mask"),
        ({"label": "a", "points": [[0, 0]], "shape_type": "circle"}, "must have 2 points, got 1"),
        ({"label": "a", "points": [[0, 0], [1, 1]], "shape_type": "mask", "mask": "AAAA"}, "shape 1 is not understood"),
        ("text", "shape 1 is not understood"),
    ],
)
def test_a_bad_shape_does_not_cost_the_file(shape, message, tmp_path):
    square = {"label": 0, "points": [[8, 8], [10, 8], [10, 10], [8, 10]]}
    with pytest.warns(UserWarning, match=rf"1 of 2 shapes were passed over: .*{message}"):
        read = read_labelme(write(tmp_path / "a.json", [shape, square]))
    assert [(record["label"], record["area"]) for record in read.records] == [(0, 4)]


def test_boxes_of_other_programs(tmp_path):
    corners = [[10, 2], [15, 2], [15, 8], [10, 8]]
    turned = [[4, -0.25], [8.25, 4], [4, 8.25], [-0.25, 4]]
    shapes = [
        {"label": "four corners", "points": corners, "shape_type": "rectangle"},
        {"label": "turned", "points": turned, "shape_type": "rotation", "direction": 0.785},
        {"label": "turned", "points": turned, "shape_type": "oriented_rectangle"},
    ]
    rectangle, *rotated = masks_of(read_labelme(write(tmp_path / "a.json", shapes)))
    rows, columns = np.mgrid[:12, :17]
    np.testing.assert_array_equal(rectangle, (rows >= 2) & (rows < 8) & (columns >= 10) & (columns < 15))
    for mask in rotated:
        np.testing.assert_array_equal(mask, np.abs(rows - 3.5) + np.abs(columns - 3.5) <= 4)


def test_outlines_are_fit_for_editing(tmp_path):
    mask = np.zeros((90, 120), bool)
    rows, columns = np.mgrid[:90, :120]
    mask[(rows - 45) ** 2 + (columns - 60) ** 2 < 1500] = True
    mask[2, 3] = mask[80:83, 100:104] = True  # specks
    mask[40:42, 50:53] = False  # a hole of 6 pixels
    annotated = AnnotatedImage([make_record(mask_to_rle(mask))], (90, 120))
    write_labelme(tmp_path / "a.json", annotated)
    (shape,) = json.loads((tmp_path / "a.json").read_text())["shapes"]
    assert len(shape["points"]) < 50
    read = rle_to_mask(read_labelme(tmp_path / "a.json").records[0]["segmentation"])
    assert (read & mask).sum() / (read | mask).sum() > 0.97
    write_labelme(tmp_path / "b.json", annotated, tolerance=0, min_area=0)
    np.testing.assert_array_equal(masks_of(read_labelme(tmp_path / "b.json"))[0], mask)


def test_the_path_of_the_image_is_relative_to_the_file(annotated, tmp_path):
    (tmp_path / "photos").mkdir()
    (tmp_path / "labels").mkdir()
    photo = tmp_path / "photos" / "p.png"
    Image.new("RGB", (31, 23)).save(photo)
    path = tmp_path / "labels" / "p.json"
    for image in (str(photo), photo):
        write_labelme(path, annotated, image=image)
        assert json.loads(path.read_text())["imagePath"] == "../photos/p.png"
    found = read_labelme(path)
    assert image_size_hw(load_image(found.image)) == (23, 31)
    for nowhere in ("missing.jpg", "https://example.org/p.png", np.zeros((23, 31, 3))):
        write_labelme(path, annotated, image=nowhere)
        assert json.loads(path.read_text())["imagePath"] == "photo.jpg"
        assert read_labelme(path).image is None


def test_sizes_that_are_null_are_those_of_the_image(tmp_path):
    path = write(tmp_path / "a.json", [], imageHeight=None, imageWidth=None)
    with pytest.raises(ValueError, match="does not say the image's size and there is no image beside it; pass `image`"):
        read_labelme(path)
    assert read_labelme(path, image=np.zeros((4, 6, 3), np.uint8)).size_hw == (4, 6)
    picture = io.BytesIO()
    Image.new("RGB", (9, 5)).save(picture, format="PNG")
    write(path, [], imageHeight=None, imageData=base64.b64encode(picture.getvalue()).decode())
    assert read_labelme(path).size_hw == (5, 9)
    (tmp_path / "sub").mkdir()
    Image.new("RGB", (8, 3)).save(tmp_path / "sub" / "a.png")
    write(path, [], imageHeight=None, imagePath="sub\\a.png")  # as Windows writes it
    assert read_labelme(path).size_hw == (3, 8)


def test_foreign_files(tmp_path):
    with pytest.raises(ValueError, match=r"whole numbers above 0, got 1\.5 and 17"):
        read_labelme(write(tmp_path / "a.json", [], imageHeight=1.5))
    (tmp_path / "a.json").write_text("{}")
    with pytest.raises(ValueError, match="the file has no 'shapes'"):
        read_labelme(tmp_path / "a.json")
