"""Meta's package, `segment-anything`, as a column: encoder, decoder, click, everything.

The model is built from Meta's classes, as large as the pair's, with the pair's weights in Meta's layout. In bfloat16
Meta's prompt encoder does not run, so there is the encoder alone.
"""

import importlib.util
import sys
from collections.abc import Callable
from functools import lru_cache, partial
from types import ModuleType
from typing import Any

import numpy as np
import torch
from PIL import Image
from subjects import Pair
from their_steps import NMS_THRESHOLD, plain_nms

from anymask.checkpoints.formats.key_map import hub_to_meta

PACKAGES = ("segment-anything",)
PIXEL_MEAN, PIXEL_STD = (123.675, 116.28, 103.53), (58.395, 57.12, 57.375)


def column(stage: str, *inputs: Any) -> Callable[[], Any] | None:
    """Meta's work for a stage; see where the scripts call `benchmark.peers`."""
    if stage not in _STAGES or (stage != "encoder" and inputs[0].dtype != torch.float32):
        return None
    pair, *others = inputs
    return _STAGES[stage](_model(pair), *others)


def _encoder(model: Any, pixel_values: torch.Tensor) -> Callable[[], torch.Tensor]:
    return lambda: model.image_encoder(pixel_values)


def _decoder(
    model: Any, embedding: torch.Tensor, points: torch.Tensor, multimask_output: bool = True
) -> Callable[[], torch.Tensor]:
    labels = torch.ones(points.shape[1], 1, device=points.device)

    def run() -> torch.Tensor:
        # Meta's predictor moves points to the middles of their pixels in here, as all do.
        sparse, dense = model.prompt_encoder(points=(points[0], labels), boxes=None, masks=None)
        low_res_logits, _ = model.mask_decoder(
            image_embeddings=embedding,
            image_pe=model.prompt_encoder.get_dense_pe(),
            sparse_prompt_embeddings=sparse,
            dense_prompt_embeddings=dense,
            multimask_output=multimask_output,
        )
        return low_res_logits[None]

    return run


def _click(
    model: Any,
    embedding: torch.Tensor,
    point: torch.Tensor,
    original_sizes: list[list[int]],
    resized_sizes: list[list[int]],
    multimask_output: bool,
) -> Callable[[], torch.Tensor]:
    decoded = _decoder(model, embedding, point, multimask_output)

    def run() -> torch.Tensor:
        return model.postprocess_masks(decoded()[0], resized_sizes[0], original_sizes[0]) > model.mask_threshold

    return run


def _everything(
    model: Any, image: Image.Image, points_per_side: int, filters: dict[str, float]
) -> Callable[[], list[dict[str, Any]]]:
    generator = _package().SamAutomaticMaskGenerator(
        model,
        points_per_side=points_per_side,
        box_nms_thresh=NMS_THRESHOLD,
        output_mode="uncompressed_rle",
        **filters,
    )
    pixels = np.asarray(image)
    return lambda: generator.generate(pixels)


_STAGES = {"encoder": _encoder, "decoder": _decoder, "click": _click, "everything": _everything}


@lru_cache(maxsize=1)
def _model(pair: Pair) -> Any:
    """Meta's model with the weights of a pair, in its type and on its device."""
    modeling, config = _package().modeling, pair.ours.config
    vision, prompt, decoder = config.vision_config, config.prompt_encoder_config, config.mask_decoder_config
    model = modeling.Sam(
        image_encoder=modeling.ImageEncoderViT(
            img_size=vision.image_size,
            patch_size=vision.patch_size,
            embed_dim=vision.hidden_size,
            depth=vision.num_hidden_layers,
            num_heads=vision.num_attention_heads,
            mlp_ratio=vision.mlp_dim / vision.hidden_size,
            out_chans=vision.output_channels,
            norm_layer=partial(torch.nn.LayerNorm, eps=vision.layer_norm_eps),
            use_rel_pos=True,
            window_size=vision.window_size,
            global_attn_indexes=vision.global_attn_indexes,
        ),
        prompt_encoder=modeling.PromptEncoder(
            embed_dim=prompt.hidden_size,
            image_embedding_size=(prompt.image_embedding_size,) * 2,
            input_image_size=(prompt.image_size,) * 2,
            mask_in_chans=prompt.mask_input_channels,
        ),
        mask_decoder=modeling.MaskDecoder(
            num_multimask_outputs=decoder.num_multimask_outputs,
            transformer=modeling.TwoWayTransformer(
                depth=decoder.num_hidden_layers,
                embedding_dim=decoder.hidden_size,
                mlp_dim=decoder.mlp_dim,
                num_heads=decoder.num_attention_heads,
            ),
            transformer_dim=decoder.hidden_size,
            iou_head_depth=decoder.iou_head_depth,
            iou_head_hidden_dim=decoder.iou_head_hidden_dim,
        ),
        pixel_mean=PIXEL_MEAN,
        pixel_std=PIXEL_STD,
    )
    state = pair.ours.state_dict()
    model.load_state_dict({theirs: state[ours] for ours, theirs in hub_to_meta(state).items()})
    return model.eval().to(pair.device, pair.dtype)


@lru_cache(maxsize=1)
def _package() -> ModuleType:
    """`segment_anything`, which imports torchvision: to resize a Pillow image, and for NMS.

    Where there is no torchvision, Pillow and `plain_nms` do the two, for as long as it takes to import.
    """
    stand_ins = {} if importlib.util.find_spec("torchvision") else _stand_ins()
    sys.modules.update(stand_ins)
    try:
        import segment_anything
    finally:
        for name in stand_ins:
            del sys.modules[name]
    return segment_anything


def _stand_ins() -> dict[str, ModuleType]:
    names = ("torchvision", "torchvision.transforms", "torchvision.transforms.functional")
    modules = {name: ModuleType(name) for name in (*names, "torchvision.ops", "torchvision.ops.boxes")}
    functional, boxes = modules["torchvision.transforms.functional"], modules["torchvision.ops.boxes"]
    functional.to_pil_image = Image.fromarray
    functional.resize = lambda image, size_hw: image.resize(size_hw[::-1], Image.Resampling.BILINEAR)
    boxes.box_area = lambda boxes_xyxy: (boxes_xyxy[:, 2:] - boxes_xyxy[:, :2]).prod(dim=1)

    def batched_nms(boxes_xyxy: torch.Tensor, scores: torch.Tensor, _: Any, iou_threshold: float) -> torch.Tensor:
        """Of one category: Meta's generator looks for things, whatever they are."""
        kept = plain_nms(boxes_xyxy, scores, iou_threshold)
        return torch.tensor(kept, dtype=torch.long, device=boxes_xyxy.device)

    boxes.batched_nms = batched_nms
    return modules
