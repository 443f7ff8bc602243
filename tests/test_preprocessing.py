"""The pixels a network sees: geometry against torchvision's, arithmetic against the formula."""

from __future__ import annotations

import ast
import dataclasses
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from patience import PATIENCE_S
from PIL import Image, ImageOps

from resnet_serve import preprocessing
from resnet_serve.errors import InputFileError
from resnet_serve.preprocessing import ImageError, Preprocessing

FILTERS = {
    "nearest": Image.Resampling.NEAREST,
    "box": Image.Resampling.BOX,
    "bilinear": Image.Resampling.BILINEAR,
    "hamming": Image.Resampling.HAMMING,
    "bicubic": Image.Resampling.BICUBIC,
    "lanczos": Image.Resampling.LANCZOS,
}


def torchvision_pixels(
    image: Image.Image, resize: int, crop: tuple[int, int], interpolation: str
) -> np.ndarray:
    """`Resize(resize)` then `CenterCrop(crop)`, restated from torchvision 0.28.

    `transforms/functional.py`: `_compute_resized_output_size`, `center_crop`;
    `transforms/_functional_pil.py`: `resize`, `pad` (which is `ImageOps.expand`), `crop`.
    """
    width, height = image.size
    if width <= height:
        new_width, new_height = resize, int(resize * height / width)
    else:
        new_width, new_height = int(resize * width / height), resize
    image = image.resize((new_width, new_height), FILTERS[interpolation])
    crop_height, crop_width = crop
    if crop_width > new_width or crop_height > new_height:
        padding = (
            (crop_width - new_width) // 2 if crop_width > new_width else 0,
            (crop_height - new_height) // 2 if crop_height > new_height else 0,
            (crop_width - new_width + 1) // 2 if crop_width > new_width else 0,
            (crop_height - new_height + 1) // 2 if crop_height > new_height else 0,
        )
        image = ImageOps.expand(image, border=padding, fill=(0, 0, 0))
    top = round((image.height - crop_height) / 2.0)
    left = round((image.width - crop_width) / 2.0)
    return np.asarray(image.crop((left, top, left + crop_width, top + crop_height)))


def noise(height: int, width: int, seed: int = 0) -> Image.Image:
    generator = np.random.default_rng((seed, height, width))
    return Image.fromarray(generator.integers(1, 256, (height, width, 3), dtype=np.uint8))


sides = st.integers(1, 90)


@settings(max_examples=300)
@given(sides, sides, st.integers(1, 70), sides, sides, st.sampled_from(sorted(FILTERS)))
def test_geometry_is_torchvision_s(
    height: int, width: int, resize: int, crop_height: int, crop_width: int, interpolation: str
) -> None:
    image = noise(height, width)
    crop = (crop_height, crop_width)
    ours = Preprocessing(resize=resize, crop=crop, interpolation=interpolation).pixels(image)
    assert ours.shape == (crop_height, crop_width, 3)
    assert ours.dtype == np.uint8
    np.testing.assert_array_equal(ours, torchvision_pixels(image, resize, crop, interpolation))


@pytest.mark.parametrize(
    ("height", "width"), [(480, 640), (640, 480), (375, 500), (333, 501), (257, 257), (20, 31)]
)
@pytest.mark.parametrize("resize", [256, 232, 225])
def test_geometry_of_the_published_weights(height: int, width: int, resize: int) -> None:
    image = noise(height, width)
    np.testing.assert_array_equal(
        Preprocessing(resize=resize).pixels(image),
        torchvision_pixels(image, resize, (224, 224), "bilinear"),
    )


@pytest.mark.parametrize("missing", [1, 2, 3, 5, 6, 7])
def test_a_crop_larger_than_the_image_is_padded_with_black_the_larger_half_after(
    missing: int,
) -> None:
    image = noise(10, 10)
    pixels = Preprocessing(resize=10, crop=(10 + missing, 10)).pixels(image)
    before = missing // 2
    assert not pixels[:before].any()
    np.testing.assert_array_equal(pixels[before : before + 10], np.asarray(image))
    assert not pixels[before + 10 :].any()


