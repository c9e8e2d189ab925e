"""Photos, objects and files; a server that goes; people without a mouse, with a small screen, with a screen reader."""

import base64
import io
import json
import xml.etree.ElementTree as ElementTree

import numpy as np
import pytest
from PIL import Image
from pycocotools.coco import COCO
from tests.browser.demo_page import PHOTO, DemoServer, iou, open_demo

from anymask.results.formats.label_map_png import read_label_map_png

pytestmark = pytest.mark.browser

ON_FLOWER, OTHER_FLOWER = (160, 110), (46, 57)


@pytest.fixture
def large_photo(tmp_path):
    """A photo of 1600 x 1200 pixels, more than a click is answered at first."""
    path = tmp_path / "photo.png"
    with Image.open(PHOTO) as image:
        image.resize((1600, 1200)).save(path)
    return path


def keep_two(demo):
    for place in (ON_FLOWER, OTHER_FLOWER):
        demo.click(*place)
        demo.do("keep")


def test_objects_are_named_coloured_hidden_and_deleted(demo):
    keep_two(demo)
    demo.page.fill("#objects li:nth-child(1) input[type=text]", "dandelion")
    demo.page.keyboard.press("Enter")
    demo.page.fill("#objects li:nth-child(1) input[type=color]", "#123456")
    assert demo.names == ["dandelion", "Object 2"]
    assert 'fill="#123456"' in demo.export("SVG").read_text()
    demo.page.click("[aria-label='Hide Object 2']")
    assert len(demo.masks()) == 1
    demo.page.click("[aria-label='Delete dandelion']")
    assert demo.names == ["Object 2"] and demo.page.is_disabled("#export")
    demo.press("Control+z", "Control+z")
    assert demo.names == ["dandelion", "Object 2"] and len(demo.masks()) == 2


@pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")  # in pycocotools
def test_exported_files_are_read_by_others(demo, capsys):
    keep_two(demo)
    masks = demo.masks()

    coco = COCO(str(demo.export("COCO JSON")))
    assert [coco.cats[i]["name"] for i in sorted(coco.cats)] == ["Object 1", "Object 2"]
    for mask, annotation in zip(masks, coco.loadAnns(coco.getAnnIds()), strict=True):
        assert (coco.annToMask(annotation) == mask).all() and annotation["area"] == mask.sum()
        rows, columns = np.nonzero(mask)
        assert annotation["bbox"] == [columns.min(), rows.min(), np.ptp(columns) + 1, np.ptp(rows) + 1]

    label_map = demo.export("Label map")
    assert np.asarray(Image.open(label_map)).max() == 2
    assert [record["id"] for record in read_label_map_png(label_map).records] == [1, 2]
    assert ((np.asarray(Image.open(label_map)) > 0) == (masks[0] | masks[1])).all()

    svg = ElementTree.parse(demo.export("SVG")).getroot()
    assert svg.get("viewBox") == "0 0 320 240" and len(svg) == 2

    sa1b = json.loads(demo.export("SA-1B JSON").read_text())
    assert sa1b["image"] == {"file_name": "dandelions.jpg", "height": 240, "width": 320}
    assert sa1b["annotations"][0]["point_coords"] == [[160, 110]]

    rows, columns = np.nonzero(masks[0] | masks[1])
    box = np.s_[rows.min() : rows.max() + 1, columns.min() : columns.max() + 1]
    cutout = np.asarray(Image.open(demo.export("Cut-out")))
    assert ((cutout[..., 3] == 255) == (masks[0] | masks[1])[box]).all()
    photo = np.asarray(Image.open(PHOTO).convert("RGB"))[box].astype(int)
    assert np.abs(cutout[..., :3] - photo)[cutout[..., 3] == 255].mean() <= 2  # browsers decode JPEG otherwise
    capsys.readouterr()  # pycocotools prints


def test_two_tabs_do_not_disturb_each_other(new_context, server, sam):
    one, other = open_demo(new_context(), server.address), open_demo(new_context(), server.address)
    one.page.mouse.click(*one.place(*ON_FLOWER))
    other.page.mouse.click(*other.place(*OTHER_FLOWER))
    one.settle()
    other.settle()
    for tab, place in ((one, ON_FLOWER), (other, OTHER_FLOWER)):
        assert iou(tab.mask(), sam.predict(PHOTO, points=place, labels=[1])[0].masks.data[0]) >= 0.98


