"""The one-line class against its parts: processor, model and post-processing by hand, and the generator."""

import inspect

import numpy as np
import pytest
import torch
from PIL import Image
from tests.tiny_sam import tiny_image_processor, tiny_model
from tests.unit.predictor.test_sources import write_video

import anymask
from anymask.embeddings import image_embedding
from anymask.embeddings.image_embedding import ImageEmbedding
from anymask.mask_generation.generator import SamMaskGenerator
from anymask.mask_generation.options import ALIASES, OPTION_NAMES
from anymask.masks.rle import rle_to_mask
from anymask.modeling_sam import SamModel
from anymask.predictor.keywords import PredictOptions
from anymask.processing_sam import SamProcessor
from anymask.prompts.prompt import Prompt
from anymask.results.results import Results
from anymask.sam import SAM

SIZE_HW = (47, 71)
IMAGE = np.random.default_rng(0).integers(0, 256, (*SIZE_HW, 3), dtype=np.uint8)
BOXES = [[5, 6, 60, 40], [1, 2, 30, 33.5]]
EVERYTHING = dict(points_per_side=3, pred_iou_thresh=0, stability_score_thresh=0)


@pytest.fixture(scope="module")
def sam():
    return SAM(tiny_model(), processor=SamProcessor(tiny_image_processor()))


def segmentations(results):
    return [record["segmentation"] for record in results]


# Loading


def test_the_packaged_checkpoint():
    sam = anymask.SAM("sam-vit-nano")
    assert (sam.device.type, sam.model.dtype, sam.model.training) == (
        "cuda" if torch.cuda.is_available() else "cpu",
        torch.float32,
        False,
    )
    assert isinstance(sam.processor, SamProcessor)


def test_device_and_dtype():
    sam = SAM(device="cpu", dtype="bfloat16")
    assert (sam.device, sam.model.dtype) == (torch.device("cpu"), torch.bfloat16)
    assert len(sam.predict(IMAGE, boxes=BOXES)[0]) == 2


def test_a_file_of_weights(tmp_path, sam):
    sam.model.save_pretrained(tmp_path)
    loaded = SAM(str(tmp_path / "model.safetensors"), device="cpu")
    expected = sam.predict(IMAGE, boxes=BOXES)[0]
    np.testing.assert_array_equal(loaded.predict(IMAGE, boxes=BOXES)[0].masks, expected.masks)


def test_a_model_that_is_loaded_is_not_touched(sam):
    model = tiny_model().train()
    state = {name: value.clone() for name, value in model.state_dict().items()}
    used = SAM(model, processor=sam.processor)
    assert used.model is model
    used.predict(IMAGE, points=[10, 20])
    assert model.training
    assert all(torch.equal(value, state[name]) for name, value in model.state_dict().items())


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        (dict(model="no/such-checkpoint"), OSError, "no/such-checkpoint"),
        (dict(model=None), TypeError, "`model` must be a name, a path or a SamModel, got NoneType"),
        (dict(device="gpu"), ValueError, "`device` must be 'auto', 'cpu' or another"),
        (dict(model=tiny_model()), TypeError, "must come with its processor"),
        (dict(verbose=False), TypeError, "SAM has no option 'verbose': nothing is printed unless asked for"),
        (dict(devise="cpu"), TypeError, "SAM has no option 'devise'; did you mean 'device'"),
        (dict(model=tiny_model(), processor=5), TypeError, "`processor` must be an anymask.SamProcessor"),
        (dict(model=torch.nn.Linear(1, 1), processor=5), TypeError, "`model` must be an anymask.SamModel"),
        (dict(model=tiny_model(), processor=5, device="cpu"), ValueError, "used where and as it is"),
    ],
)
def test_what_cannot_be_loaded(arguments, error, message, monkeypatch):
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    with pytest.raises(error, match=message):
        SAM(**arguments)


# Prompts


