"""A drawn raster in tiles: objects with outlines, a raster of labels and a table. See docs/large-images.md.

python examples/large_image.py OUTPUT
"""

import sys
from pathlib import Path

import numpy as np

from anymask import SamMaskGenerator, SamModel, SamProcessor
from anymask.tiling.generator import TiledGenerator
from anymask.tiling.outputs import save_objects, write_geojson, write_label_raster, write_table
from anymask.tiling.sources import LargeImage

output = Path(sys.argv[1])
output.mkdir(parents=True, exist_ok=True)

# Nine fields, drawn into a file that is read window by window.
scene = np.lib.format.open_memmap(output / "scene.npy", mode="w+", dtype=np.uint8, shape=(420, 540, 3))
scene[:] = (90, 120, 70)
for number in range(9):
    top, left = 20 + 135 * (number // 3), 25 + 175 * (number % 3)
    scene[top : top + 90, left : left + 130] = (200, 40 + 20 * number, 60)
scene.flush()

model, processor = SamModel.from_pretrained("sam-vit-nano"), SamProcessor.from_pretrained("sam-vit-nano")
tiled = TiledGenerator(SamMaskGenerator(model, processor, points_per_side=6, progress=False), tile=256, halo=96)
image = LargeImage(np.load(output / "scene.npy", mmap_mode="r"))
objects = save_objects(output / "work", tiled.generate(image, work_folder=output / "work"))
write_geojson(output / "objects.geojson", objects, image, tolerance=1.0)
write_label_raster(output / "labels.tif", objects, image)
write_table(output / "objects.csv", objects, image)
print(f"{len(objects)} objects")
