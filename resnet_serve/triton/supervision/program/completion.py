"""Whether Triton has to complete the configurations that it finds, which no converted model needs.

To complete one, Triton starts its backend in a process of its own, waits a second for it and ends
it, for every model and every time that it is loaded. Where all configurations of the repositories
are complete, the server is told to leave that out.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

from resnet_serve.triton.layout import CONFIG_FILE
from resnet_serve.triton.supervision.orders import options
from resnet_serve.triton.supervision.program import loaded
from resnet_serve.triton.supervision.servable import is_model

_OFF = "--disable-auto-complete-config"
# Nested fields are indented or in one line with what they are in; what is written otherwise counts
# as incomplete, and is completed as before.
_NEEDED = (
    # Other backends, as `python`, may complete what they like.
    r'^(backend|platform): *"(image|canary|ensemble|onnxruntime|onnxruntime_onnx|openvino)"',
    r"^input *[\[{:]",
    r"^output *[\[{:]",
)


def switched(command: Sequence[str]) -> list[str]:
    """The command, without completion where every model in its repositories has all it needs."""
    found = [
        path
        for repository in options(command).get("model-repository", [])
        for path in _configurations(Path(repository))
    ]
    if found and all(map(_complete, found)):
        return [*command, _OFF]
    return list(command)


def _configurations(repository: Path) -> list[Path]:
    """Where the configuration of each model is, or would be."""
    return [each / CONFIG_FILE for each in loaded.directories(repository) if is_model(each)]


def _complete(path: Path) -> bool:
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError):
        return False
    return all(re.search(each, text, re.MULTILINE) for each in _NEEDED)