@pytest.mark.parametrize("multimask_output", [True, False])
def test_prompts_give_what_the_parts_give_by_hand(sam, multimask_output):
    """Masks bit for bit."""
    inputs = sam.processor(IMAGE, input_boxes=[BOXES], return_tensors="pt")
    with torch.no_grad():
        outputs = sam.model(**inputs, multimask_output=multimask_output)
    sizes = inputs["original_sizes"], inputs["reshaped_input_sizes"]
    masks = sam.processor.post_process_masks(outputs.pred_masks, *sizes)[0]
    scores, best = outputs.iou_scores[0].max(dim=1)
    (results,) = sam.predict(IMAGE, boxes=BOXES, multimask_output=multimask_output)
    assert isinstance(results, Results)
    assert results.size_hw == SIZE_HW
    np.testing.assert_array_equal(results.masks, masks[torch.arange(2), best])
    np.testing.assert_array_equal(results.scores, scores)
    assert list(results.timings) == ["read", "encode", "decode", "masks"]
    np.testing.assert_array_equal(results.prompts.boxes_xyxy, BOXES)


def test_a_call_is_a_prediction(sam):
    assert segmentations(sam(IMAGE, boxes=BOXES)[0]) == segmentations(sam.predict(IMAGE, bboxes=BOXES)[0])


def test_every_prompt_is_answered_in_its_order(sam):
    points = np.random.default_rng(1).uniform(0, SIZE_HW[0], (70, 2))
    together = sam.predict(IMAGE, points=points)[0]
    assert len(together) == len(together.low_res_logits) == 70
    assert [record["point_coords"] for record in together] == points[:, None].tolist()
    some = sam.predict(IMAGE, points=points[[66, 3]])[0]
    np.testing.assert_allclose(some.scores, together.scores[[66, 3]], atol=1e-5)


def test_no_boxes_are_no_masks(sam):
    """What a detector found is passed on, and it found nothing: that is not segment-everything."""
    (results,) = sam.predict(IMAGE, boxes=np.zeros((0, 4)))
    assert len(results) == 0
    assert results.masks.shape == (0, *SIZE_HW)


def test_low_resolution_logits_go_back_in(sam):
    first = sam.predict(IMAGE, points=[10, 20])[0]
    second = sam.predict(IMAGE, points=[10, 20], masks=first.low_res_logits)[0]
    geometry = sam.processor.image_processor.geometry(SIZE_HW)
    with torch.no_grad():
        output = sam.model(
            image_embeddings=sam.embed(IMAGE).tensor,
            input_points=torch.from_numpy(geometry.points_to_model(np.array([[[[10, 20]]]]))),
            input_masks=first.low_res_logits[None],
        )
    best = output.iou_scores[0, 0].argmax()
    torch.testing.assert_close(second.low_res_logits[0], output.pred_masks[0, 0, best])
    # The masks of results are prompts too, as arrays and as they are kept.
    as_array = sam.predict(IMAGE, masks=first.masks)[0]
    assert segmentations(as_array) == segmentations(sam.predict(IMAGE, masks=segmentations(first))[0])


def test_logits_are_left_out_where_nobody_wants_them(sam):
    (kept,), (without,) = (sam.predict(IMAGE, boxes=BOXES, low_res_logits=keep) for keep in (True, False))
    assert len(kept.low_res_logits) == 2
    assert without.low_res_logits is None
    assert without.records == kept.records


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        (dict(point=[1, 2]), TypeError, "SAM.predict has no option 'point'; did you mean 'points'"),
        (dict(points_per_sid=3), TypeError, "did you mean 'points_per_side'"),
        (dict(points=[1, 2], conf=0.5), TypeError, "SAM.predict has no option 'conf': .* `pred_iou_thresh`"),
        (dict(text="cups"), TypeError, "SAM takes no text; pass the `boxes` of a detector"),
        (dict(input_points=[[[1, 2]]]), TypeError, "points are `points`, without the axis of images"),
        (dict(box=[1, 2, 3, 4]), TypeError, "boxes are `boxes`"),
        (dict(points=[1, 2], prompts=[]), ValueError, "`prompts` must come in the place of points"),
        (dict(points=[1, 2], min_mask_region_area=-1), ValueError, "`min_mask_region_area` must be a whole number"),
        (dict(points=[1, 2], window=(40, 0)), ValueError, "level and a width above 0"),
        (dict(points=[1, 2], window=(40, 400), value_range=(0, 1)), ValueError, "must not both be given"),
        (dict(clip=True), ValueError, "must come with prompts"),
        (dict(points=[1, 2], pred_iou_thresh=0.5), TypeError, "got 'pred_iou_thresh', must come without prompts"),
        (dict(points_per_side=0), ValueError, "`points_per_side` must be"),
        (dict(labels=[1]), ValueError, "`labels` must come with `points`"),
        (dict(multimask_output=False), ValueError, "must come with prompts"),
        (dict(choice="stable"), ValueError, "must come with prompts"),
        (dict(points=[1, 2], choice="first"), ValueError, "`choice` must be one of"),
        (dict(boxes=BOXES, bboxes=BOXES), ValueError, "name one argument"),
        (dict(points=[49, 49]), ValueError, "must lie in the image"),
    ],
)
def test_arguments_that_cannot_be(sam, arguments, error, message):
    with pytest.raises(error, match=message):
        sam.predict(IMAGE, **arguments)


