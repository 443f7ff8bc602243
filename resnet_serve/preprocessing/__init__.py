"""Preprocessing: from an image file to the pixels that a network was trained on.

Preprocessing belongs to the *weights*, not to the architecture: it is stored in the checkpoint,
written into the repository and read by the converter, the server and the clients, so that
training, conversion and serving get the same pixels.

    bytes ─ decoding ─► RGB image ─ geometry ─► UINT8 [H,W,C] ─ (x/255 − mean)/std ─► FP32 [C,H,W]

`transform` is the value with its arithmetic, `rules` which values are allowed, `document` its JSON
form, `geometry` and `unfiltered` resize and crop, `decoding`, `modes` and `signatures` read files.
`limits` is what one image may cost; `structure` and `bounded_file` enforce it.
"""

from resnet_serve.preprocessing.decoding import (
    FORMATS,
    SUFFIXES,
    decode,
    orientation_in,
    orientation_of,
    upright,
)
from resnet_serve.preprocessing.geometry import crop_start
from resnet_serve.preprocessing.limits import (
    CHANNELS,
    MAX_PIXELS,
    DamagedError,
    ImageError,
    Limits,
    check_size,
)
from resnet_serve.preprocessing.modes import from_array, to_rgb
from resnet_serve.preprocessing.transform import IMAGENET_MEAN, IMAGENET_STD, Preprocessing

__all__ = [
    "CHANNELS",
    "FORMATS",
    "IMAGENET_MEAN",
    "IMAGENET_STD",
    "MAX_PIXELS",
    "SUFFIXES",
    "DamagedError",
    "ImageError",
    "Limits",
    "Preprocessing",
    "check_size",
    "crop_start",
    "decode",
    "from_array",
    "orientation_in",
    "orientation_of",
    "to_rgb",
    "upright",
]
