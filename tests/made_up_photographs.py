"""A made-up data folder: photographs of two sources, a cut-out, a background."""

import io
import json
import tarfile

import numpy as np
from PIL import Image


def disc(size_hw, centre_yx, radius):
    rows, columns = np.mgrid[: size_hw[0], : size_hw[1]]
    return (rows - centre_yx[0]) ** 2 + (columns - centre_yx[1]) ** 2 <= radius**2


def write_tar(path, pictures, suffix):
    """Write `pictures`, a list of (original name, image array, masks); masks are encoded by pycocotools."""
    from pycocotools import mask as coco_mask

    path.parent.mkdir(parents=True, exist_ok=True)
    images, annotations = [], []
    with tarfile.open(path, "w") as tar:

        def add(name, content):
            member = tarfile.TarInfo(name)
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))

        for number, (original, array, masks) in enumerate(pictures, start=1):
            buffer = io.BytesIO()
            Image.fromarray(array).save(buffer, {"png": "PNG", "webp": "WEBP"}[suffix], lossless=True)
            name = f"images/{number:05d}.{suffix}"
            add(name, buffer.getvalue())
            images.append({"id": number, "file_name": name, "original": original})
            for mask in masks:
                rle = coco_mask.encode(np.asfortranarray(mask.astype(np.uint8)))
                rle["counts"] = rle["counts"].decode()
                annotations.append({"id": len(annotations) + 1, "image_id": number, "segmentation": rle, "iscrowd": 0})
        add("annotations.json", json.dumps({"images": images, "annotations": annotations}).encode())


def write_data_folder(folder):
    """Write 60 photographs of a numbered series, 24 of single ones, a cut-out and a background."""
    rng = np.random.default_rng(0)

    def photograph(size_hw):
        return rng.integers(0, 255, (*size_hw, 3), dtype=np.uint8)

    discs = [disc((60, 80), (30, 25), 18), disc((60, 80), (20, 60), 9)]
    numbered = [(f"IMG_{number:04d}.jpg", photograph((60, 80)), discs) for number in range(150, 210)]
    write_tar(folder / "photos" / "yard.tar", numbered, "png")
    named = [(f"{chr(97 + index)}.jpg", photograph((72, 50)), [disc((72, 50), (30, 20), 15)]) for index in range(24)]
    write_tar(folder / "photos" / "street.tar", named, "png")
    stamp = np.full((40, 30, 4), 200, dtype=np.uint8)
    stamp[..., 3] = 255 * disc((40, 30), (20, 15), 14)
    write_tar(folder / "cutouts" / "stamps.tar", [("stamp", stamp, [])], "webp")
    write_tar(folder / "backgrounds" / "walls.tar", [("wall", photograph((64, 90)), [])], "png")
