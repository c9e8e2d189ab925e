"""Sessions against single predictions with the same prompts and logits, and their history."""

import numpy as np
import pytest
import torch
from tests.tiny_sam import tiny_image_processor, tiny_model

from anymask.predictor.session import SamSession
from anymask.processing_sam import SamProcessor
from anymask.sam import SAM

SIZE_HW = (47, 71)
IMAGE = np.random.default_rng(0).integers(0, 256, (*SIZE_HW, 3), dtype=np.uint8)
MASK = np.zeros(SIZE_HW, bool)
MASK[10:40, 20:50] = True


@pytest.fixture(scope="module")
def sam():
    return SAM(tiny_model(), processor=SamProcessor(tiny_image_processor()))


@pytest.fixture
def session(sam):
    return sam.session(IMAGE)


def assert_same(session_results, results):
    records = [{name: value for name, value in record.items() if name != "object_id"} for record in session_results]
    assert records == results.records
    torch.testing.assert_close(session_results.low_res_logits, results.low_res_logits, rtol=0, atol=0)


# Prompts


def test_points_added_together_go_in_together(sam, session):
    session.add_point(10, 20)
    session.add_point(30.5, 40, label=0)
    assert_same(session.result(), sam.predict(IMAGE, points=[[[10, 20], [30.5, 40]]], labels=[[1, 0]])[0])
    np.testing.assert_array_equal(session.result().prompts.labels, [1, 0])


def test_a_point_after_a_prediction_corrects_it(sam, session):
    session.add_point(10, 20)
    first = session.result()
    session.add_point(30, 40, label=0)
    points = dict(points=[[[10, 20], [30, 40]]], labels=[[1, 0]])
    assert_same(session.result(), sam.predict(IMAGE, **points, masks=first.low_res_logits)[0])
    # Points that are added before the next prediction share what it fed back.
    session.undo()
    session.add_point(30, 40, label=0)
    session.add_point(60, 5)
    points = dict(points=[[[10, 20], [30, 40], [60, 5]]], labels=[[1, 0, 1]])
    assert_same(session.result(), sam.predict(IMAGE, **points, masks=first.low_res_logits)[0])


def test_what_takes_back_or_replaces_starts_afresh(sam, session):
    session.add_point(10, 20)
    session.add_point(30, 40)
    session.result()
    session.remove_point(0)
    assert_same(session.result(), sam.predict(IMAGE, points=[30, 40])[0])
    session.set_box((5, 6, 60, 45))
    assert_same(session.result(), sam.predict(IMAGE, points=[[30, 40]], boxes=[[5, 6, 60, 45]])[0])
    session.set_box((5, 6, 61, 45))
    assert_same(session.result(), sam.predict(IMAGE, points=[[30, 40]], boxes=[[5, 6, 61, 45]])[0])
    session.set_mask(MASK)
    expected = sam.predict(IMAGE, points=[[30, 40]], boxes=[[5, 6, 61, 45]], masks=MASK)[0]
    assert_same(session.result(), expected)
    session.clear_box()
    assert_same(session.result(), sam.predict(IMAGE, points=[[30, 40]], masks=[MASK])[0])
    session.clear_mask()
    assert_same(session.result(), sam.predict(IMAGE, points=[30, 40])[0])


def test_a_mask_to_begin_with_gives_way_to_the_prediction(sam, session):
    mask = MASK.copy()
    session.set_mask(mask)
    mask[:] = False  # the caller's array is the caller's
    first = session.result()
    assert_same(first, sam.predict(IMAGE, masks=MASK)[0])
    session.add_point(30, 20)
    assert_same(session.result(), sam.predict(IMAGE, points=[30, 20], masks=first.low_res_logits)[0])


def test_refine_feeds_the_mask_back(sam, session):
    session.add_point(10, 20)
    session.refine()  # predicts first
    first = sam.predict(IMAGE, points=[10, 20])[0]
    second = sam.predict(IMAGE, points=[10, 20], masks=first.low_res_logits)[0]
    assert_same(session.result(), second)
    session.refine()
    assert_same(session.result(), sam.predict(IMAGE, points=[10, 20], masks=second.low_res_logits)[0])
    session.undo()
    session.undo()
    assert_same(session.result(), first)


def test_stable_choice(sam):
    session = sam.session(IMAGE, choice="stable")
    session.add_point(10, 20)
    assert_same(session.result(), sam.predict(IMAGE, points=[10, 20], choice="stable")[0])


def test_the_encoder_does_not_run_again(sam, session, monkeypatch):
    monkeypatch.setattr(sam.model.vision_encoder, "forward", None)
    session.add_point(10, 20)
    assert len(session.result()) == 1
    embedding = session.embedding
    assert len(sam.session(embedding).object_ids) == 0


def test_answers_are_kept(session, monkeypatch, sam):
    session.add_point(10, 20)
    first = session.result()
    session.add_point(30, 40)
    second = session.result()
    monkeypatch.setattr(sam.model.mask_decoder, "forward", None)
    session.undo()
    assert session.result().records == first.records
    session.redo()
    assert session.result().records == second.records
    assert session.mask().sum() == second[0]["area"]