def test_photos_keep_their_objects(demo, tmp_path):
    keep_two(demo)
    turned = tmp_path / "turned.png"
    Image.open(PHOTO).rotate(90, expand=True).save(turned)
    demo.open(turned)
    assert demo.names == []
    demo.page.click("#photos button:has-text('dandelions.jpg')")
    demo.wait_for_message("dandelions.jpg")
    assert demo.names == ["Object 1", "Object 2"]


def test_a_photo_is_turned_as_its_exif_says(demo, sam, tmp_path):
    turned = tmp_path / "exif.jpg"
    exif = Image.Exif()
    exif[0x0112] = 6  # a quarter turn clockwise
    Image.open(PHOTO).save(turned, exif=exif, quality=95)
    demo.open(turned)
    demo.size_wh = (240, 320)
    demo.click(130, 160)
    assert iou(demo.mask(), sam.predict(turned, points=[130, 160])[0].masks.data[0]) >= 0.98


def test_a_photo_of_50_megapixels(demo, sam, tmp_path):
    large = tmp_path / "large.jpg"
    with Image.open(PHOTO) as photo:
        photo.resize((8200, 6150)).save(large, quality=90)
    demo.open(large, timeout=120_000)
    demo.click(4100, 2800)
    mask = demo.mask()
    assert mask.shape == (6150, 8200)
    small = np.asarray(sam.predict(PHOTO, points=[160, 109])[0].masks.data[0])
    assert iou(mask, Image.fromarray(small).resize((8200, 6150), Image.Resampling.NEAREST)) > 0.9


HOLD_BACK_WHOLE_MASKS = """() => {
    const fetch = window.fetch;
    const released = new Promise((resolve) => { window.release = resolve; });
    window.fetch = async (address, request) => {
        const isWhole = String(address).endsWith('predict') && !('max_side' in JSON.parse(request.body));
        if (isWhole) await released;
        return fetch(address, request);
    };
}"""


def test_a_click_shows_masks_for_the_screen_and_keeps_those_of_the_photos_pixels(demo, sam, large_photo):
    demo.open(large_photo)
    demo.page.evaluate(HOLD_BACK_WHOLE_MASKS)
    demo.click(800, 550)
    assert demo.status.startswith("Mask of ") and demo.n_candidates == 3
    assert demo.page.is_disabled("#export")
    demo.press("3", "Enter")
    assert demo.names == []
    demo.page.evaluate("window.release()")
    demo.wait_for_message("Object 1 is kept")
    found = sam.predict(large_photo, points=[800, 550], choice="all")[0]
    assert demo.mask().shape == (1200, 1600)
    assert iou(demo.mask(), found.masks.data[int(np.argmin(found.scores))]) >= 0.98


FAIL_ONE_WHOLE_MASK = """() => {
    const fetch = window.fetch;
    window.fetch = async (address, request) => {
        const isWhole = String(address).endsWith('predict') && !('max_side' in JSON.parse(request.body));
        if (!isWhole) return fetch(address, request);
        window.fetch = fetch;
        return new Response(JSON.stringify({ error: 'too busy' }), { status: 422 });
    };
}"""


def test_masks_for_the_screen_are_not_kept_where_those_of_the_photos_pixels_failed(demo, large_photo):
    demo.open(large_photo)
    demo.page.evaluate(FAIL_ONE_WHOLE_MASK)
    demo.click(800, 550)
    demo.page.wait_for_selector("#problem:not([hidden])")
    assert demo.n_candidates == 3 and demo.names == []
    demo.press("Enter")
    demo.wait_for_message("Object 1 is kept")
    assert demo.mask().shape == (1200, 1600)


def test_a_photo_that_is_opened_again_gets_the_masks_of_its_pixels(demo, large_photo):
    demo.open(large_photo)
    demo.page.evaluate(HOLD_BACK_WHOLE_MASKS)
    demo.click(800, 550)
    demo.open(PHOTO)
    demo.page.evaluate("window.release()")
    assert demo.page.is_disabled("#export")
    demo.page.click(f"#photos button:has-text('{large_photo.name}')")
    demo.page.wait_for_selector("#export:not([disabled])")
    assert demo.names == [] and demo.mask().shape == (1200, 1600)


def test_the_photo_that_stays_gets_them_where_another_is_refused(demo, large_photo, tmp_path):
    demo.open(large_photo)
    demo.page.evaluate(HOLD_BACK_WHOLE_MASKS)
    demo.click(800, 550)
    text = tmp_path / "notes.jpg"
    text.write_text("no photo")
    demo.page.set_input_files("#file", text)
    demo.page.wait_for_selector("#problem:not([hidden])")
    demo.page.evaluate("window.release()")
    demo.page.wait_for_selector("#export:not([disabled])")
    assert demo.n_candidates == 3


