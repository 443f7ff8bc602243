"""`resnet-classify IMAGE…`: results on stdout, messages on stderr; `command.program` does the work.

Exit codes: 0 done · 1 unexpected · 2 usage or unknown model · 4 no server · 5 a bad image ·
130 interrupted.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command and return its exit code."""
    # gRPC would write a line of its own for a handshake that fails; it reads this when imported.
    os.environ.setdefault("GRPC_VERBOSITY", "ERROR")
    try:
        from resnet_client.command.program import run
    except KeyboardInterrupt:
        sys.stderr.write("error: interrupted\n")
        return 130
    return run(arguments)


if __name__ == "__main__":
    sys.exit(main())
