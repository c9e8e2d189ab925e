import base64
import io
import json

import numpy as np
import pytest
from PIL import Image

from anymask.masks.rle import rle_to_mask
from anymask.results.formats.labelme import read_labelme, write_labelme


def write(path, shapes, **more):
    path.write_text(json.dumps({"shapes": shapes, "imageHeight": 12, "imageWidth": 17, "imagePath": "a.jpg", **more}))
    return path


def masks_of(annotated):
    return [rle_to_mask(record["segmentation"]) for record in annotated.records]


def test_round_trip_with_holes_and_parts(annotated, masks, tmp_path):
    write_labelme(tmp_path / "a.json", annotated)
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
    with pytest.warns(UserWarning, match=r"a\.json holds shapes that are no masks, passed over: \['point'\]"):
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
        ({"label": "a", "points": [[0, 0]], "shape_type": "cuboid"}, "or mask, got 'cuboid'"),
        ({"label": "a", "points": [[0, 0]], "shape_type": "circle"}, "shape 1 is not understood"),
        ({"label": "a", "points": [[0, 0], [1, 1]], "shape_type": "mask", "mask": "AAAA"}, "shape 1 is not understood"),
        ("text", "shape 1 is not understood"),
    ],
)
def test_foreign_shapes(shape, message, tmp_path):
    with pytest.raises(ValueError, match=message):
        read_labelme(write(tmp_path / "a.json", [shape]))


def test_foreign_files(tmp_path):
    with pytest.raises(ValueError, match="whole numbers above 0, got None and 17"):
        read_labelme(write(tmp_path / "a.json", [], imageHeight=None))
    (tmp_path / "a.json").write_text("{}")
    with pytest.raises(ValueError, match="the file has no 'imageHeight'"):
        read_labelme(tmp_path / "a.json")
