"""Files of more than 8 bits or four bands: a file gives what its array gives, with tifffile as the writer."""

import builtins
import io
import struct
import zlib

import numpy as np
import pytest
import tifffile
from PIL import Image

from anymask.image_processing_sam import SamImageProcessor
from anymask.image_processing_sam_fast import SamImageProcessorFast
from anymask.images.load import load_image

RNG = np.random.default_rng(0)
DEEP = RNG.integers(0, 65536, (37, 53, 4), dtype=np.uint16)
SCENE = RNG.integers(0, 4000, (37, 53, 9), dtype=np.uint16)


def tiff(array: np.ndarray, **options) -> bytes:
    buffer = io.BytesIO()
    tifffile.imwrite(buffer, array, **options)
    return buffer.getvalue()


def png(array: np.ndarray, row_filter: int = 0) -> bytes:
    """An array of uint16 as PNG; Pillow has no writer for colours of 16 bits."""
    height, width, channels = array.shape
    kind = {2: 4, 3: 2, 4: 6}[channels]
    rows = np.frombuffer(array.astype(">u2").tobytes(), np.uint8).reshape(height, -1)
    if row_filter == 1:  # each byte minus the one of the pixel to the left
        left = np.pad(rows, ((0, 0), (2 * channels, 0)))[:, : rows.shape[1]]
        rows = rows - left
    filtered = b"".join(bytes([row_filter]) + row.tobytes() for row in rows)
    header = struct.pack(">IIBBBBB", width, height, 16, kind, 0, 0, 0)
    chunks = [(b"IHDR", header), (b"IDAT", zlib.compress(filtered)), (b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data)) for name, data in chunks
    )


FILES = {
    "png rgb": (png(DEEP[..., :3]), DEEP[..., :3]),
    "png rgb filtered": (png(DEEP[..., :3], 1), DEEP[..., :3]),
    "png rgba": (png(DEEP), DEEP[..., :3]),
    "png grey with alpha": (png(DEEP[..., :2]), DEEP[..., [0, 0, 0]]),
    "tiff rgb": (tiff(DEEP[..., :3], photometric="rgb"), DEEP[..., :3]),
    "tiff big-endian": (tiff(DEEP[..., :3], photometric="rgb", byteorder=">"), DEEP[..., :3]),
    "tiff rgba": (tiff(DEEP, photometric="rgb", extrasamples=["unassalpha"]), DEEP[..., :3]),
    "tiff tiled": (tiff(DEEP[..., :3], photometric="rgb", tile=(16, 32)), DEEP[..., :3]),
    "tiff deflate": (tiff(DEEP[..., :3], photometric="rgb", compression="zlib", predictor=True), DEEP[..., :3]),
    "tiff planes": (
        tiff(np.moveaxis(DEEP[..., :3], 2, 0).copy(), photometric="rgb", planarconfig="separate"),
        DEEP[..., :3],
    ),
    "tiff floats": (tiff(DEEP[..., :3] / np.float32(65535), photometric="rgb"), DEEP[..., :3] / np.float32(65535)),
    "tiff float64 grey": (tiff(DEEP[..., 0] / 65535), (DEEP[..., [0, 0, 0]] / 65535).astype(np.float32)),
    "tiff uint32": (tiff(DEEP[..., 0].astype(np.uint32) << 16), DEEP[..., [0, 0, 0]].astype(np.uint32) << 16),
    "tiff int8": (tiff((DEEP[..., 0] >> 8).astype(np.int8)), (DEEP[..., [0, 0, 0]] >> 8).astype(np.int8)),
    "tiff 8-bit bands": (
        tiff((DEEP[..., :3] >> 8).astype(np.uint8), photometric="minisblack", planarconfig="contig"),
        (DEEP[..., :3] >> 8).astype(np.uint8),
    ),
}


@pytest.mark.parametrize("name", FILES)
def test_a_file_gives_what_its_array_gives(name, tmp_path):
    data, expected = FILES[name]
    (tmp_path / "image").write_bytes(data)
    for source in (data, tmp_path / "image", io.BytesIO(data)):
        loaded = load_image(source)
        assert loaded.dtype == expected.dtype
        assert (loaded == expected).all()


