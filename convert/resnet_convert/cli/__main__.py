"""`python -m resnet_convert.cli`: the same as `resnet-convert`."""

from __future__ import annotations

from resnet_convert.cli import main

if __name__ == "__main__":
    main()
