"""What the benchmarks measure: models with the same weights, photos, and when two columns found the same masks."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
import transformers
from harness import DTYPES, DisagreementError
from PIL import Image
from their_steps import NMS_THRESHOLD
from transformers.models.sam.image_processing_pil_sam import SamImageProcessorPil

from anymask import SamConfig, SamImageProcessor, SamMaskGenerator, SamModel, quantize_image_encoder
from anymask.geometry.crops import build_point_grid
from anymask.masks.measures import stability_scores
from anymask.masks.rle import rle_to_mask

PHOTOS = sorted((Path(__file__).parents[1] / "examples").glob("*.jpg"))
PHOTO = next(path for path in PHOTOS if path.stem == "coffee")


@dataclass(frozen=True)
class Pair:
    """anymask's model and Transformers', with the same weights, and the image processors that belong to them."""

    ours: SamModel
    theirs: transformers.SamModel
    our_processor: SamImageProcessor
    their_processor: SamImageProcessorPil

    @property
    def device(self) -> torch.device:
        return self.ours.device

    @property
    def dtype(self) -> torch.dtype:
        return self.ours.dtype

    def embedding(self) -> torch.Tensor:
        """An image embedding (1, C, h, w) of noise, in memory as both encoders give it: pixel by pixel."""
        side = self.ours.config.prompt_encoder_config.image_embedding_size
        channels = self.ours.config.vision_config.output_channels
        noise = torch.randn(1, channels, side, side, generator=torch.Generator().manual_seed(0))
        return noise.to(self.device, self.dtype, memory_format=torch.channels_last)

    @torch.inference_mode()
    def decoded(
        self, image: Image.Image, points_per_side: int, theirs: bool = False
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Logits (P, 3, h, w) and scores (P, 3) for a grid of points on an image, of anymask or of Transformers."""
        model = self.theirs if theirs else self.ours
        pixel_values = self.our_processor(image, return_tensors="pt")["pixel_values"].to(self.device, self.dtype)
        geometry = self.our_processor.geometry((image.height, image.width))
        points_xy = build_point_grid(points_per_side) * [image.width, image.height]
        output = model(
            image_embeddings=model.get_image_embeddings(pixel_values),
            input_points=torch.from_numpy(geometry.points_to_model(points_xy))[None, :, None].to(self.device),
        )
        return output.pred_masks[0], output.iou_scores[0]

    def filters(self, image: Image.Image) -> dict[str, float]:
        """Thresholds that a third of the masks pass by predicted IoU, and half of these by stability, on this image.

        A large trained SAM leaves about as many at its usual thresholds; a small one, or one with random weights, does
        not score its masks that high.
        """
        logits, scores = self.decoded(image, points_per_side=8)
        pred_iou_thresh = float(scores.quantile(2 / 3))
        stability_score_thresh = float(stability_scores(logits[scores > pred_iou_thresh].float()).quantile(1 / 2))
        return {"pred_iou_thresh": pred_iou_thresh, "stability_score_thresh": stability_score_thresh}

    def points(self, n_prompts: int) -> torch.Tensor:
        """Prompts of one point (1, P, 1, 2), spread over the model's input."""
        generator = torch.Generator().manual_seed(0)
        points = torch.rand(1, n_prompts, 1, 2, generator=generator) * self.ours.config.vision_config.image_size
        return points.to(self.device)


@torch.inference_mode(False)
def load_pair(size: str, dtype: str, device: str) -> Pair:
    """Models with the packaged weights of sam-vit-nano, or of ViT-B or ViT-H with random ones.

    Made outside of inference mode, as models are: of weights made in it anymask keeps nothing from call to call.
    In int8 anymask's image encoder computes in 8 bits, all else in float32.
    """
    ours = SamModel.from_pretrained("sam-vit-nano") if size == "nano" else _random_model(size)
    theirs = transformers.SamModel(transformers.SamConfig(**ours.config.to_dict()))
    differing = theirs.load_state_dict(ours.state_dict(), strict=False)
    # The positional encoding that prompts share with the image is stored once or twice.
    if differing.unexpected_keys or any("shared_embedding" not in key for key in differing.missing_keys):
        raise DisagreementError(f"the models must have the same weights, but {differing}")
    ours, theirs = (model.eval().to(device, DTYPES[dtype]) for model in (ours, theirs))
    if dtype == "int8":
        quantize_image_encoder(ours)
    sizes = processor_sizes(ours.config.vision_config.image_size)
    return Pair(ours, theirs, SamImageProcessor(**sizes), SamImageProcessorPil(**sizes))


