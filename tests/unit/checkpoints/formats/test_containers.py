import logging

import pytest
import torch

from anymask.checkpoints.formats.containers import unwrap
from anymask.checkpoints.reports import CheckpointError

PLAIN = {"image_encoder.pos_embed": torch.ones(1), "mask_decoder.iou_token.weight": torch.zeros(2)}


def prefixed(prefix):
    return {prefix + name: tensor for name, tensor in PLAIN.items()}


@pytest.mark.parametrize(
    "content",
    [
        PLAIN,
        {**PLAIN, "pixel_mean": torch.zeros(3, 1, 1), "pixel_std": torch.ones(3, 1, 1)},
        {"model": PLAIN, "optimizer": {"state": {0: {"exp_avg": torch.ones(2)}}}, "epoch": 7},
        {"model": prefixed("module."), "optimizer": {}},
        {"model_state": prefixed("sam."), "decoder_state": {"decoder.weight": torch.ones(3)}, "iteration": 5},
        {"state_dict": prefixed("model."), "pytorch-lightning_version": "2.5"},
        {"state_dict": prefixed("net._orig_mod.sam."), "hyper_parameters": {"lr": 0.1}},
        {"model": {"state_dict": PLAIN}},
        {"model": "vit_b", "state_dict": PLAIN},
        *({name: PLAIN, "epoch": 7} for name in ("ema", "model_ema", "params", "weights", "best_model", "sam_model")),
        {"checkpoint": {"segment_anything": prefixed("sam.")}, "optimizer": {"state": {0: {"exp_avg": torch.ones(2)}}}},
        {"image_encoder._orig_mod.pos_embed": PLAIN["image_encoder.pos_embed"]} | dict([list(PLAIN.items())[1]]),
    ],
)
def test_wrappers_are_taken_off(content):
    assert unwrap(content, "x.pth") == PLAIN


def test_what_lies_beside_a_prefix_is_left_out_and_named(caplog):
    with caplog.at_level(logging.WARNING):
        assert unwrap({"state_dict": {**prefixed("sam."), "loss.weight": torch.ones(1)}}, "x.ckpt") == PLAIN
    assert "x.ckpt: left out what is not under 'sam.': loss.weight" in caplog.text


def test_dictionaries_that_hold_themselves_end():
    circle = {"epoch": 3}
    circle["state_dict"] = circle
    with pytest.raises(CheckpointError, match="it holds 'epoch', 'state_dict' and no tensor"):
        unwrap(circle, "x.pth")
    circle["model"] = PLAIN
    assert unwrap(circle, "x.pth") == PLAIN


def test_of_several_sams_the_trained_one_is_taken_and_the_others_are_named(caplog):
    with caplog.at_level(logging.WARNING):
        assert unwrap({"ema": prefixed("module."), "model": PLAIN}, "x.pth") == PLAIN
    assert "x.pth: took the SAM under 'model' and left out those under 'ema'" in caplog.text


def test_of_several_sams_none_is_guessed():
    with pytest.raises(CheckpointError, match="must hold one SAM, but holds several, under 'best' and 'last'"):
        unwrap({"best": PLAIN, "last": dict(PLAIN)}, "x.pth")


@pytest.mark.parametrize(
    ("name", "prefix"),
    [
        ("neck.0.weight", "image_encoder."),
        ("neck.conv1.weight", "vision_encoder."),
        ("iou_token.weight", "mask_decoder."),
        ("no_mask_embed.weight", "prompt_encoder."),
    ],
)
def test_a_part_saved_alone_gets_its_prefix(name, prefix):
    content = {name: torch.ones(1), "blocks.0.norm1.bias": torch.ones(2)}
    expected = {prefix + name: tensor for name, tensor in content.items()}
    assert unwrap(content, "x.pth") == expected
    assert unwrap({"ema": {f"module.{name}": tensor for name, tensor in content.items()}}, "x.pth") == expected


def test_names_that_only_resemble_a_wrapper_stay():
    content = {"image_encoder.submodule.weight": torch.ones(1)}
    assert unwrap(content, "x.pth") == content


def test_two_models_are_refused():
    with pytest.raises(CheckpointError, match=r"must hold one SAM.*\['student\.', 'teacher\.'\]"):
        unwrap({**prefixed("student."), **prefixed("teacher.")}, "x.pth")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ([torch.ones(1)], "must hold a dictionary of tensors, got list"),
        (torch.ones(1), "must hold a dictionary of tensors, got Tensor"),
        ({}, "it holds nothing and no tensor"),
        ({"epoch": 3, "best": 0.5}, "it holds 'epoch', 'best' and no tensor"),
        ({"optimizer": {"state": {}}}, "it holds 'optimizer' and no tensor"),
    ],
)
def test_no_tensors(content, message):
    with pytest.raises(CheckpointError, match=message):
        unwrap(content, "x.pth")
