import pytest
import torch

from anymask import SamConfig, SamModel
from anymask.checkpoints.formats.key_map import hub_to_meta
from anymask.checkpoints.formats.other_models import recognise_relative


@pytest.mark.parametrize(
    ("relative", "name"),
    [
        ("SAM-HQ", "mask_decoder.hf_token.weight"),
        ("SAM-HQ", "mask_decoder.compress_vit_feat.0.weight"),
        ("SAM-HQ", "mask_decoder.hq_token.weight"),
        ("MobileSAM", "image_encoder.patch_embed.seq.0.c.weight"),
        ("MobileSAM", "image_encoder.layers.1.blocks.0.attn.qkv.weight"),
        ("SAM 2", "image_encoder.trunk.blocks.0.norm1.weight"),
        ("SAM 2", "sam_mask_decoder.iou_token.weight"),
        ("SAM 2", "vision_encoder.backbone.blocks.0.attn.qkv.weight"),
        ("SAM 3", "detector.backbone.vision_backbone.trunk.pos_embed"),
        ("EfficientSAM", "prompt_encoder.bbox_top_left_embeddings.weight"),
        ("EfficientViT-SAM", "image_encoder.backbone.stages.0.op_list.0.main.conv.weight"),
        ("RepViT", "image_encoder.features.0.0.c.weight"),
        ("LoRA", "image_encoder.blocks.0.attn.qkv.lora_A.default.weight"),
        ("adapters", "image_encoder.blocks.0.Adapter.channel.0.weight"),
        ("adapters", "image_encoder.blocks.0.MLP_Adapter.D_fc1.weight"),
        ("MAE", "cls_token"),
        ("YOLO", "model.0.conv.weight"),
    ],
)
def test_relatives_are_named(relative, name):
    assert relative in recognise_relative(["image_encoder.neck.0.weight", name])


def test_sam_is_no_relative():
    with torch.device("meta"):
        names = list(SamModel(SamConfig.from_preset("vit_b")).state_dict())
    assert recognise_relative(names) is None
    assert recognise_relative(hub_to_meta(names).values()) is None
