"""How sharp a picture is, as far as copies of one picture can be compared by it.

All are seen at one size, so a copy that was scaled down and up again has lost its details; and the answer of the
Laplacian is divided by the contrast, so a copy that was made paler has lost none.
"""

from __future__ import annotations

import numpy as np
from PIL import Image

SIDE = 512  # pixels of the longer side at which copies are compared; a screen shows them hardly larger
FLAT = 1.0  # grey levels of contrast below which nothing can be sharp or blurred


def sharpness(picture: Image.Image) -> float:
    """Return the standard deviation of the Laplacian over that of the greys; 0 for a picture without contrast."""
    scale = SIDE / max(picture.size)
    size = (max(3, round(picture.width * scale)), max(3, round(picture.height * scale)))
    grey = np.asarray(picture.convert("L").resize(size, Image.Resampling.BICUBIC), dtype=np.float32)
    contrast = float(grey.std())
    if contrast < FLAT:
        return 0.0
    middle = grey[1:-1, 1:-1]
    around = grey[:-2, 1:-1] + grey[2:, 1:-1] + grey[1:-1, :-2] + grey[1:-1, 2:]
    return float((around - 4 * middle).std()) / contrast