@pytest.mark.parametrize("interpolation", FILTERS)
def test_exact_resizes_both_sides_to_the_crop(interpolation: str) -> None:
    image = noise(21, 47)
    how = Preprocessing(resize=99, crop=(32, 24), interpolation=interpolation, resize_mode="exact")
    expected = np.asarray(image.resize((24, 32), FILTERS[interpolation]))
    np.testing.assert_array_equal(how.pixels(image), expected)


def test_an_array_is_taken_as_an_rgb_or_a_grey_image() -> None:
    image = noise(40, 50)
    how = Preprocessing(resize=32, crop=(30, 30))
    np.testing.assert_array_equal(how.pixels(np.asarray(image)), how.pixels(image))
    grey = np.asarray(image.convert("L"))
    np.testing.assert_array_equal(how.pixels(grey), how.pixels(image.convert("L")))


@pytest.mark.parametrize(
    "array",
    [
        np.zeros((8, 8, 3), np.float32),
        np.zeros((8, 8, 3), np.int64),
        np.zeros((3, 8, 8), np.uint8),
        np.zeros((1, 8, 8, 3), np.uint8),
        np.zeros((8, 8, 4), np.uint8),
        np.zeros((8,), np.uint8),
        np.zeros((0, 8, 3), np.uint8),
    ],
    ids=lambda array: f"{array.dtype}{list(array.shape)}",
)
def test_an_array_that_is_no_image_is_refused(array: np.ndarray) -> None:
    with pytest.raises(ImageError, match=r"UINT8 \[H,W,3\]"):
        Preprocessing().pixels(array)


@pytest.mark.parametrize("size", [(1, 60_000), (60_000, 1)])
def test_a_long_and_narrow_image_is_refused_before_it_is_enlarged(size: tuple[int, int]) -> None:
    with pytest.raises(ImageError, match=r"too long and narrow.*15,360,000"):
        Preprocessing().pixels(Image.new("RGB", size))


floats = st.floats(0.0625, 4, width=32)


@given(st.tuples(floats, floats, floats), st.tuples(floats, floats, floats), sides, sides)
def test_normalize_is_the_formula(
    mean: tuple[float, float, float], std: tuple[float, float, float], height: int, width: int
) -> None:
    pixels = np.asarray(noise(height, width))
    ours = Preprocessing(mean=mean, std=std).normalize(pixels)
    assert ours.shape == (3, height, width)
    assert ours.dtype == np.float32
    assert ours.flags.c_contiguous
    for channel in range(3):
        expected = (pixels[..., channel] / 255.0 - mean[channel]) / std[channel]
        np.testing.assert_allclose(ours[channel], expected, rtol=1e-5, atol=2e-7 / std[channel])


def test_normalize_keeps_leading_dimensions() -> None:
    how = Preprocessing()
    batch = np.stack([np.asarray(noise(5, 7, seed)) for seed in range(6)])
    singles = np.stack([how.normalize(pixels) for pixels in batch])
    np.testing.assert_array_equal(how.normalize(batch), singles)
    nested = batch.reshape(2, 3, 5, 7, 3)
    np.testing.assert_array_equal(how.normalize(nested), singles.reshape(2, 3, 3, 5, 7))


numbers = st.floats(-100, 100) | st.integers(-100, 100)
positive = st.floats(1e-3, 100) | st.integers(1, 100)
preprocessings = st.builds(
    Preprocessing,
    resize=st.integers(1, 8000),
    crop=st.tuples(st.integers(1, 8000), st.integers(1, 8000)),
    interpolation=st.sampled_from(sorted(FILTERS)),
    resize_mode=st.sampled_from(["shorter", "exact"]),
    mean=st.tuples(numbers, numbers, numbers),
    std=st.tuples(positive, positive, positive),
)


@given(preprocessings)
def test_json_round_trip(how: Preprocessing) -> None:
    assert Preprocessing.from_json(how.to_json()) == how
    assert Preprocessing.from_json(json.loads(how.to_json())) == how
    assert hash(Preprocessing.from_json(how.to_json())) == hash(how)


