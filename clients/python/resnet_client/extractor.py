"""The extractor: images in, features or feature maps of a network without a classifier out.

with Extractor("127.0.0.1:8001", "resnet50_features") as extractor:
    embeddings = extractor.extract(["a.jpg", "b.jpg"])["features"]  # FP32 [2,2048]
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from resnet_client.contract import Decode
from resnet_client.errors import UsageError
from resnet_client.images import ImageLike, read_once
from resnet_client.served import VERSION_CHANGES, Served
from resnet_client.transport.channel import Tls
from resnet_client.transport.connection import Notice
from resnet_client.transport.deadlines import Deadline


class Extractor(Served):
    """A model without a classifier that the Triton at `url` (gRPC, host:port) serves as `model`.

    The options are those of a `Classifier`.
    """

    _classifies = False

    def __init__(
        self,
        url: str = "127.0.0.1:8001",
        model: str = "features",
        *,
        decode: Decode = "client",
        timeout_s: float = 30.0,
        version: str = "",
        tls: bool | Tls = False,
        headers: Mapping[str, str] | None = None,
        keep_alive_s: float | None = None,
        notice: Notice | None = None,
    ) -> None:
        super().__init__(
            url,
            model,
            decode=decode,
            timeout_s=timeout_s,
            version=version,
            tls=tls,
            headers=headers,
            keep_alive_s=keep_alive_s,
            notice=notice,
        )

    def extract(
        self, images: Sequence[ImageLike], deadline: Deadline | None = None
    ) -> dict[str, NDArray[np.float32]]:
        """Every output by name, FP32 [len(images),…], in the order of the images.

        Without a `deadline`, each request has the client's own time.
        Raises `BadImageError` for the first image that cannot be decoded, and the other errors
        of resnet_client.errors where a request fails.
        """
        if isinstance(images, (str, bytes)) or not len(images):
            raise UsageError("extract needs a sequence of images, at least one")
        images = [read_once(image) for image in images]
        for _ in range(VERSION_CHANGES):
            contract = self._contract(deadline or self.deadline())
            batch = np.stack([contract.prepare(image) for image in images])
            parts: list[dict[str, NDArray[np.float32]]] = []
            versions = set()
            for at in range(0, len(batch), contract.max_batch_size):
                version, found = self._connection.infer(
                    contract.model,
                    self._version,
                    input_name=contract.input,
                    batch=batch[at : at + contract.max_batch_size],
                    deadline=deadline,
                )
                versions.add(version)
                parts.append(found)
            if versions == {contract.version}:
                # An ensemble returns its outputs in any order.
                names = sorted(parts[0])
                return {name: np.concatenate([each[name] for each in parts]) for name in names}
            self._forget(contract)
        raise self._changing()
