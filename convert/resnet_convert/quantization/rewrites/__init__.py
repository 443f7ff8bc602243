"""Rewrites of the folded graph before it is quantized, so that INT8 loses less.

| file | what it changes |
|---|---|
| `equalize` | channels between two convolutions, to one size; the network stays the same |
| `streams` | the same across blocks, of the channels that residual additions hold together |
| `bias_correction` | biases, against the mean error of each quantized layer |

`calibration_search` tries them and keeps what is better on held-out images.
"""
