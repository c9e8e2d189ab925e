import numpy as np
import pytest
from PIL import Image

SIZE_HW = (20, 30)


@pytest.fixture
def shapes():
    """Two masks (2, 20, 30) that do not overlap."""
    masks = np.zeros((2, *SIZE_HW), dtype=bool)
    masks[0, 2:9, 3:12] = True
    masks[1, 10:18, 15:28] = True
    return masks


@pytest.fixture
def photo():
    """Pixels (20, 30, 3) uint8, each different."""
    return np.arange(SIZE_HW[0] * SIZE_HW[1] * 3, dtype=np.uint8).reshape(*SIZE_HW, 3)


@pytest.fixture
def save():
    """Writes an array as an image, folders included; bool becomes 0 and 255."""

    def write(path, pixels):
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(pixels.astype(np.uint8) * 255 if pixels.dtype == bool else pixels).save(path)

    return write
