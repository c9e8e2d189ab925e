import base64
import io
import os
import socket

import numpy as np
import pytest
import tifffile
from PIL import Image

from anymask.images.files import read_file
from anymask.images.load import load_image

HEIGHT, WIDTH = 5, 7
GREY = (np.arange(HEIGHT * WIDTH, dtype=np.uint8) * 7).reshape(HEIGHT, WIDTH)
RGB = np.stack([GREY, 255 - GREY, GREY // 2], axis=-1)


def encoded(image: Image.Image, file_format: str = "PNG", **options) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, file_format, **options)
    return buffer.getvalue()


# Paths and other doors


def test_paths_files_and_data_uris(tmp_path):
    path = tmp_path / "image.png"
    path.write_bytes(encoded(Image.fromarray(RGB)))
    bare = base64.b64encode(path.read_bytes()).decode()
    uri = "data:image/png;base64," + bare
    lines = "\n".join(bare[first : first + 50] for first in range(0, len(bare), 50))
    with path.open("rb") as file:
        for source in (path, str(path), path.read_bytes(), bytearray(path.read_bytes()), file, file, uri, bare, lines):
            assert (np.asarray(load_image(source)) == RGB).all()
        assert not file.closed


def test_a_stream_that_cannot_be_read_twice(tmp_path):
    reader, writer = os.pipe()
    os.write(writer, encoded(Image.fromarray(RGB)))
    os.close(writer)
    with os.fdopen(reader, "rb") as stream:
        assert (np.asarray(load_image(stream)) == RGB).all()


def test_an_embedding_is_no_image(tmp_path):
    path = tmp_path / "photo.safetensors"
    path.write_bytes(b"no image")
    with pytest.raises(ValueError, match=r"SAM\.predict\(ImageEmbedding\.load\('.*photo\.safetensors'\)"):
        read_file(path, None, None)


def test_the_home_folder_is_found(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    Image.fromarray(RGB).save(tmp_path / "image.png")
    assert (np.asarray(load_image("~/image.png")) == RGB).all()


def test_paths_that_lead_nowhere(tmp_path):
    os.mkfifo(tmp_path / "pipe.png")
    (tmp_path / "loop.png").symlink_to(tmp_path / "loop.png")
    (tmp_path / "dangling.png").symlink_to(tmp_path / "gone.png")
    with socket.socket(socket.AF_UNIX) as door:
        door.bind(str(tmp_path / "socket.png"))
    for path, what in [
        ("missing.png", "does not exist"),
        (tmp_path / "missing.png" / "image.png", "does not exist"),
        (tmp_path, "is a folder"),
        (tmp_path / "pipe.png", "is a pipe; read it and pass its bytes"),
        (tmp_path / "loop.png", "is a link that leads to no file"),
        (tmp_path / "dangling.png", "is a link that leads to no file"),
        (tmp_path / "socket.png", "is a socket"),
        ("/dev/null", "is a device"),
        ("a" * 5000, r"'aaa.*'\.\.\. of 5000 characters"),
        ("null\0.png", "does not exist"),
    ]:
        with pytest.raises(FileNotFoundError, match=rf"An image given as text must be a file, or a URL .*{what}"):
            load_image(path)


def test_data_uris_that_are_none():
    with pytest.raises(ValueError, match="data URI must be base64, as in"):
        load_image("data:image/svg+xml,<svg/>")
    with pytest.raises(ValueError, match="must be valid base64"):
        load_image("data:image/png;base64,???")


# Decoding


@pytest.mark.filterwarnings("ignore:Corrupt EXIF")  # Pillow, before it gives up on a TIFF file
def test_truncated_and_foreign_files(tmp_path):
    noise = np.random.default_rng(0).integers(0, 255, (60, 70, 3), dtype=np.uint8)
    for file_format in ("JPEG", "PNG", "TIFF", "WEBP", "GIF", "BMP"):
        data = encoded(Image.fromarray(noise), file_format)
        for length in (len(data) // 2, 20, 0):
            with pytest.raises(ValueError, match="must be a complete image"):
                load_image(data[:length])
    path = tmp_path / "notes.png"
    path.write_text("not an image")
    with pytest.raises(ValueError, match=r"notes.png' must be a complete image file that Pillow can read"):
        load_image(path)


def test_a_decompression_bomb_is_called_so(monkeypatch):
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 10)
    with pytest.raises(ValueError, match=r"decompression bombs, but: .* exceeds limit .* raise PIL.Image.MAX_IMAGE_"):
        load_image(encoded(Image.fromarray(RGB)))


@pytest.mark.parametrize("file_format", ["PNG", "WEBP", "JPEG"])
@pytest.mark.parametrize("exif", [b"not exif at all", b"Exif\0\0II*\0\xff\xff\xff\xff", b"Exif\0\0MM"])
@pytest.mark.filterwarnings("ignore:Corrupt EXIF", "ignore:Truncated File Read")
def test_broken_exif_is_passed_over_as_pillow_does(file_format, exif):
    data = encoded(Image.fromarray(RGB), file_format, exif=exif)
    assert (np.asarray(load_image(data)) == np.asarray(Image.open(io.BytesIO(data)).convert("RGB"))).all()


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("file_format", ["PNG", "TIFF"])
def test_files_are_turned_upright_as_pillow_turns_them(file_format, orientation):
    exif = Image.Exif()
    exif[0x0112] = orientation
    data = encoded(Image.fromarray(RGB), file_format, exif=exif)
    from PIL import ImageOps

    expected = np.asarray(ImageOps.exif_transpose(Image.open(io.BytesIO(data))))
    assert (np.asarray(load_image(data)) == expected).all()
    assert expected.shape[:2] == ((WIDTH, HEIGHT) if orientation > 4 else (HEIGHT, WIDTH))


# Pages and frames


def colours(file_format: str) -> bytes:
    frames = [Image.new("RGB", (WIDTH, HEIGHT), colour) for colour in ("red", "lime", "blue")]
    return encoded(frames[0], file_format, save_all=True, append_images=frames[1:])


@pytest.mark.parametrize("file_format", ["GIF", "TIFF", "WEBP", "PNG"])
def test_the_first_page_is_taken_with_a_warning_and_any_without(file_format):
    data = (
        colours(file_format)
        if file_format != "WEBP"
        else encoded(
            Image.new("RGB", (WIDTH, HEIGHT), "red"),
            "WEBP",
            save_all=True,
            append_images=[Image.new("RGB", (WIDTH, HEIGHT), "lime"), Image.new("RGB", (WIDTH, HEIGHT), "blue")],
            lossless=True,
        )
    )
    with pytest.warns(
        UserWarning, match=r"has 3 pages or frames: the first was taken. SAM.predict\(load_image\(source, page=1\)\) "
    ):
        first = np.asarray(load_image(data))
    assert first[0, 0].tolist() == [255, 0, 0]
    assert np.asarray(load_image(data, page=0))[0, 0].tolist() == [255, 0, 0]
    assert np.asarray(load_image(data, page=2))[0, 0].tolist() == [0, 0, 255]
    with pytest.raises(ValueError, match="must have the page 3, counted from 0, but it has fewer"):
        load_image(data, page=3)


@pytest.mark.parametrize("page", [-1, 1.0, True, "1"])
def test_what_is_no_page(page):
    with pytest.raises(ValueError, match="`page` must be a whole number from 0"):
        read_file(encoded(Image.fromarray(RGB)), None, page)


def test_smaller_copies_in_a_tiff_file_are_no_pages():
    buffer = io.BytesIO()
    with tifffile.TiffWriter(buffer) as written:
        written.write(RGB, photometric="rgb")
        written.write(np.asarray(Image.fromarray(RGB).resize((3, 2))), photometric="rgb", subfiletype=1)
    assert (np.asarray(load_image(buffer)) == RGB).all()
    assert load_image(buffer, page=1).size == (3, 2)
