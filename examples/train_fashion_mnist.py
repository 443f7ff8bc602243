"""Train a network on Fashion-MNIST, grey photographs of clothes of 28 × 28 pixels.

The 10,000 held-out images are not used for training; the accuracy on them is written to the
checkpoint. The defaults train the ResNet-20 that this repository ships, in about 20 minutes of one
core. The data set is Debian's package `dataset-fashion-mnist`; `--data` is another folder with its
four files.

    python examples/train_fashion_mnist.py --output fashion-mnist-resnet20.safetensors
"""

from __future__ import annotations

import argparse
import datetime
import time
from pathlib import Path

import torch
from training import OPTIMIZER, accuracy, fit

from resnet_serve import weights
from resnet_serve.architectures import build, find
from resnet_serve.datasets.fashion_mnist import DEBIAN_FOLDER, SIDE, FashionMnist
from resnet_serve.preprocessing import Preprocessing

MEAN, STD = (0.286,), (0.353,)  # of the training images
PREPROCESSING = Preprocessing(
    resize=SIDE, crop=(SIDE, SIDE), resize_mode="exact", mean=MEAN, std=STD
)


def tensors(images: FashionMnist) -> tuple[torch.Tensor, torch.Tensor]:
    """Normalised images [N,1,28,28] FP32, channels last in memory, and labels [N]."""
    planes = PREPROCESSING.normalize(images.greys[..., None])
    return (
        torch.from_numpy(planes).to(memory_format=torch.channels_last),
        torch.from_numpy(images.labels),
    )


def flipped(batch: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
    """Mirror each image left to right, or not, with equal chance."""
    mirrored = torch.rand(len(batch), 1, 1, 1, generator=generator) < 0.5
    return torch.where(mirrored, batch.flip(-1), batch)


def main() -> None:
    """Train, report an epoch a line, and save the checkpoint with its training record."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--arch", default="resnet20")
    parser.add_argument("--data", type=Path, default=DEBIAN_FOLDER, help="folder of its four files")
    parser.add_argument("--epochs", type=int, default=5)
    parser.add_argument("--batch-size", type=int, default=128)
    parser.add_argument("--seed", type=int, default=2017)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--output", type=Path, required=True)
    options = parser.parse_args()

    torch.set_num_threads(options.threads)
    torch.manual_seed(options.seed)
    generator = torch.Generator().manual_seed(options.seed)
    part = FashionMnist(held_out=False, folder=options.data)
    held_out = FashionMnist(held_out=True, folder=options.data)
    images, labels = tensors(part)
    architecture = find(options.arch).with_channels(1).with_classes(len(FashionMnist.LABELS))
    network = build(architecture).train()
    network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    started = time.perf_counter()
    fit(
        network,
        (images for _ in range(options.epochs)),
        labels,
        count=options.epochs,
        batch_size=options.batch_size,
        generator=generator,
        augment=flipped,
    )
    seconds = time.perf_counter() - started
    record = {
        "dataset": "Fashion-MNIST (arXiv:1708.07747), 28×28 greys",
        "trained_on": len(images),
        "held_out": len(held_out),
        "held_out_accuracy": accuracy(network, *tensors(held_out)),
        "epochs": options.epochs,
        "batch_size": options.batch_size,
        "seed": options.seed,
        "augmentation": "mirrored left to right",
        "optimizer": OPTIMIZER,
        "torch": torch.__version__,
        "date": datetime.date.today().isoformat(),
        "seconds": round(seconds),
        "threads": options.threads,
        "command": f"python examples/train_fashion_mnist.py --arch {options.arch} --epochs "
        f"{options.epochs} --batch-size {options.batch_size} --seed {options.seed} --threads "
        f"{options.threads}",
    }
    print(f"held-out accuracy {record['held_out_accuracy']:.4f}, {seconds:.0f} s")
    weights.save(
        options.output,
        weights.Weights(
            architecture=architecture,
            state={name: tensor.contiguous() for name, tensor in network.state_dict().items()},
            preprocessing=PREPROCESSING,
            labels=FashionMnist.LABELS,
            source=held_out.name,
            sha256="",
            trained=True,
            training=record,
        ),
    )


if __name__ == "__main__":
    main()
