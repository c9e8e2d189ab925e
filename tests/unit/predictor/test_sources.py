"""Sources name their images, read none before its turn, and close what they opened."""

import base64
import io
import os
import struct
import sys
from pathlib import Path

import av
import numpy as np
import pytest
import torch
from PIL import Image
from tests.tiny_sam import tiny_model

from anymask.embeddings.image_embedding import ImageEmbedding, embed_image
from anymask.image_processing_sam import SamImageProcessor
from anymask.predictor.sources import is_live, open_source

HEIGHT, WIDTH = 48, 64


def names(source):
    return [image.name for image in open_source(source).images]


def sizes_hw(source):
    return [np.asarray(image.load()).shape[:2] for image in open_source(source).images]


@pytest.fixture
def photos(tmp_path, monkeypatch):
    """A folder with photos of 3, 4 and 5 x 7 pixels, another below it, and files that are no photos."""
    folder = tmp_path / "photos"
    (folder / "more").mkdir(parents=True)
    for height, name in ((4, "b.png"), (3, "a.JPG"), (5, "more/c.png")):
        Image.new("RGB", (7, height)).save(folder / name)
    (folder / "notes.txt").write_text("no photo")
    (folder / "._a.jpg").write_bytes(b"what a Mac leaves on other disks")
    monkeypatch.chdir(tmp_path)
    return folder