@torch.no_grad()
def _random_model(size: str) -> SamModel:
    """A model with random weights, drawn such that its masks follow the regions of a photo and differ between prompts.

    With PyTorch's own initialisation all logits are near 0 and the masks are noise, which post-processing never sees.
    Here positions vary slowly over the image, the decoder keeps the scale of what passes through it, upscaling is the
    same for the four pixels that come of one, and logits are as large as a trained model's. Relative positions, zero in
    a fresh model, are put to the test as well.
    """
    torch.manual_seed(1)  # with some others all masks are the whole photo
    model = SamModel(SamConfig.from_preset(size))
    encoder, decoder = model.vision_encoder, model.mask_decoder
    for name, parameter in encoder.named_parameters():
        if "rel_pos" in name:
            parameter.normal_(std=0.1)
    coarse = 0.5 * torch.randn(1, encoder.pos_embed.shape[-1], 6, 6)
    positions = F.interpolate(coarse, encoder.pos_embed.shape[1:3], mode="bicubic")
    encoder.pos_embed.copy_(positions.permute(0, 2, 3, 1))
    for parameter in decoder.parameters():
        if parameter.ndim > 1:
            parameter.normal_(std=1.3 / parameter[0].numel() ** 0.5)
    for convolution in (decoder.upscale_conv1, decoder.upscale_conv2):
        weight = convolution.weight.normal_(std=convolution.in_channels**-0.5)
        weight.copy_(weight[:, :, :1, :1].expand_as(weight).clone())
    for hypernetwork in decoder.output_hypernetworks_mlps:
        hypernetwork.proj_out.weight.mul_(6)
    decoder.iou_prediction_head.proj_out.bias.fill_(1)
    # What all pixels of an embedding have in common would decide most masks as a whole, one way or the other.
    small = SamImageProcessor(**processor_sizes(256))(photo((192, 256)), return_tensors="pt")["pixel_values"]
    common = model.get_image_embeddings(small, interpolate_pos_encoding=True).mean(dim=(0, 2, 3))
    encoder.neck.layer_norm2.weight.fill_(2)
    encoder.neck.layer_norm2.bias.copy_(-2 * common)
    return model


def processor_sizes(image_size: int) -> dict[str, dict[str, int]]:
    return dict(
        size={"longest_edge": image_size},
        pad_size={"height": image_size, "width": image_size},
        mask_size={"longest_edge": image_size // 4},
        mask_pad_size={"height": image_size // 4, "width": image_size // 4},
    )


def photo(size_hw: Sequence[int]) -> Image.Image:
    """The photo of examples/, resized; its objects keep their share of the picture."""
    with Image.open(PHOTO) as image:
        return image.convert("RGB").resize((size_hw[1], size_hw[0]), Image.Resampling.BICUBIC)


def our_generator(pair: Pair, filters: dict[str, float]) -> SamMaskGenerator:
    """Segment everything with anymask as `TheirSteps` does: without the clean-up of small regions."""
    return SamMaskGenerator(
        pair.ours,
        pair.our_processor,
        output_mode="uncompressed_rle",
        box_nms_thresh=NMS_THRESHOLD,
        min_mask_region_area=0,
        **filters,
    )


def same_masks(min_mean_iou: float, max_unmatched: float = 0.02) -> Any:
    """Agreement of two lists of records: masks matched by their boxes, and how many have no match.

    Args:
        min_mean_iou: mean IoU of the matched masks, at least.
        max_unmatched: share of the masks that may have no match, since scores that are equal to a threshold up to
            rounding fall on either side of it; one mask always may.
    """

    def agreement(theirs: list[dict[str, Any]], ours: list[dict[str, Any]]) -> dict[str, float]:
        if not theirs:
            raise DisagreementError("no mask passed the filters, so there is nothing to compare")
        boxes = np.array([record["box_xyxy"] for record in theirs], dtype=float)
        ours_xyxy = np.array([_box_xyxy(record) for record in ours], dtype=float).reshape(-1, 4)
        ious = []
        for index, box in enumerate(ours_xyxy):
            nearest = int(np.abs(boxes - box).sum(axis=1).argmin())
            if int(np.abs(ours_xyxy - boxes[nearest]).sum(axis=1).argmin()) == index:
                masks = [rle_to_mask(record["segmentation"]) for record in (theirs[nearest], ours[index])]
                iou = (masks[0] & masks[1]).sum() / (masks[0] | masks[1]).sum()
                ious += [float(iou)] if iou > 0.5 else []
        unmatched = max(len(theirs), len(ours)) - len(ious)
        if unmatched > max(1, max_unmatched * len(theirs)):
            raise DisagreementError(f"{unmatched} of {len(theirs)} and {len(ours)} masks have no match")
        if not np.mean(ious) >= min_mean_iou:
            raise DisagreementError(f"the mean IoU must be at least {min_mean_iou}, got {np.mean(ious):.4f}")
        return {"masks": len(theirs), "matched": len(ious), "mean IoU": float(np.mean(ious))}

    return agreement


def _box_xyxy(record: dict[str, Any]) -> list[int]:
    x, y, width, height = record["bbox"]
    return [x, y, x + width, y + height]


# If not exact, scores move across the thresholds, and duplicates win that lost before: many masks have no match then.
SAME_MASKS = {
    "float32": same_masks(0.999),
    "bfloat16": same_masks(0.9, max_unmatched=0.5),
    "int8": same_masks(0.95, max_unmatched=0.5),
}