def test_arguments_are_checked_before_anything_is_read(sam):
    with pytest.raises(TypeError, match="no option"):
        sam.predict(5, stream=True, nonsense=1)
    with pytest.raises(FileNotFoundError, match="nowhere"):
        sam.predict("nowhere.jpg", stream=True)
    with pytest.raises(ValueError, match="stream=True"):
        sam.predict("rtsp://camera/1")


# No prompts


def test_no_prompts_segment_everything(sam):
    generator = SamMaskGenerator(sam.model, sam.processor, output_mode="uncompressed_rle")
    for options in (EVERYTHING, {**EVERYTHING, "crop_n_layers": 1}):
        (results,) = sam.predict(IMAGE, **options)
        assert len(results) > 0
        assert results.records == generator.generate(IMAGE, **options)
    assert list(sam.predict(IMAGE, **EVERYTHING)[0].timings) == ["read", "encode", "masks"]
    (binary,) = sam.predict(IMAGE, **EVERYTHING, output_mode="binary_mask")
    assert binary[0]["segmentation"].dtype == bool


# Sources


def test_one_result_per_image_whatever_the_source(sam, tmp_path):
    for name in ("b.png", "a.png"):
        Image.fromarray(IMAGE).save(tmp_path / name)
    (tmp_path / "notes.txt").write_text("no photo")
    expected = segmentations(sam.predict(IMAGE, **EVERYTHING)[0])
    for source in (tmp_path, str(tmp_path / "*.png"), [tmp_path / "a.png", IMAGE], np.stack([IMAGE, IMAGE])):
        results = sam.predict(source, **EVERYTHING)
        assert [segmentations(one) for one in results] == [expected] * 2
    assert [results.name for results in sam.predict(tmp_path, **EVERYTHING)] == ["a.png", "b.png"]
    # A path is kept in place of the picture, and drawn on.
    (results,) = sam.predict(tmp_path / "a.png", points=[10, 20])
    assert results.image == str(tmp_path / "a.png")
    assert results.plot().size == SIZE_HW[::-1]
    assert sam.predict([]) == []


@pytest.mark.parametrize("how", [dict(points=[10, 20]), EVERYTHING, {**EVERYTHING, "crop_n_layers": 1}])
def test_a_file_is_read_once(sam, tmp_path, monkeypatch, how):
    Image.fromarray(IMAGE).save(tmp_path / "a.png")
    opened, open_image = [], Image.open
    monkeypatch.setattr(Image, "open", lambda *args, **more: opened.append(args) or open_image(*args, **more))
    sam.predict(tmp_path / "a.png", **how)
    assert len(opened) == 1


def test_what_a_detector_says(sam):
    (results,) = sam.predict(IMAGE, boxes=BOXES, names=["cup", "pot"], scores=np.float32([0.5, 0.25]))
    assert [record["label"] for record in results] == ["cup", "pot"]
    assert [record["score"] for record in results] == [0.5, 0.25]
    prompts = [Prompt(box_xyxy=tuple(box), name=name) for box, name in zip(BOXES, ("cup", "pot"), strict=True)]
    assert segmentations(sam.predict(IMAGE, prompts=prompts)[0]) == segmentations(results)


def test_what_lies_beyond_the_edge_is_clipped_on_request(sam):
    over, inside = [[-30, 6, 60, 90]], [[0, 6, 60, 47]]
    with pytest.raises(ValueError, match="The box of prompt 0 must lie in the image"):
        sam.predict(IMAGE, boxes=over)
    (clipped,), (expected,) = sam.predict(IMAGE, boxes=over, clip=True), sam.predict(IMAGE, boxes=inside)
    assert clipped.records == expected.records
    np.testing.assert_array_equal(clipped.prompts.boxes_xyxy, inside)