def test_missing_fields_are_the_defaults() -> None:
    assert Preprocessing.from_json("{}") == Preprocessing()
    assert Preprocessing.from_json({"resize": 232}) == Preprocessing(resize=232)


NONSENSE = {
    "interpolation": ["cubic", "", None, 2],
    "resize_mode": ["longer", None],
    "resize": [0, -1, 2.5, "256", None, True, 10**9],
    "crop": [[224], [224, 224, 3], [0, 1], [-3, 4], [1.5, 2], "ab", 224, None, [10**6, 10**6]],
    "mean": [[0.5], [1, 2, 3, 4], ["a", "b", "c"], [float("nan"), 0, 0], None, [1e999, 0, 0]],
    "std": [[0, 1, 1], [-1, 1, 1], [1, 1], [float("nan")] * 3, [float("inf")] * 3, "abc"],
    "colour": ["red"],
}


@pytest.mark.parametrize(
    ("field", "value"), [(field, value) for field, values in NONSENSE.items() for value in values]
)
def test_nonsense_is_refused_in_one_line(field: str, value: object) -> None:
    with pytest.raises(InputFileError) as caught:
        Preprocessing.from_json(json.dumps({field: value}))
    assert caught.value.where == "preprocessing"
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("text", ["", "null", "[]", "3", "{", "[" * 100_000, '"x"'])
def test_text_that_is_no_preprocessing_is_refused(text: str) -> None:
    with pytest.raises(InputFileError, match="not a preprocessing"):
        Preprocessing.from_json(text)


def test_it_is_a_value() -> None:
    with pytest.raises(dataclasses.FrozenInstanceError):
        Preprocessing().resize = 3  # type: ignore[misc]


def test_what_it_needs_is_python_3_10_syntax() -> None:
    """The image backend may run in a server whose Python is 3.10: this module, errors and pack."""
    package = Path(preprocessing.__file__).parent
    sources = [package / name for name in ("__init__.py", "errors.py", "preprocessing.py")]
    allowed = {"resnet_serve.errors", "resnet_serve.triton.server"}
    for path in sources:
        tree = ast.parse(path.read_text(encoding="utf-8"), feature_version=(3, 10))
        ours = {
            node.module
            for node in ast.walk(tree)
            if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("resnet_serve")
        }
        assert ours <= allowed, f"{path.name} needs more: {ours - allowed}"


def test_it_imports_on_python_3_10(tmp_path: Path) -> None:
    """With a real 3.10 where there is one; numpy and Pillow are stood in for by empty modules."""
    stand_ins = {
        "numpy/__init__.py": "float32 = uint8 = int64 = object",
        "numpy/typing.py": "class NDArray:\n    def __class_getitem__(cls, _): return cls",
        "PIL/__init__.py": "class UnidentifiedImageError(Exception): ...",
        "PIL/Image.py": (
            "from unittest.mock import MagicMock\nResampling = Transpose = MagicMock()\n"
            "class Image: ..."
        ),
    }
    for name, text in stand_ins.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text)
    program = (
        "import sys; sys.path[:0] = sys.argv[1:]; import resnet_serve.preprocessing as p; "
        "assert sys.version_info[:2] == (3, 10); print(p.Preprocessing().to_json())"
    )
    root = Path(preprocessing.__file__).parent.parent
    try:
        done = subprocess.run(
            ["python3.10", "-I", "-c", program, str(tmp_path), str(root)],
            capture_output=True,
            text=True,
            timeout=PATIENCE_S,
            check=False,
        )
    except FileNotFoundError:
        pytest.skip("no python3.10 here")
    if "command not found" in done.stderr:
        pytest.skip("python3.10 is only a version manager's stand-in here")
    assert done.returncode == 0, done.stderr
    assert Preprocessing.from_json(done.stdout) == Preprocessing()


def test_importing_it_needs_numpy_pillow_and_errors_only() -> None:
    program = (
        "import sys; import resnet_serve.preprocessing; "
        "print(*sorted(m for m in sys.modules if m.startswith('resnet_serve')))"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert done.stdout.split() == [
        "resnet_serve",
        "resnet_serve.errors",
        "resnet_serve.preprocessing",
    ]
