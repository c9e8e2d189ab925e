"""A folder of images to shards with two workers, called twice as after a stop. See docs/scale.md.

python examples/many_images.py FOLDER OUTPUT
"""

import sys

from anymask.distributed.generate import generate

if __name__ == "__main__":  # workers are processes of their own and read this file too
    folder, output = sys.argv[1:]
    for _ in range(2):  # the second call finds that nothing is missing
        manifest = generate(folder, output, options={"points_per_side": 4}, n_shards=2, workers=2, format_name="coco")
    print(manifest["totals"])
    print(f"weights {manifest['settings']['weights_sha256'][:12]}")
