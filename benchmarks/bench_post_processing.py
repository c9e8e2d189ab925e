"""How long does it take from the decoder's masks to the masks of the image?

Low-resolution logits and scores of many points, three masks each, to run-length encoded masks of a 1200 x 1800 photo:
filter by predicted IoU and stability, boxes, duplicates, encoding. Two sources of logits: blobs of natural sizes (see
blobs.py) on the 256 x 256 grid of ViT-B, and what the packaged model itself gives for the photo, 160 x 160.

Transformers' pipeline does this 64 points at a time with its image processor's `post_process_masks` and `filter_masks`;
see their_steps.py. By default 100 points, a tenth of what segment-everything has, because Transformers takes minutes
for all; `--full` takes all 1024.

    python benchmarks/bench_post_processing.py --full --repeats 1
"""

import torch
from blobs import blob_logits, blob_scores
from harness import SIZES, Benchmark, option_parser, parse_options
from subjects import load_pair, photo, processor_sizes, same_masks
from their_steps import NMS_THRESHOLD, TheirSteps
from transformers.models.sam.image_processing_pil_sam import SamImageProcessorPil

from anymask import MaskGenerationOptions, MaskProposals, ResizeGeometry, SamImageProcessor
from anymask.mask_generation.filters import filter_masks, make_records, remove_duplicates
from anymask.masks.sparse_upsampling import SparseUpsampler

USUAL_FILTERS = {"pred_iou_thresh": 0.88, "stability_score_thresh": 0.95}
VIT_B_SIDE, VIT_B_LOW_RES = 1024, 256
MIN_MEAN_IOU = 0.999


def our_records(
    logits: torch.Tensor, scores: torch.Tensor, geometry: ResizeGeometry, filters: dict[str, float]
) -> list[dict]:
    """What `SamMaskGenerator` does with the decoder's masks of one crop, the whole image."""
    options = MaskGenerationOptions(**filters, box_nms_thresh=NMS_THRESHOLD, output_mode="uncompressed_rle")
    size_hw = geometry.original_size_hw
    keep = scores > options.pred_iou_thresh
    masks = MaskProposals(logits[keep], scores[keep], keep.nonzero()[:, 0])
    upsampler = SparseUpsampler.from_geometry(geometry, logits.shape[-2:], logits.device)
    points_xy = torch.zeros(len(scores), 2).numpy()  # copied into the records, no more
    where = dict(crop_box_xyxy=[0, 0, size_hw[1], size_hw[0]], image_size_hw=size_hw)
    proposals = list(filter_masks(masks, upsampler, points_xy, **where, options=options))
    ious = [proposal.predicted_iou for proposal in proposals]
    return make_records(remove_duplicates(proposals, ious, options.box_nms_thresh), size_hw, options)


def compare(
    benchmark: Benchmark,
    what: str,
    side: int,
    logits: torch.Tensor,
    scores: torch.Tensor,
    filters: dict[str, float],
) -> None:
    geometry = SamImageProcessor(**processor_sizes(side)).geometry(tuple(benchmark.options.image_size))
    theirs = TheirSteps(None, SamImageProcessorPil(**processor_sizes(side)), filters)
    columns = {
        "transformers": lambda: theirs.post_process(
            logits, scores, geometry.original_size_hw, geometry.resized_size_hw
        ),
        "anymask": lambda: our_records(logits, scores, geometry, filters),
        **benchmark.peers("post_processing", logits, scores, geometry, filters),
    }
    height, width = geometry.original_size_hw
    what = f"{what}, {len(scores)} x 3 masks, {height} x {width}"
    # The first run counts: there is nothing to prepare, and Transformers is slow.
    benchmark.compare(what, columns, same_masks(MIN_MEAN_IOU), warm_ups=0, filters=filters, points=len(scores))


@torch.inference_mode()
def main() -> None:
    parser = option_parser(__doc__, repeats=2)
    parser.add_argument("--image-size", type=int, nargs=2, metavar=("HEIGHT", "WIDTH"), default=[1200, 1800])
    parser.add_argument("--points-per-side", type=int, default=10, help="of the grid of points")
    options = parse_options(parser, smoke=dict(image_size=[120, 180], points_per_side=5), full=dict(points_per_side=32))
    question = "How long does it take from the decoder's masks to the masks of the image?"
    benchmark = Benchmark("post_processing", question, options)

    n_points = options.points_per_side**2
    scale = VIT_B_LOW_RES / max(options.image_size)
    image_hw = (options.image_size[0] * scale, options.image_size[1] * scale)
    logits = blob_logits(n_points, (VIT_B_LOW_RES, VIT_B_LOW_RES), image_hw).to(options.device)
    scores = blob_scores(n_points).to(options.device)
    compare(benchmark, "blobs on 256 x 256", VIT_B_SIDE, logits, scores, USUAL_FILTERS)

    pair = load_pair("nano", "float32", options.device)
    image = photo(options.image_size)
    side = pair.ours.config.vision_config.image_size
    compare(benchmark, SIZES["nano"], side, *pair.decoded(image, options.points_per_side), pair.filters(image))
    benchmark.finish()


if __name__ == "__main__":
    main()
