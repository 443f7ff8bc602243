"""PyTriton: pixels to logits, and JPEG files to the five best classes."""

import json
from typing import Any

import numpy as np
from network import BATCH, DELAY_S, PORT, SIDE, WORKERS, Network, best, labels, pixels_of
from pytriton.decorators import batch
from pytriton.model_config import DynamicBatcher, ModelConfig, Tensor
from pytriton.triton import Triton, TritonConfig

networks, names = [Network() for _ in range(WORKERS)], labels()


def _tensors(network: Network) -> Any:
    @batch
    def infer(image: Any) -> Any:
        return {"logits": network(image)}

    return infer


def _images(network: Network) -> Any:
    @batch
    def infer(image: Any) -> Any:
        logits = network(np.stack([pixels_of(row[0]) for row in image]))
        top = [json.dumps(best(row, names)).encode() for row in logits]
        return {"top": np.array(top, object)[:, None]}

    return infer


if __name__ == "__main__":
    batcher = DynamicBatcher(max_queue_delay_microseconds=int(1e6 * DELAY_S))
    config = ModelConfig(max_batch_size=BATCH, batcher=batcher)
    ports = TritonConfig(http_port=PORT, grpc_port=PORT + 1, metrics_port=PORT + 2)
    with Triton(config=ports) as triton:
        triton.bind(
            model_name="tensor",
            infer_func=[_tensors(network) for network in networks],
            inputs=[Tensor(name="image", dtype=np.uint8, shape=(SIDE, SIDE, 3))],
            outputs=[Tensor(name="logits", dtype=np.float32, shape=(-1,))],
            config=config,
        )
        triton.bind(
            model_name="jpeg",
            infer_func=[_images(network) for network in networks],
            inputs=[Tensor(name="image", dtype=bytes, shape=(1,))],
            outputs=[Tensor(name="top", dtype=bytes, shape=(1,))],
            config=config,
        )
        triton.serve()
