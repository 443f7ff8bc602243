"""Transforms: how other libraries record the preprocessing of weights, read as `Preprocessing`.

`image_processors` is transformers'. Every field has an effect or is refused.
"""