HAND_OVER = """([name, bytes, kind]) => {
    const data = new DataTransfer();
    data.items.add(new File([Uint8Array.from(atob(bytes), (c) => c.charCodeAt(0))], name, { type: 'image/jpeg' }));
    const options = { bubbles: true, cancelable: true };
    document.body.dispatchEvent(
        kind === 'paste'
            ? new ClipboardEvent(kind, { ...options, clipboardData: data })
            : new DragEvent(kind, { ...options, dataTransfer: data }),
    );
}"""


def hand_over(demo, name, kind):
    demo.page.evaluate(HAND_OVER, [name, base64.b64encode(PHOTO.read_bytes()).decode(), kind])


def test_a_photo_is_dropped(demo, sam):
    hand_over(demo, "dropped.jpg", "dragover")
    assert demo.page.is_visible("#drop")
    hand_over(demo, "dropped.jpg", "drop")
    assert demo.page.is_hidden("#drop")
    demo.wait_for_message("dropped.jpg")
    demo.click(*ON_FLOWER)
    assert iou(demo.mask(), sam.predict(PHOTO, points=ON_FLOWER, labels=[1])[0].masks.data[0]) >= 0.98


def test_a_photo_is_pasted(new_context, server, sam):
    """From the clipboard itself, by its keys."""
    context = new_context()
    context.grant_permissions(["clipboard-read", "clipboard-write"], origin=server.address)
    demo = open_demo(context, server.address)
    file = io.BytesIO()
    Image.open(PHOTO).resize((200, 150)).save(file, format="PNG")
    demo.page.evaluate(
        """async (bytes) => {
            const blob = new Blob([Uint8Array.from(atob(bytes), (c) => c.charCodeAt(0))], { type: 'image/png' });
            await navigator.clipboard.write([new ClipboardItem({ 'image/png': blob })]);
        }""",
        base64.b64encode(file.getvalue()).decode(),
    )
    demo.page.focus("#canvas")
    demo.page.keyboard.press("Control+v")
    demo.wait_for_message("image.png, 200")
    demo.size_wh = (200, 150)
    demo.click(100, 70)
    expected = sam.predict(Image.open(file).convert("RGB"), points=[100, 70])[0].masks.data[0]
    assert iou(demo.mask(), expected) >= 0.98


def test_the_photo_opened_last_stays_where_an_earlier_one_comes_later(demo):
    """The first upload is held back until the second photo is there."""
    demo.page.evaluate(
        """() => {
            const fetch = window.fetch;
            let isFirst = true;
            window.release = null;
            window.fetch = async (address, request) => {
                if (String(address) === 'api/images' && isFirst) {
                    isFirst = false;
                    await new Promise((resolve) => { window.release = resolve; });
                }
                return fetch(address, request);
            };
        }"""
    )
    hand_over(demo, "early.jpg", "drop")
    demo.page.wait_for_function("() => window.release !== null")
    hand_over(demo, "late.jpg", "paste")
    demo.wait_for_message("late.jpg")
    with demo.page.expect_response("**/api/images"):
        demo.page.evaluate("window.release()")
    demo.click(*ON_FLOWER)
    assert demo.page.inner_text("#photos [aria-current=true]") == "late.jpg"
    assert "early.jpg" not in demo.page.inner_text("#photos")
    assert demo.page.is_hidden("#busy")


def test_what_is_no_photo_is_refused_and_the_photo_stays(demo, tmp_path):
    text = tmp_path / "notes.jpg"
    text.write_text("no photo")
    demo.click(*ON_FLOWER)
    demo.page.set_input_files("#file", text)
    demo.page.wait_for_selector("#problem:visible")
    assert len(demo.page.inner_text("#problem")) > 20
    assert demo.mask().any()
    demo.open(PHOTO)
    assert demo.page.is_hidden("#problem")


def test_a_server_that_goes_and_comes_back(new_context, tmp_path):
    server = DemoServer()
    server.start()
    try:
        demo = open_demo(new_context(), server.address)
        own = tmp_path / "own.png"
        Image.open(PHOTO).resize((200, 150)).save(own)
        demo.open(own)
        demo.click(100, 70)
        demo.do("keep")
        server.stop()
        demo.page.mouse.click(*demo.place(31, 47))
        demo.page.wait_for_selector("#problem:visible")
        server.start(server.port)
        demo.wait_for_message("Mask of ", timeout=60_000)
        assert demo.page.is_hidden("#problem")
        demo.do("keep")
        assert len(demo.masks()) == 2
    finally:
        server.stop()


