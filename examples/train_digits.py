"""Train a network on handwritten digits, under random shifts; `training.py` is how.

The 500 held-out digits are not used for training; the accuracy on them is written to the
checkpoint. The defaults train the ResNet-20 that this repository ships; `--hard` adds noise and a
covered patch, drawn again every epoch.

    python examples/train_digits.py --output digits-resnet20.safetensors
    python examples/train_digits.py --arch resnet18 --size 64 --hard --output hard.safetensors
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path

import numpy as np
import torch
from torch import nn
from training import OPTIMIZER, accuracy, fit

from resnet_serve import weights
from resnet_serve.architectures import build, find
from resnet_serve.datasets import pixel_batches
from resnet_serve.datasets.digits import Digits, HardDigits
from resnet_serve.preprocessing import Preprocessing

MEAN, STD = (0.3, 0.3, 0.3), (0.35, 0.35, 0.35)
LARGEST_SHIFT = 3 / 32  # of the side


def tensors(images: Digits, preprocessing: Preprocessing) -> tuple[torch.Tensor, torch.Tensor]:
    """Normalised images [N,3,H,W] FP32, and labels [N]."""
    pixels = np.concatenate(list(pixel_batches(images, preprocessing, 256)))
    return torch.from_numpy(preprocessing.normalize(pixels)), torch.tensor(images.labels)


def shifted(batch: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
    """Shift each image by up to LARGEST_SHIFT; the border repeats."""
    size = batch.shape[-1]
    most = round(LARGEST_SHIFT * size)
    padded = nn.functional.pad(batch, (most,) * 4, mode="replicate")
    offsets = torch.randint(0, 2 * most + 1, (len(batch), 2), generator=generator).tolist()
    return torch.stack(
        [
            image[:, y : y + size, x : x + size]
            for image, (y, x) in zip(padded, offsets, strict=True)
        ]
    )


def main() -> None:
    """Train, report an epoch a line, and save the checkpoint with its training record."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--arch", default="resnet20")
    parser.add_argument("--epochs", type=int, default=40)
    parser.add_argument("--batch-size", type=int, default=64)
    parser.add_argument("--seed", type=int, default=2016)
    parser.add_argument("--size", type=int, default=32, help="side of the images, in pixels")
    parser.add_argument("--hard", action="store_true", help="noise, and a covered patch")
    parser.add_argument("--output", type=Path, required=True)
    options = parser.parse_args()

    torch.manual_seed(options.seed)
    generator = torch.Generator().manual_seed(options.seed)
    size = options.size
    preprocessing = Preprocessing(
        resize=size, crop=(size, size), resize_mode="exact", mean=MEAN, std=STD
    )
    architecture = find(options.arch).with_classes(len(Digits.LABELS))
    network = build(architecture).train()
    kind = HardDigits if options.hard else Digits
    images, labels = tensors(kind(held_out=False), preprocessing)
    held_out, held_out_labels = tensors(kind(held_out=True), preprocessing)
    epochs = (images for _ in range(options.epochs))
    if options.hard:
        draws = (HardDigits(held_out=False, draw=epoch) for epoch in range(options.epochs))
        epochs = (tensors(draw, preprocessing)[0] for draw in draws)
    started = time.perf_counter()
    fit(
        network,
        epochs,
        labels,
        count=options.epochs,
        batch_size=options.batch_size,
        generator=generator,
        augment=shifted,
    )
    seconds = time.perf_counter() - started
    record = {
        "dataset": "scikit-learn handwritten digits (UCI, test part), 8×8 greys"
        + (", under noise and a covered patch" if options.hard else ""),
        "trained_on": len(images),
        "held_out": len(held_out),
        "held_out_accuracy": accuracy(network, held_out, held_out_labels),
        "epochs": options.epochs,
        "batch_size": options.batch_size,
        "seed": options.seed,
        "optimizer": OPTIMIZER,
        "torch": torch.__version__,
        "command": f"python examples/train_digits.py --arch {options.arch} "
        f"--epochs {options.epochs} --seed {options.seed} --size {size}"
        + (" --hard" if options.hard else ""),
    }
    print(f"held-out accuracy {record['held_out_accuracy']:.4f}, {seconds:.0f} s")
    weights.save(
        options.output,
        weights.Weights(
            architecture=architecture,
            state=network.state_dict(),
            preprocessing=preprocessing,
            labels=Digits.LABELS,
            source=kind(held_out=True).name,
            sha256="",
            trained=True,
            training=record,
        ),
    )


if __name__ == "__main__":
    main()
