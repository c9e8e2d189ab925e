"""How long does segment-everything take, from a photo to run-length encoded masks?

A grid of points on the photo of examples/ at 534 x 800: pixel values, encoder, decoder, filters, duplicates, encoding.
sam-vit-nano finds objects. ViT-B has random weights: its masks follow the photo's regions, but mean nothing. For both,
the thresholds are set such that a third of the masks pass by predicted IoU and half of these by stability, about as
many as a large trained model lets pass at the usual thresholds.

Transformers' column is what its pipeline runs, 64 points at a time, with its own model and image processor; see
their_steps.py. By default the grid has 16 x 16 points for sam-vit-nano and 8 x 8 for the others, since Transformers
takes minutes for the usual 32 x 32, which is `--full`. int8 is anymask with its image encoder in 8 bits, beside
Transformers in float32.

    python benchmarks/bench_everything.py --size vit_b --dtype float32 bfloat16 --full --repeats 1
"""

from harness import DTYPES, FLOATS, SIZES, Benchmark, option_parser, parse_options
from subjects import SAME_MASKS, load_pair, our_generator, photo
from their_steps import TheirSteps

POINTS_PER_SIDE = {"vit_b": 8, "vit_h": 8, "nano": 16}


def compare(benchmark: Benchmark, size: str, dtype: str) -> None:
    options = benchmark.options
    pair, image = load_pair(size, dtype, options.device), photo(options.image_size)
    points_per_side = options.points_per_side or POINTS_PER_SIDE[size]
    filters = pair.filters(image)
    generator = our_generator(pair, filters)
    theirs = TheirSteps(pair.theirs, pair.their_processor, filters)
    peers = benchmark.peers("everything", pair, image, points_per_side, filters) if dtype in FLOATS else {}
    columns = {
        "transformers": lambda: theirs.everything(image, points_per_side),
        "anymask": lambda: generator.generate(image, points_per_side=points_per_side),
        **peers,
    }
    what = f"{SIZES[size]}, {dtype}, {points_per_side} x {points_per_side} points"
    facts = dict(size=size, dtype=dtype, points_per_side=points_per_side, filters=filters)
    # `filters` has run anymask's model; Transformers' gets its warm-up here, since a whole run takes too long.
    theirs.everything(image, points_per_side=2)
    benchmark.compare(what, columns, SAME_MASKS[dtype], warm_ups=0, **facts)


def main() -> None:
    parser = option_parser(__doc__, repeats=2, dtypes=list(DTYPES))
    parser.add_argument("--image-size", type=int, nargs=2, metavar=("HEIGHT", "WIDTH"), default=[534, 800])
    parser.add_argument("--points-per-side", type=int, help="of the grid of points, for every model")
    options = parse_options(parser, smoke=dict(image_size=[90, 120], points_per_side=4), full=dict(points_per_side=32))
    benchmark = Benchmark("everything", "How long does segment-everything take, from a photo to masks?", options)
    for size in options.size:
        for dtype in options.dtype:
            compare(benchmark, size, dtype)
    benchmark.finish()


if __name__ == "__main__":
    main()
