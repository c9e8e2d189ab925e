"""SAMs of a few thousand parameters, and prompts for them, whose sizes differ pairwise.

`draw_weights` gives weights under which every part of the model matters: masks and scores depend on the image, on each
prompt and on positions, and logits are of order 1 to 10. Fresh weights would hide mistakes behind near-zero outputs.
"""

import torch
from torch import nn

from anymask.configuration_sam import SamConfig
from anymask.image_processing_sam import SamImageProcessor
from anymask.modeling_sam import SamModel

IMAGE_SIZE = 80
BATCH, PROMPTS, POINTS = 2, 3, 4
CHANNELS = 32  # of the image embedding and the tokens
GRID = 10  # patches along a side; windows of 4 do not divide it

VISION = dict(
    hidden_size=36,
    num_hidden_layers=3,
    num_attention_heads=3,
    image_size=IMAGE_SIZE,
    patch_size=8,
    window_size=4,
    global_attn_indexes=[1],
    num_pos_feats=CHANNELS // 2,
    output_channels=CHANNELS,
    mlp_dim=50,
)
PROMPT = dict(hidden_size=CHANNELS, image_size=IMAGE_SIZE, patch_size=8, mask_input_channels=8)
DECODER = dict(hidden_size=CHANNELS, mlp_dim=40, num_attention_heads=4, iou_head_hidden_dim=20)


def tiny_config(vision=None, prompt=None, decoder=None, config_class=SamConfig):
    """A small configuration, with some fields of its parts changed; also for Transformers' class."""
    return config_class(
        vision_config={**VISION, **(vision or {})},
        prompt_encoder_config={**PROMPT, **(prompt or {})},
        mask_decoder_config={**DECODER, **(decoder or {})},
    )


def tiny_model(seed=0, **parts) -> SamModel:
    return draw_weights(SamModel(tiny_config(**parts)), seed).eval()


def tiny_image_processor(image_size=IMAGE_SIZE, processor_class=SamImageProcessor, **options):
    """Brings images to the size of the tiny model's input, which has patches of 8 and so masks of half its side."""
    masks = image_size // 2
    sizes = dict(size=image_size, pad_size=image_size, mask_size=masks, mask_pad_size=masks)
    return processor_class(**{**sizes, **options})


@torch.no_grad()
def draw_weights(model: nn.Module, seed: int = 0):
    """Gaussian weights that keep the scale of activations; works on Transformers' model as on ours."""
    generator = torch.Generator().manual_seed(seed)

    def draw(tensor, std, mean=0.0):
        tensor.copy_(mean + std * torch.randn(tensor.shape, generator=generator))

    for _, module in sorted(model.named_modules()):
        if isinstance(module, nn.Linear | nn.Conv2d | nn.ConvTranspose2d):
            transposed = isinstance(module, nn.ConvTranspose2d)
            fan_in = module.weight.shape[0] if transposed else module.weight[0].numel()
            draw(module.weight, 1.5 * fan_in**-0.5)
            if module.bias is not None:
                draw(module.bias, 0.2)
        elif isinstance(module, nn.Embedding):
            draw(module.weight, 1.0)
        elif isinstance(module, nn.LayerNorm):
            draw(module.weight, 0.2, mean=1.0)
            draw(module.bias, 0.2)
        for name in ("rel_pos_h", "rel_pos_w", "pos_embed", "positional_embedding"):
            parameter = module._parameters.get(name)
            if parameter is not None:
                draw(parameter, 0.5)
    model.tie_weights()
    return model


def images(batch=BATCH, size_hw=(IMAGE_SIZE, IMAGE_SIZE), channels=3):
    return torch.randn(batch, channels, *size_hw)


def points(batch=BATCH, prompts=PROMPTS, count=POINTS):
    return torch.rand(batch, prompts, count, 2) * IMAGE_SIZE


def labels(batch=BATCH, prompts=PROMPTS, count=POINTS, among=(0, 1)):
    return torch.tensor(among)[torch.randint(0, len(among), (batch, prompts, count))]


def boxes(batch=BATCH, prompts=PROMPTS):
    corners = torch.rand(batch, prompts, 2, 2) * IMAGE_SIZE
    return torch.cat([corners.amin(dim=2), corners.amax(dim=2)], dim=-1)


def mask_prompts(batch=BATCH, prompts=1, side=4 * GRID):
    return 3 * torch.randn(batch, prompts, side, side)


def relative_difference(actual, expected) -> float:
    """The largest difference, over the largest expected value."""
    assert actual.shape == expected.shape, (tuple(actual.shape), tuple(expected.shape))
    return ((actual.double() - expected.double()).abs().max() / expected.double().abs().max()).item()
