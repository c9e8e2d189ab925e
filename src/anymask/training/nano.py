"""``sam-vit-nano``: the small SAM that this project trains and ships, about 2.7 million parameters."""

from __future__ import annotations

from ..configuration_sam import SamConfig

IMAGE_SIZE = 256


def nano_config() -> SamConfig:
    """An ordinary ``SamConfig`` at 256 pixels: embeddings 32 x 32, masks 128 x 128 before upsampling."""
    return SamConfig(
        vision_config={
            "hidden_size": 160,
            "num_hidden_layers": 6,
            "num_attention_heads": 5,
            "image_size": IMAGE_SIZE,
            "patch_size": 8,
            "window_size": 8,
            "global_attn_indexes": [1, 3, 5],
            "output_channels": 128,
            "num_pos_feats": 64,
        },
        prompt_encoder_config={"hidden_size": 128, "image_size": IMAGE_SIZE, "patch_size": 8},
        mask_decoder_config={"hidden_size": 128, "mlp_dim": 512, "num_attention_heads": 4, "iou_head_hidden_dim": 128},
    )
