"""Clicks, boxes and everything, compared with Python's masks of the same prompts."""

import numpy as np
import pytest
from tests.browser.demo_page import PHOTO, iou

pytestmark = pytest.mark.browser

ALIKE = 0.98
ON_FLOWER, BESIDE_IT = (160, 110), (214, 150)


def python_mask(sam, **prompts):
    return sam.predict(PHOTO, **prompts)[0].masks.data[0]


def test_a_click_gives_pythons_mask(demo, sam):
    demo.click(*ON_FLOWER)
    assert demo.status.startswith("Mask of ") and demo.n_candidates == 3
    assert iou(demo.mask(), python_mask(sam, points=[ON_FLOWER], labels=[1])) >= ALIKE


def test_clicks_after_the_first_correct_its_mask(demo, sam):
    demo.click(*ON_FLOWER)
    demo.click(*BESIDE_IT, button="right")
    session = sam.session(PHOTO)
    session.add_point(*ON_FLOWER)
    session.mask()
    session.add_point(*BESIDE_IT, label=0)
    assert iou(demo.mask(), session.mask()) >= ALIKE
    assert not demo.mask()[BESIDE_IT[::-1]]


def test_alt_and_the_mode_take_away_too(demo):
    found = []
    for button, keys, mode in (("right", "", "adds"), ("left", "Alt", "adds"), ("left", "", "takes")):
        demo.click(*ON_FLOWER)
        demo.do(mode)
        demo.click(*BESIDE_IT, button=button, keys=keys)
        found.append(demo.mask())
        demo.do("adds")
        demo.do("discard")
    assert iou(found[0], found[1]) == iou(found[0], found[2]) == 1


def test_a_drag_draws_a_box(demo, sam):
    demo.drag(110, 55, 215, 175)
    assert iou(demo.mask(), python_mask(sam, boxes=[110, 55, 216, 176])) >= ALIKE


def test_one_of_three_candidates_is_chosen(demo, sam):
    demo.click(*ON_FLOWER)
    best = demo.mask()
    demo.page.focus("#canvas")
    demo.press("3")
    assert demo.page.locator("#candidates button >> nth=2").get_attribute("aria-pressed") == "true"
    records = sam.predict(PHOTO, points=[ON_FLOWER], labels=[1], choice="all")[0]
    worst = records.masks.data[int(np.argmin(records.scores))]
    assert iou(demo.mask(), worst) >= ALIKE and iou(demo.mask(), best) < 1


def test_undo_and_redo(demo):
    demo.click(*ON_FLOWER)
    first = demo.mask()
    demo.click(*BESIDE_IT, button="right")
    second = demo.mask()
    demo.press("Control+z")
    assert iou(demo.mask(), first) == 1
    demo.press("Control+Shift+z")
    assert iou(demo.mask(), second) == 1
    demo.press("Control+z", "Control+z")
    assert demo.page.is_disabled("#undo") and demo.page.is_disabled("#export")


def test_everything_is_what_python_finds(demo, sam):
    demo.do("everything")
    demo.wait_for_message("Found")
    found = demo.masks()
    expected = sam.predict(PHOTO)[0].masks.data
    assert len(found) == len(expected) == len(demo.names)
    assert all(max(iou(mask, other) for other in found) >= ALIKE for mask in expected)


def test_everything_can_be_stopped(demo):
    demo.page.click("#everything")
    demo.page.click("#cancel")
    demo.wait_for_message("Stopped")
    assert demo.names == [] and demo.page.is_hidden("#progress")
    demo.click(*ON_FLOWER)
    assert demo.status.startswith("Mask of ")


def test_what_everything_found_is_edited_by_clicking_it(demo):
    demo.do("everything")
    demo.wait_for_message("Found")
    before, names = demo.masks(), demo.names
    demo.click(*ON_FLOWER)
    assert "is being edited" in demo.status
    demo.click(*BESIDE_IT, button="right")
    demo.do("keep")
    after = demo.masks()
    assert demo.names == names
    assert sum(iou(one, other) < 1 for one, other in zip(before, after, strict=True)) == 1
    demo.press("Control+z", "Control+z", "Control+z")
    assert all(iou(one, other) == 1 for one, other in zip(before, demo.masks(), strict=True))


def test_the_mask_under_the_pointer_is_shown_and_stale_ones_are_not_asked_for(demo):
    """The first answer is held back until the pointer has moved far."""
    demo.page.evaluate(
        """() => {
            const fetch = window.fetch;
            window.asked = [];
            window.inFlight = window.mostInFlight = 0;
            const released = new Promise((resolve) => { window.release = resolve; });
            window.fetch = async (address, request) => {
                asked.push(JSON.parse(request.body).points[0]);
                mostInFlight = Math.max(mostInFlight, ++inFlight);
                try { await released; return await fetch(address, request); } finally { inFlight--; }
            };
        }"""
    )
    for x in range(40, 280, 4):
        demo.page.mouse.move(*demo.place(x, 30))
    demo.page.mouse.move(*demo.place(*ON_FLOWER))
    demo.page.wait_for_function("() => asked.length === 1")
    demo.page.evaluate("window.release()")
    demo.page.wait_for_function("() => asked.length > 1 && inFlight === 0")
    demo.page.wait_for_function("() => document.querySelector('#status').textContent.startsWith('Mask of ')")
    most, asked = demo.page.evaluate("[mostInFlight, asked]")
    assert most == 1 and len(asked) <= 3 and asked[-1] == list(ON_FLOWER)
    demo.click(*ON_FLOWER)
    assert demo.status.startswith("Mask of ")
