"""The highest rate at which this CPU multiplies integers, and the limit that it sets a network.

python benchmarks/int8_peak.py --arch resnet50
"""

from __future__ import annotations

import argparse

from resnet_convert.folded import prepare
from resnet_convert.parity import peaks
from resnet_convert.parity.reference import Reference
from resnet_convert.request import Request
from resnet_convert.stage_log import Silent, StageLog
from resnet_serve import host, weights
from resnet_serve.architectures import find


def main() -> None:
    """Print the peak of this CPU, and the images per second that it allows."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--arch", default="resnet50")
    arch = parser.parse_args().arch
    loaded = weights.load("random", find(arch))
    request = Request(arch=arch)
    reference = Reference(loaded.network(), loaded, request.input, host.cores())
    folded = prepare(request, reference, StageLog(Silent()))
    macs = peaks.macs(folded.model)
    found = peaks.measure(threads=host.cores())
    print(f"{found.gops:.0f} GOP/s on {found.threads} threads ({found.by})")
    print(
        f"{arch}: {macs / 1e9:.3f} GMACs an image, at most {found.images_per_s(macs):.1f} images/s"
    )


if __name__ == "__main__":
    main()