@pytest.mark.parametrize("make", [SamImageProcessor, SamImageProcessorFast])
def test_a_value_range_sees_the_low_byte(make):
    scene = np.broadcast_to((np.arange(64) * 40).astype(np.uint16)[None, :, None], (64, 64, 3)).copy()
    processor = make(size=64, pad_size=64, value_range=(0, 3000), do_normalize=False)
    expected = processor(scene, return_tensors="np")["pixel_values"]
    assert len(np.unique(expected)) == 64
    for data in (tiff(scene, photometric="rgb"), png(scene)):
        assert (processor(data, return_tensors="np")["pixel_values"] == expected).all()


def test_bands_of_a_file():
    for data in (
        tiff(SCENE, photometric="minisblack", planarconfig="contig"),
        tiff(np.moveaxis(SCENE, 2, 0).copy(), photometric="minisblack", planarconfig="separate"),
    ):
        assert (load_image(data, bands=(4, 3, 2)) == SCENE[..., [3, 2, 1]]).all()
        with pytest.raises(ValueError, match=r"must have 1, 3 or 4 bands, got 9: say which .* bands=\(3, 2, 1\)"):
            load_image(data)
    processor = SamImageProcessor(size=64, pad_size=64, value_range=(0, 4000))
    chosen = processor(data, bands=(4, 3, 2), return_tensors="pt")["pixel_values"]
    assert (chosen == processor(SCENE[..., [3, 2, 1]], return_tensors="pt")["pixel_values"]).all()


def test_pages_that_tifffile_reads():
    floats = np.moveaxis(SCENE[..., :6].reshape(37, 53, 2, 3), 2, 0).astype(np.float32)
    data = tiff(floats, photometric="rgb")
    with pytest.warns(UserWarning, match="has 2 pages or frames"):
        assert (load_image(data) == floats[0]).all()
    assert (load_image(data, page=1) == floats[1]).all()
    with pytest.raises(ValueError, match="`page` must be below 2, its number of pages, got 2"):
        load_image(data, page=2)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_deep_files_are_turned_upright_like_others(orientation):
    tags = [(274, "H", 1, orientation, True)]
    shallow = np.asarray(load_image(tiff((DEEP[..., :3] >> 8).astype(np.uint8), photometric="rgb", extratags=tags)))
    deep = load_image(tiff(DEEP[..., :3], photometric="rgb", extratags=tags))
    floats = load_image(tiff(DEEP[..., :3].astype(np.float32), photometric="rgb", extratags=tags))
    assert (deep >> 8 == shallow).all()
    assert (floats == deep).all()


def test_what_cannot_be_read_whole_is_refused():
    ppm = b"P6 53 37 65535\n" + DEEP[..., :3].astype(">u2").tobytes()
    with pytest.raises(ValueError, match=r"has 16 bits per channel, of which Pillow gives 8. Read it as an array"):
        load_image(ppm)
    assert load_image(b"P6 53 37 255\n" + DEEP[..., :3].astype(np.uint8).tobytes()).mode == "RGB"
    with pytest.raises(ValueError, match="is CMYK with 16 bits per channel; convert it to RGB"):
        load_image(tiff(DEEP, photometric="separated"))
    with pytest.raises(ValueError, match=r"must be a complete image file"):
        load_image(tiff(DEEP[..., :3].astype(np.float32), photometric="rgb")[:3000])


def test_jpeg_2000_says_its_depth():
    buffer = io.BytesIO()
    Image.fromarray((DEEP[..., :3] >> 8).astype(np.uint8)).save(buffer, "JPEG2000")
    data = bytearray(buffer.getvalue())
    assert load_image(bytes(data)).mode == "RGB"
    data[data.index(b"\xff\x4f\xff\x51") + 42] = 11
    with pytest.raises(ValueError, match="it has 12 bits per channel"):
        load_image(bytes(data))


def test_without_tifffile_the_extra_is_named(monkeypatch):
    real_import = builtins.__import__

    def without_tifffile(name, *arguments, **keywords):
        if name == "tifffile":
            raise ImportError("No module named tifffile")
        return real_import(name, *arguments, **keywords)

    monkeypatch.setattr(builtins, "__import__", without_tifffile)
    with pytest.raises(ImportError, match=r"need tifffile: pip install 'anymask\[tiff\]'"):
        load_image(FILES["tiff floats"][0])
    assert (load_image(FILES["tiff rgb"][0]) == DEEP[..., :3]).all()