def write_video(path, n_frames=3, rate=5):
    """Frames of 48 x 64 whose upper left quarter is bright, brighter from frame to frame."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream("mpeg4", rate=rate)
        stream.height, stream.width, stream.pix_fmt = HEIGHT, WIDTH, "yuv420p"
        for number in range(n_frames):
            pixels = np.zeros((HEIGHT, WIDTH, 3), np.uint8)
            pixels[: HEIGHT // 2, : WIDTH // 2] = 100 + 40 * number
            container.mux(stream.encode(av.VideoFrame.from_ndarray(pixels)))
        container.mux(stream.encode())
    return path


# Single images


@pytest.mark.parametrize(
    "image",
    [
        Image.new("RGB", (7, 3)),
        np.zeros((3, 7), np.uint8),
        np.zeros((3, 7, 3), np.uint8),
        np.zeros((1, 3, 7), np.uint8),
        torch.zeros(3, 3, 7),
    ],
    ids=["pillow", "HW", "HWC", "CHW", "tensor"],
)
def test_one_image(image):
    source = open_source(image)
    assert source.count == 1
    (only,) = source.images
    assert (only.name, only.path) == (None, None)
    assert np.asarray(only.load()).shape == (3, 7, 3)


def test_a_file(photos):
    for path in ("photos/b.png", Path("photos/b.png")):
        (only,) = open_source(path).images
        assert (only.name, only.origin, only.path) == ("b.png", "photos/b.png", str(photos / "b.png"))
    with open("photos/b.png", "rb") as file:
        assert names(file) == ["b.png"]
    with Image.open("photos/b.png") as image:
        assert names(image) == ["b.png"]
    assert names(Path("photos/b.png").read_bytes()) == [None]


def test_the_users_own_folder(photos, monkeypatch):
    monkeypatch.setenv("HOME", str(photos))
    assert names("~/b.png") == names("~/b.*") == ["b.png"]
    assert names("~") == ["a.JPG", "b.png"]


def test_relative_paths_are_of_the_folder_in_which_the_source_was_opened(photos, monkeypatch):
    opened = [open_source(source) for source in ("photos/b.png", "photos", "photos/*.png", ["photos/b.png"])]
    monkeypatch.chdir("/")
    for source in opened:
        for image in source.images:
            image.load()


def test_bare_base64_is_an_image_without_a_name():
    buffer = io.BytesIO()
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (40, 70, 3), dtype=np.uint8)).save(buffer, "PNG")
    text = base64.encodebytes(buffer.getvalue()).decode()
    assert names(text) == [None] and sizes_hw(text) == [(40, 70)]
    with pytest.raises(ValueError, match="must be valid base64") as raised:
        sizes_hw("!" + text.replace("\n", "")[1:].replace("A", "!"))
    assert len(str(raised.value)) < 200


def test_addresses_are_named_by_their_file():
    assert names("https://example.com/a/photo.jpg?size=3") == ["photo.jpg"]
    assert names("https://example.com/") == [None]
    assert names("data:image/png;base64,AAAA") == [None]
    assert open_source("https://example.com/a/clip.mp4").count is None


def test_an_image_embedding():
    processor = SamImageProcessor(
        size={"longest_edge": 80},
        pad_size={"height": 80, "width": 80},
        mask_size={"longest_edge": 40},
        mask_pad_size={"height": 40, "width": 40},
    )
    embedding = embed_image(tiny_model(), processor, np.zeros((5, 7, 3), np.uint8))
    assert isinstance(embedding, ImageEmbedding)
    source = open_source([embedding])
    assert source.count == 1
    assert next(source.images).load() is embedding


# Folders and globs


def test_a_folder_stands_for_its_images_by_name(photos):
    source = open_source("photos")
    assert source.count == 2
    assert [(image.name, image.origin) for image in source.images] == [
        ("a.JPG", "photos/a.JPG"),
        ("b.png", "photos/b.png"),
    ]
    assert names(photos) == ["a.JPG", "b.png"]


def test_a_folder_without_images(photos):
    (photos / "empty").mkdir()
    with pytest.raises(ValueError, match=r"must hold images, but no file in 'photos/empty' ends in .*\*\*"):
        open_source("photos/empty")


def test_globs(photos):
    assert names("photos/*.png") == ["b.png"]
    assert names("photos/**/*.png") == ["b.png", "more/c.png"]
    assert names("photos/**") == names(str(photos / "**")) == ["a.JPG", "b.png", "more/c.png", "notes.txt"]
    assert open_source("photos/**/*.png").count == 2
    with pytest.raises(FileNotFoundError, match=r"none matches 'photos/\*\.tif'"):
        open_source("photos/*.tif")
    with pytest.raises(FileNotFoundError, match="none matches"):
        open_source("nowhere/*.png")


def test_a_file_whose_name_looks_like_a_glob(photos):
    os.rename("photos/b.png", "photos/b[1].png")
    assert names("photos/b[1].png") == ["b[1].png"]


def test_links_in_a_circle(photos):
    (photos / "more" / "up").symlink_to(photos)
    (photos / "more" / "again").symlink_to(photos)
    (photos / "circle.png").symlink_to("circle.png")
    assert names("photos/**/*.png") == ["b.png", "circle.png", "more/c.png"]
    assert names("photos") == ["a.JPG", "b.png", "circle.png"]
    circle = next(image for image in open_source("photos").images if image.name == "circle.png")
    with pytest.raises(FileNotFoundError, match=r"circle\.png"):
        circle.load()


@pytest.mark.parametrize("text", ["nowhere.jpg", "nowhere.mp4", "", "a\0b"])
def test_what_does_not_exist(text):
    with pytest.raises(FileNotFoundError, match="must be a file, a folder, a glob"):
        open_source(text)


# Several


def test_batches_and_lists():
    assert sizes_hw(np.zeros((2, 3, 7, 3), np.uint8)) == [(3, 7)] * 2
    assert sizes_hw(torch.zeros(2, 3, 5, 7)) == [(5, 7)] * 2
    mixed = [np.zeros((3, 7), np.uint8), (torch.zeros(3, 5, 7), Image.new("L", (2, 1)))]
    assert open_source(mixed).count == 3
    assert sizes_hw(mixed) == [(3, 7), (5, 7), (1, 2)]
    assert open_source([]).count == 0
    assert names(np.zeros((2, 3, 7, 3), np.uint8)) == ["000000", "000001"]


def test_lists_of_paths(photos):
    assert names(["photos", "photos/more/*", np.zeros((3, 7), np.uint8)]) == ["a.JPG", "b.png", "c.png", "000002"]
    with pytest.raises(FileNotFoundError, match="nowhere"):  # before anything is read
        open_source(["photos", "nowhere.png"])


def test_generators_are_read_as_they_go():
    taken = []

    def images():
        for number in range(5):
            taken.append(number)
            yield np.zeros((3, 7), np.uint8)

    source = open_source(images())
    assert source.count is None
    assert next(source.images).name == "000000"
    assert taken == [0]


def test_a_data_set_knows_its_length():
    class DataSet:
        def __len__(self):
            return 2

        def __iter__(self):
            return iter([np.zeros((3, 7), np.uint8)] * 2)

    assert open_source(DataSet()).count == 2


def test_broken_images_are_named_and_leave_the_others(photos):
    (photos / "a.JPG").write_bytes(b"not a photo")
    broken, whole = open_source("photos").images
    with pytest.raises(ValueError, match=r"a\.JPG"):
        broken.load()
    assert np.asarray(whole.load()).shape == (4, 7, 3)
    _, not_finite, no_image = open_source([np.zeros((3, 7)), np.full((3, 7), np.nan), 5]).images
    with pytest.raises(ValueError, match=r"000001: .*finite"):
        not_finite.load()
    with pytest.raises(TypeError, match=r"000002: .*int"):
        no_image.load()


@pytest.mark.parametrize("source", [None, 5, {"image": 1}])
def test_what_is_no_image(source):
    (only,) = open_source(source).images
    with pytest.raises(TypeError, match="An image must be"):
        only.load()


# Videos


def test_video_frame_by_frame(tmp_path):
    source = open_source(write_video(tmp_path / "clip.mp4"))
    assert source.count is None
    frames = list(source.images)
    assert [frame.name for frame in frames] == ["clip.mp4:000000", "clip.mp4:000001", "clip.mp4:000002"]
    for number, frame in enumerate(frames):
        pixels = frame.load()
        assert pixels.shape == (HEIGHT, WIDTH, 3)
        assert frame.path is None
        np.testing.assert_allclose(pixels[5, 5], 100 + 40 * number, atol=6)  # compression loses a little
        np.testing.assert_allclose(pixels[40, 5], 0, atol=6)


def test_video_is_upright(tmp_path):
    """Phones film on their side, and say in the file how to turn the pictures."""
    path = write_video(tmp_path / "clip.mp4", n_frames=1)
    identity = struct.pack(">9i", 1 << 16, 0, 0, 0, 1 << 16, 0, 0, 0, 1 << 30)
    clockwise = struct.pack(">9i", 0, 1 << 16, 0, -1 << 16, 0, 0, HEIGHT << 16, 0, 1 << 30)
    content = path.read_bytes()
    of_track = content.index(identity, content.index(b"tkhd"))
    path.write_bytes(content[:of_track] + clockwise + content[of_track + len(identity) :])
    (frame,) = open_source(path).images
    pixels = frame.load()
    assert pixels.shape == (WIDTH, HEIGHT, 3)
    bright = pixels[..., 0] > 50
    assert bright[5, HEIGHT - 5] and not bright[5, 5] and not bright[WIDTH - 5, HEIGHT - 5]


def test_videos_in_lists_and_globs(tmp_path):
    for name in ("a.mp4", "b.mp4"):
        write_video(tmp_path / name, n_frames=1)
    source = open_source(str(tmp_path / "*.mp4"))
    assert source.count is None
    assert [frame.name for frame in source.images] == ["a.mp4:000000", "b.mp4:000000"]
    assert open_source([tmp_path / "a.mp4", np.zeros((3, 7))]).count is None


def test_closing_closes_the_video(tmp_path, monkeypatch):
    path = write_video(tmp_path / "clip.mp4")
    opened, av_open = [], av.open
    monkeypatch.setattr(av, "open", lambda address: opened.append(av_open(address)) or opened[-1])
    images = open_source([path, path]).images
    next(images)
    images.close()
    (container,) = opened
    with pytest.raises(AssertionError, match="not open"):
        next(container.decode(video=0))


def test_broken_videos(tmp_path):
    whole = write_video(tmp_path / "whole.mp4").read_bytes()
    broken = tmp_path / "broken.mp4"
    broken.write_bytes(b"no video at all")
    with pytest.raises(ValueError, match=r"broken\.mp4' must be one that FFmpeg can read .* after 0 frames"):
        list(open_source(broken).images)
    cut = tmp_path / "cut.mp4"
    cut.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(ValueError, match=r"cut\.mp4' must be one that FFmpeg can read"):
        list(open_source(cut).images)


def test_sound_alone_is_no_video(tmp_path):
    path = tmp_path / "sound.mp4"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("aac", rate=8000)
        silence = av.AudioFrame.from_ndarray(np.zeros((1, 1024), np.float32), format="fltp", layout="mono")
        silence.sample_rate = 8000
        container.mux(stream.encode(silence))
        container.mux(stream.encode())
    with pytest.raises(ValueError, match="sound alone"):
        list(open_source(path).images)


def test_without_pyav_the_error_names_the_extra(tmp_path, monkeypatch):
    path = write_video(tmp_path / "clip.mp4", n_frames=1)
    monkeypatch.setitem(sys.modules, "av", None)
    with pytest.raises(ImportError, match=r"pip install 'anymask\[video\]'"):
        open_source(path)


class VideoCapture:
    """What OpenCV's class of this name answers; see its documentation."""

    def __init__(self, frames_bgr, count):
        self.frames, self.count = list(frames_bgr), count

    def isOpened(self):  # noqa: N802
        return self.count is not None

    def get(self, what):
        assert what == 7  # CAP_PROP_FRAME_COUNT
        return float(self.count)

    def read(self):
        return (True, self.frames.pop(0)) if self.frames else (False, None)


def test_frames_that_opencv_reads():
    frames = np.arange(2 * 3 * 7 * 3, dtype=np.uint8).reshape(2, 3, 7, 3)
    source = open_source(VideoCapture(frames, 2))
    assert source.count is None
    images = list(source.images)
    assert [image.name for image in images] == ["000000", "000001"]
    for image, frame in zip(images, frames, strict=True):
        np.testing.assert_array_equal(image.load(), frame[..., ::-1])  # OpenCV's order is blue, green, red
    assert not is_live(VideoCapture(frames, 2)) and is_live(VideoCapture(frames, -1))
    with pytest.raises(ValueError, match=r"A cv2\.VideoCapture must be open"):
        list(open_source(VideoCapture([], None)).images)


def test_live_streams():
    assert is_live("rtsp://camera/1")
    assert not is_live("https://example.com/clip.mp4")
    assert not is_live(Path("rtsp"))
