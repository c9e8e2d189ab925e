"""How long does the image encoder take?

From pixel_values to the image embedding, which is most of the time of a first click on an image. ViT-B has random
weights (times do not depend on them), sam-vit-nano its own. In bfloat16 both columns compute in bfloat16; int8 is
anymask's encoder in 8 bits (`quantize_image_encoder`), beside Transformers' in float32.

    python benchmarks/bench_encoder.py --size vit_b --dtype float32 bfloat16 --threads 2
"""

import torch
from harness import DTYPES, FLOATS, SIZES, Benchmark, option_parser, parse_options, relative_error
from subjects import Pair, load_pair, photo

MAX_ERROR = {"float32": 1e-4, "bfloat16": 5e-2, "int8": 5e-2}


def compare(benchmark: Benchmark, pair: Pair, size: str, dtype: str, batch: int) -> None:
    side = pair.ours.config.vision_config.image_size
    image = pair.our_processor(photo((side * 3 // 4, side)), return_tensors="pt")["pixel_values"]
    pixel_values = image.to(pair.device, pair.dtype).repeat(batch, 1, 1, 1)
    peers = benchmark.peers("encoder", pair, pixel_values) if dtype in FLOATS else {}
    columns = {
        "transformers": lambda: pair.theirs.get_image_embeddings(pixel_values),
        "anymask": lambda: pair.ours.get_image_embeddings(pixel_values),
        **peers,
    }
    what = f"{SIZES[size]}, {dtype}, {batch} x {side} x {side}"
    benchmark.compare(what, columns, relative_error(MAX_ERROR[dtype]), size=size, dtype=dtype, batch=batch)


@torch.inference_mode()
def main() -> None:
    parser = option_parser(__doc__, dtypes=list(DTYPES))
    parser.add_argument("--batch", type=int, nargs="+", default=[1], help="images at a time")
    options = parse_options(parser)
    benchmark = Benchmark("encoder", "How long does the image encoder take?", options)
    for size in options.size:
        for dtype in options.dtype:
            pair = load_pair(size, dtype, options.device)
            for batch in options.batch:
                compare(benchmark, pair, size, dtype, batch)
    benchmark.finish()


if __name__ == "__main__":
    main()