def test_everything_works_by_keyboard(demo):
    demo.page.focus("#canvas")
    demo.press("ArrowUp")
    demo.page.wait_for_function("() => document.querySelector('#status').textContent.startsWith('Mask of')")
    demo.press("Space", "2", "x", "Control+z", "Enter")
    assert demo.names == ["Object 1"]
    demo.press("b", *["Shift+ArrowLeft"] * 9, "ArrowLeft", "b")
    assert demo.page.is_disabled("#keep")  # a box without height is none
    demo.press("b", *["Shift+ArrowLeft"] * 3, *["Shift+ArrowDown"] * 3, "b")
    demo.press("Enter", "h", "h", "+", "-", "0")
    assert len(demo.names) == 2
    demo.press("?")
    assert demo.page.is_visible("#help-dialog")
    demo.press("Escape")
    assert demo.page.is_hidden("#help-dialog")
    reached = set()
    for _ in range(40):
        demo.page.keyboard.press("Tab")
        reached.add(demo.page.evaluate("document.activeElement.id || document.activeElement.ariaLabel"))
    assert {"open", "everything", "undo", "export", "help", "canvas", "adds", "Edit Object 1"} <= reached


def test_fingers(new_context, server):
    demo = open_demo(new_context(viewport={"width": 360, "height": 740}, has_touch=True), server.address)
    demo.page.touchscreen.tap(*demo.place(*ON_FLOWER))
    demo.page.wait_for_selector("#candidates button")
    assert demo.mask()[ON_FLOWER[::-1]]
    demo.do("takes")
    demo.page.touchscreen.tap(*demo.place(214, 150))
    demo.settle()
    assert not demo.mask()[150, 214]


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [360, 900, 1440])
def test_nothing_scrolls_sideways_and_text_is_readable(new_context, server, width, scheme):
    context = new_context(viewport={"width": width, "height": 800}, color_scheme=scheme, reduced_motion="reduce")
    demo = open_demo(context, server.address)
    demo.click(*ON_FLOWER)
    demo.do("keep")
    demo.click(*OTHER_FLOWER)
    for dialog in (None, "help", "export"):
        if dialog is not None:
            demo.page.click(f"#{dialog}")
        assert demo.page.evaluate("document.documentElement.scrollWidth") <= width
        assert demo.page.evaluate(TOO_PALE) == []
        demo.page.keyboard.press("Escape")
    assert demo.page.evaluate(NAMELESS) == []


# Text whose contrast with the ground behind it is below 4.5, as WCAG measures it.
TOO_PALE = """() => {
    const canvas = new OffscreenCanvas(1, 1).getContext('2d', { willReadFrequently: true });
    const rgba = (colour) => {
        canvas.clearRect(0, 0, 1, 1);
        canvas.fillStyle = colour;
        canvas.fillRect(0, 0, 1, 1);
        return [...canvas.getImageData(0, 0, 1, 1).data];
    };
    const ground = (element) => {
        for (let each = element; each; each = each.parentElement) {
            const colour = rgba(getComputedStyle(each).backgroundColor);
            if (colour[3] === 255) return colour;
        }
        return [255, 255, 255, 255];
    };
    const luminance = (colour) => {
        const [r, g, b] = colour.slice(0, 3).map((v) => {
            v /= 255;
            return v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4;
        });
        return 0.2126 * r + 0.7152 * g + 0.0722 * b;
    };
    const open = document.querySelector('dialog[open]');
    return [...(open ?? document.body).querySelectorAll('*')].filter((element) => {
        const hasText = [...element.childNodes].some((node) => node.nodeType === 3 && node.data.trim());
        if (!hasText || !element.checkVisibility() || element.closest(':disabled, .unseen, svg, dialog:not([open])')) return false;
        const [light, dark] = [luminance(rgba(getComputedStyle(element).color)), luminance(ground(element))].sort((a, b) => b - a);
        return (light + 0.05) / (dark + 0.05) < 4.5;
    }).map((element) => `${element.tagName} ${element.textContent.trim()}`);
}"""  # noqa: E501

# What can be pressed or filled in, and says nothing to a screen reader.
NAMELESS = """() => [...document.querySelectorAll('button, input:not([hidden]), [role=application]')]
    .filter((e) => !(e.ariaLabel || e.textContent.trim()))
    .map((e) => e.outerHTML)"""