# Objects


def test_several_objects(sam, session):
    session.add_point(10, 20)
    assert (session.object_ids, session.selected) == ([1], 1)
    assert session.add_object() == 2
    assert [record["object_id"] for record in session.result()] == [1]  # the second has no prompt yet
    session.set_box((5, 6, 60, 45))
    session.add_point(30, 40, label=0, object_id=1)
    session.select(1)
    assert session.prompt().labels == (1, 0)
    assert session.prompt(2).box_xyxy == (5, 6, 60, 45)
    results = session.result()
    assert [record["object_id"] for record in results] == [1, 2]
    np.testing.assert_array_equal(session.mask(2), results.masks[1])
    np.testing.assert_array_equal(session.mask(), results.masks[0])
    assert results.masks[1].sum() == sam.predict(IMAGE, boxes=[5, 6, 60, 45])[0][0]["area"]


def test_removed_objects_leave_their_numbers(session):
    for x in (10, 20, 30):
        session.add_object()
        session.add_point(x, 20)
    session.remove_object(2)
    assert (session.object_ids, session.selected) == ([1, 3], 3)
    session.remove_object()
    assert (session.object_ids, session.selected) == ([1], 1)
    assert session.add_object() == 4
    for _ in range(3):
        session.undo()
    assert session.object_ids == [1, 2, 3]
    session.remove_object(1)
    session.remove_object(2)
    session.remove_object(3)
    assert session.selected is None
    session.add_point(10, 20)
    assert session.object_ids == [4]


# History


def test_undo_and_redo(session):
    assert not session.can_undo and not session.can_redo
    steps = [
        lambda: session.add_point(10, 20),
        lambda: session.set_box((5, 6, 60, 45)),
        session.add_object,
        lambda: session.set_mask(MASK),
        lambda: session.remove_object(1),
    ]

    def state():
        prompts = [session.prompt(number) for number in session.object_ids]
        said = [(prompt.points_xy, prompt.box_xyxy, prompt.mask is None) for prompt in prompts]
        return session.object_ids, session.selected, said

    states = [state()]
    for step in steps:
        step()
        states.append(state())
    for expected in reversed(states[:-1]):
        session.undo()
        assert state() == expected
    assert session.can_redo and not session.can_undo
    for expected in states[1:]:
        session.redo()
        assert state() == expected
    session.undo()
    session.add_point(1, 1)
    assert not session.can_redo


def test_a_refused_prompt_changes_nothing(session):
    session.add_point(10, 20)
    before = session.result()
    for refused in (
        lambda: session.add_point(73, 3),
        lambda: session.add_point(float("nan"), 3),
        lambda: session.add_point(1, 1, label=2),
        lambda: session.set_box((5, 5, 4, 8)),
        lambda: session.set_box((1, 2, 3)),
        lambda: session.set_mask(MASK.T),
    ):
        with pytest.raises(ValueError, match="must"):
            refused()
    assert session.prompt().points_xy == ((10, 20),)
    assert session.result().records == before.records
    session.undo()
    assert not session.can_undo


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda session: session.result(), "There must be a prompt before there is a result"),
        (lambda session: session.mask(), "There must be an object first"),
        (lambda session: session.undo(), "There must be a step to undo"),
        (lambda session: session.redo(), "There must be an undone step to redo"),
        (lambda session: session.select(1), r"`object_id` must be one of \[\], got 1"),
        (lambda session: session.add_point(1, 1, object_id=7), r"got 7; add_object\(\) makes a new one"),
        (lambda session: session.remove_object(), "There must be an object first"),
        (lambda session: session.mask(session.add_object()), "Object 1 must have a prompt before it has a mask"),
        (lambda session: session.refine(session.add_object()), "Object 1 must have a prompt"),
        (lambda session: session.remove_point(object_id=session.add_object()), "one of the 0 points of object 1"),
        (lambda session: session.add_point(-2, 3), r"Points must lie in the image, x in \[0, 71\]"),
    ],
)
def test_what_cannot_be_done(session, call, message):
    with pytest.raises(ValueError, match=message):
        call(session)


def test_a_choice_that_there_is_not(sam):
    with pytest.raises(ValueError, match="`choice` must be one of"):
        sam.session(IMAGE, choice="worst")


def test_models_and_processors_of_others_are_refused(sam):
    with pytest.raises(
        TypeError, match=r"`model` must be an anymask\.SamModel, got torch\.nn\.modules\.linear\.Linear"
    ):
        SamSession(torch.nn.Linear(1, 1), sam.processor, sam.embed(IMAGE))
    with pytest.raises(TypeError, match=r"`processor` must be an anymask\.SamProcessor or .*, got builtins\.object"):
        SamSession(sam.model, object(), sam.embed(IMAGE))


def test_an_embedding_of_another_model_is_refused(sam):
    with pytest.raises(ValueError, match="must come from this model's image encoder"):
        SamSession(tiny_model(seed=1), sam.processor, sam.embed(IMAGE))
