"""`python -m resnet_serve.cli`: the same as `resnet-serve`."""

from __future__ import annotations

from resnet_serve.cli import main

if __name__ == "__main__":
    main()