def test_each_mask_of_a_prompt_on_request(sam):
    (results,) = sam.predict(IMAGE, boxes=BOXES, choice="all")
    assert [record["prompt_index"] for record in results] == [0, 0, 0, 1, 1, 1]
    assert results.low_res_logits.shape[0] == 6


def test_masks_of_prompts_are_cleaned_up_on_request(sam):
    (plain,), (clean,) = sam.predict(IMAGE, boxes=BOXES), sam.predict(IMAGE, boxes=BOXES, min_mask_region_area=30)
    assert segmentations(plain) != segmentations(clean)
    (holes,) = sam.predict(IMAGE, boxes=BOXES, max_hole_area=29)
    (both,) = sam.predict(IMAGE, boxes=BOXES, max_hole_area=29, max_sprinkle_area=29)
    assert segmentations(both) == segmentations(clean) != segmentations(holes)


def test_a_window_says_what_is_black_and_white(sam):
    slice_of_hu = np.random.default_rng(3).integers(-1000, 1000, SIZE_HW, dtype=np.int16)
    with pytest.raises(ValueError, match="value_range"):
        sam.predict(slice_of_hu, points=[10, 20])
    windowed = SAM(sam.model, processor=sam.processor, window=(40, 400))
    (expected,) = windowed.predict(slice_of_hu, points=[10, 20])
    for how in (dict(window=(40, 400)), dict(value_range=(-160, 240))):
        (results,) = sam.predict(slice_of_hu, points=[10, 20], **how)
        assert results.records == expected.records
    assert windowed.processor.image_processor.value_range == [-160, 240]
    assert sam.processor.image_processor.value_range == "auto"


def test_keywords_are_those_of_the_signature():
    """What type checkers and editors show is what is taken."""
    parameters = inspect.signature(SAM.predict).parameters
    named = {name for name in parameters if name not in ("self", "source", "stream", "options")}
    assert set(PredictOptions.__annotations__) == named | set(OPTION_NAMES) | set(ALIASES)


def test_streams_are_read_image_by_image(sam):
    read = []

    def images():
        for number in range(3):
            read.append(number)
            yield IMAGE

    stream = sam.predict(images(), points=[10, 20], stream=True)
    assert read == []
    assert isinstance(next(stream), Results)
    assert read == [0]
    assert [results.name for results in stream] == ["000001", "000002"]


def test_a_video_is_asked_the_same_of_each_frame(sam, tmp_path):
    path = write_video(tmp_path / "clip.mp4")
    results = sam.predict(path, points=[[10, 20], [50, 40]])
    assert [one.name for one in results] == ["clip.mp4:000000", "clip.mp4:000001", "clip.mp4:000002"]
    assert [len(one) for one in results] == [2, 2, 2]
    stream = sam.predict(path, points=[10, 20], stream=True)
    next(stream)
    stream.close()
    assert list(stream) == []


def test_a_broken_image_is_named(sam, tmp_path):
    Image.fromarray(IMAGE).save(tmp_path / "a.png")
    (tmp_path / "b.png").write_bytes((tmp_path / "a.png").read_bytes()[:200])
    stream = sam.predict(tmp_path, stream=True, **EVERYTHING)
    assert next(stream).name == "a.png"
    with pytest.raises(ValueError, match=r"b\.png"):
        next(stream)


# Embeddings, information


def test_an_embedding_in_the_place_of_its_image(sam):
    embedding = sam.embed(IMAGE)
    assert isinstance(embedding, ImageEmbedding)
    assert sam.embed(embedding) is embedding
    from_image, from_embedding = (sam.predict(source, boxes=BOXES)[0] for source in (IMAGE, embedding))
    assert segmentations(from_embedding) == segmentations(from_image)
    assert from_embedding.image is None
    everything = sam.predict([embedding, IMAGE], **EVERYTHING)
    assert everything[0].records == everything[1].records
    with pytest.raises(ValueError, match="crop_n_layers"):
        sam.predict(embedding, crop_n_layers=1)


def test_an_embedding_of_another_model_is_refused(sam):
    other = SAM(tiny_model(seed=1), processor=sam.processor).embed(IMAGE)
    for call in (lambda: sam.predict(other, boxes=BOXES), lambda: sam.predict(other), lambda: sam.session(other)):
        with pytest.raises(ValueError, match="must come from this model's image encoder"):
            call()


