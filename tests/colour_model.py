"""A stand-in for `SamModel` whose masks can be told from the picture: all that has the colour of the prompted point.

Red says which object a pixel belongs to, 0 being background. Green is the predicted IoU of its mask. Blue, from half
brightness on, makes a mask unstable: its logits lie between the thresholds that stability compares. The encoder only
thins the pixels out, so crops, resizing and padding work as they do for the real model.
"""

from types import SimpleNamespace

import numpy as np
import torch

from anymask import MaskProposals
from anymask.image_processing_sam import SamImageProcessor

IMAGE_SIZE = 64


class ColourModel:
    def __init__(self, most_prompts: int | None = None, most_images: int | None = None) -> None:
        """Runs out of memory with more prompts or images at a time than these."""
        vision = SimpleNamespace(image_size=IMAGE_SIZE, patch_size=8, hidden_size=4)
        self.config = SimpleNamespace(
            vision_config=vision, mask_decoder_config=SimpleNamespace(num_multimask_outputs=1)
        )
        self.device = torch.device("cpu")
        self.dtype = torch.float32
        self.vision_encoder = torch.nn.Identity()
        self.most_prompts, self.most_images = most_prompts, most_images
        self.encoded: list[int] = []
        self.decoded: list[int] = []

    def get_image_embeddings(self, pixel_values, interpolate_pos_encoding=False):
        assert not interpolate_pos_encoding
        if self.most_images is not None and len(pixel_values) > self.most_images:
            raise torch.OutOfMemoryError("CUDA out of memory.")
        self.encoded.append(len(pixel_values))
        return pixel_values[:, :, 1::2, 1::2]

    def prepare_image(self, image_embeddings):
        return image_embeddings

    def decode_proposals(self, image_embeddings, input_points, input_labels=None, iou_threshold=0.0):
        n_prompts = input_points.shape[1]
        if self.most_prompts is not None and n_prompts > self.most_prompts:
            raise torch.OutOfMemoryError("CUDA out of memory.")
        self.decoded.append(n_prompts)
        grid = image_embeddings[0]  # (3, 32, 32)
        x, y = (input_points[0, :, 0] / 2).long().clamp(0, IMAGE_SIZE // 2 - 1).T
        colours = grid[:, y, x].T  # (prompts, 3)
        inside = (grid[0] == colours[:, :1, None]) & (colours[:, :1, None] > 0)
        height = torch.where(colours[:, 2] > 0.4, 0.5, 10.0)[:, None, None]
        logits = torch.where(inside, height, -10.0)
        ious = colours[:, 1]
        kept = ious > iou_threshold if iou_threshold > 0 else torch.ones_like(ious, dtype=torch.bool)
        index = kept.nonzero()[:, 0]
        return MaskProposals(logits[index], ious[index], index)


def colour_processor() -> SamImageProcessor:
    """Pixels from 0 to 1, brought to 64 x 64 without mixing colours."""
    return SamImageProcessor(
        size={"longest_edge": IMAGE_SIZE},
        pad_size={"height": IMAGE_SIZE, "width": IMAGE_SIZE},
        mask_size={"longest_edge": IMAGE_SIZE // 4},
        mask_pad_size={"height": IMAGE_SIZE // 4, "width": IMAGE_SIZE // 4},
        resample=0,
        do_normalize=False,
    )


def draw(size_hw, *rectangles):
    """An image (H, W, 3) uint8 with rectangles (x0, y0, x1, y1, red, green, blue), later ones on top."""
    image = np.zeros((*size_hw, 3), np.uint8)
    for x0, y0, x1, y1, *colour in rectangles:
        image[y0:y1, x0:x1] = colour
    return image
