"""The packaged model: its size, its first guess of where a click is, and its image processor."""

import torch

from anymask.training.nano.model import MASK_STRIDE, nano_image_processor, nano_model


def test_cross_attention_begins_near_the_prompt():
    torch.manual_seed(0)
    model = nano_model()
    attention = model.mask_decoder.transformer.layers[0].cross_attn_token_to_image
    positions = model.get_image_wide_positional_embeddings().flatten(2)[0].T  # (pixels, channels)
    with torch.no_grad():
        scores = attention.q_proj(positions) @ attention.k_proj(positions).T
    rows, columns = torch.arange(len(positions)) // 32, torch.arange(len(positions)) % 32
    best = scores.argmax(dim=1)
    # Half the channels are gone, so the highest score may be a neighbour's.
    assert (rows - rows[best]).abs().max() <= 2
    assert (columns - columns[best]).abs().max() <= 2


def test_image_processor_fits_the_model():
    processor = nano_image_processor(128)
    geometry = processor.geometry((300, 200))
    assert geometry.resized_size_hw == (128, 85) and geometry.padded_size_hw == (128, 128)
    assert processor.to_dict()["mask_pad_size"] == {"height": 128 // MASK_STRIDE, "width": 128 // MASK_STRIDE}