def test_weights_are_hashed_only_for_who_keeps_an_embedding(sam, monkeypatch):
    expected = sam.embed(IMAGE)
    with monkeypatch.context() as patched:
        patched.setattr(image_embedding, "model_fingerprint", None)
        sam.predict(IMAGE, boxes=BOXES)
        sam.predict(IMAGE, **EVERYTHING)
        session = sam.session(IMAGE)
        session.add_point(10, 20)
        assert len(session.result()) == 1
        with pytest.raises(TypeError, match="not callable"):
            sam.embed(IMAGE)
    kept = session.embedding
    assert (kept.model_fingerprint, kept.preprocessing) == (expected.model_fingerprint, expected.preprocessing)
    assert torch.equal(kept.tensor, expected.tensor)
    assert session.embedding is kept


def test_info(sam, capsys):
    silent = sam.info(verbose=False)
    assert capsys.readouterr().out == ""
    assert sam.info() == silent
    assert capsys.readouterr().out.strip() == str(silent)
    assert silent.parameters == sum(weight.numel() for weight in sam.model.parameters())


def test_embeddings_and_sessions_are_of_one_image(sam):
    with pytest.raises(ValueError, match="An embedding must be of one image, got 2 images"):
        sam.embed([IMAGE, IMAGE])
    with pytest.raises(ValueError, match="A session must be of one image, got a video or a generator"):
        sam.session(iter([IMAGE]))


def test_a_session_on_a_file(sam, tmp_path):
    Image.fromarray(IMAGE).save(tmp_path / "a.png")
    session = sam.session(tmp_path / "a.png", choice="stable")
    session.set_box(BOXES[0])
    results = session.result()
    assert (results.name, results.image) == ("a.png", str(tmp_path / "a.png"))
    expected = sam.predict(IMAGE, boxes=BOXES[0], choice="stable")[0]
    np.testing.assert_array_equal(session.mask(), rle_to_mask(expected[0]["segmentation"]))


def test_the_model_class_of_transformers_is_told_apart():
    import transformers

    theirs = transformers.SamModel(transformers.SamConfig.from_dict(tiny_model().config.to_dict()))
    with pytest.raises(TypeError, match=r"must be an anymask\.SamModel, got transformers"):
        SAM(theirs, processor=SamProcessor(tiny_image_processor()))
    assert not isinstance(theirs, SamModel)


# Several devices


def test_several_devices_give_what_one_gives_in_order():
    chance = np.random.default_rng(1)
    images = [chance.integers(0, 256, (40 + 3 * number, 61, 3), dtype=np.uint8) for number in range(3)]
    one, two = SAM(device="cpu"), SAM(devices=["cpu", "cpu"])
    for of_one, of_two in zip(one.predict(images, **EVERYTHING), two.predict(images, **EVERYTHING), strict=True):
        assert of_two.size_hw == of_one.size_hw
        assert segmentations(of_two.records) == segmentations(of_one.records)
    frames = [IMAGE, IMAGE[::-1]]
    expected = one.predict(frames, boxes=BOXES)
    for of_one, of_two in zip(expected, two.predict(frames, boxes=BOXES, stream=True), strict=True):
        assert segmentations(of_two.records) == segmentations(of_one.records)
    with pytest.raises(ValueError, match=r"one size, height x width, got \(40, 61\) and \(43, 61\)"):
        two.predict(images, boxes=[1, 2, 30, 33])


def test_each_device_has_a_model_of_its_own_and_all_of_them_work(monkeypatch):
    sam = SAM(devices=["cpu", "cpu", "cpu"])
    asked = []
    for number, network in enumerate(sam._networks()):
        network.vision_encoder.register_forward_hook(lambda *_, number=number: asked.append(number))
    sam.predict([IMAGE] * 9, points=[3, 4])
    assert len(asked) == 9 and set(asked) <= {0, 1, 2} and len(set(asked)) > 1
    assert len({network.vision_encoder.patch_embed.projection.weight.data_ptr() for network in sam._networks()}) == 3


@pytest.mark.parametrize(
    "arguments", [dict(devices=[]), dict(devices="cpu"), dict(devices=["cpu"], device="cpu")], ids=str
)
def test_devices_that_cannot_be(arguments):
    with pytest.raises(ValueError, match="`devices` must be a list with a device or more"):
        SAM(**arguments)
