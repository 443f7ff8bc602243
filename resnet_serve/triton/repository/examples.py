"""Examples: a few encoded images in a version, with the reference's outputs for them.

`<version>/examples.npz` holds what a server can be asked without PyTorch and without the data set:
image files as a client would send them, and what the network in PyTorch makes of them after the
version's own preprocessing.
"""

from __future__ import annotations

import io
import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from resnet_serve.errors import InputFileError

if TYPE_CHECKING:  # a server is changed without what reads images
    from resnet_serve.datasets.encoded import Encoded

FILE_NAME = "examples.npz"


@dataclass(frozen=True)
class Examples:
    """`images` are encoded files, `expected` every output by name, FP32 [N,…].

    `labels` are the classes [N], where they are known; `source` is what the images are from.
    """

    source: str
    names: tuple[str, ...]
    images: tuple[bytes, ...]
    expected: Mapping[str, NDArray[np.float32]]
    labels: NDArray[np.int64] | None = None

    @classmethod
    def of(cls, encoded: Encoded, batches: Sequence[Mapping[str, NDArray[np.float32]]]) -> Examples:
        """Images, and the reference's outputs for them, batch by batch."""
        return cls(
            source=encoded.name,
            names=encoded.names,
            images=encoded.files,
            expected={
                name: np.concatenate([each[name] for each in batches]) for name in batches[0]
            },
            labels=encoded.labels,
        )

    def __len__(self) -> int:
        return len(self.images)

    def to_bytes(self) -> bytes:
        """The file."""
        arrays: dict[str, NDArray[Any]] = {
            "source": np.asarray(self.source),
            "names": np.asarray(self.names),
            "ends": np.cumsum([len(image) for image in self.images], dtype=np.int64),
            "images": np.frombuffer(b"".join(self.images), np.uint8),
            **{f"output {name}": values for name, values in self.expected.items()},
        }
        if self.labels is not None:
            arrays["labels"] = self.labels
        file = io.BytesIO()
        np.savez_compressed(file, **arrays)
        return file.getvalue()


def read(version: Path, outputs: Sequence[str]) -> Examples | None:
    """The examples of a version with these outputs; None where it keeps none.

    Raises `InputFileError` for a file that holds none.
    """
    path = version / FILE_NAME
    if not path.is_file():
        return None
    try:
        with np.load(path, allow_pickle=False) as file:
            ends, data = [int(end) for end in file["ends"]], file["images"].tobytes()
            found = Examples(
                source=str(file["source"]),
                names=tuple(map(str, file["names"])),
                images=tuple(data[start:end] for start, end in zip([0, *ends], ends, strict=False)),
                expected={name: file[f"output {name}"] for name in outputs},
                labels=file.get("labels"),
            )
    except (OSError, ValueError, LookupError, EOFError, zipfile.BadZipFile) as error:
        raise InputFileError(f"does not hold example images ({error})", where=path) from error
    if not 0 < len(found.images) == len(found.names) or any(
        len(values) != len(found) for values in found.expected.values()
    ):
        raise InputFileError("does not hold an output for each example image", where=path)
    return found
