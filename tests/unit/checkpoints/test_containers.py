import logging

import pytest
import torch

from anymask.checkpoints.containers import unwrap
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
        {"image_encoder._orig_mod.pos_embed": PLAIN["image_encoder.pos_embed"]} | dict([list(PLAIN.items())[1]]),
    ],
)
def test_wrappers_are_taken_off(content):
    assert unwrap(content, "x.pth") == PLAIN


def test_what_lies_beside_a_prefix_is_left_out_and_named(caplog):
    with caplog.at_level(logging.WARNING):
        assert unwrap({"state_dict": {**prefixed("sam."), "loss.weight": torch.ones(1)}}, "x.ckpt") == PLAIN
    assert "x.ckpt: left out what is not under 'sam.': loss.weight" in caplog.text


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
