"""What the training scripts share: He et al. 2016, section 4.2, in small.

SGD with Nesterov momentum 0.9, weight decay 1e-4 on convolutions and classifier, one cycle of the
learning rate to 0.1, label smoothing 0.05.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

import torch
from torch import nn

OPTIMIZER = "SGD, Nesterov momentum 0.9, weight decay 1e-4, one cycle to 0.1"
Augment = Callable[[torch.Tensor, torch.Generator], torch.Tensor]


def fit(
    network: nn.Module,
    epochs: Iterable[torch.Tensor],
    labels: torch.Tensor,
    *,
    count: int,
    batch_size: int,
    generator: torch.Generator,
    augment: Augment,
) -> None:
    """Train for `count` epochs, a line each, on the images [N,C,H,W] that `epochs` gives for each.

    `generator` shuffles; `augment` draws from it for each batch. A last, smaller batch is left out.
    """
    decayed = [p for p in network.parameters() if p.ndim > 1]
    plain = [p for p in network.parameters() if p.ndim <= 1]
    optimizer = torch.optim.SGD(
        [{"params": decayed, "weight_decay": 1e-4}, {"params": plain, "weight_decay": 0.0}],
        lr=0.1,
        momentum=0.9,
        nesterov=True,
    )
    steps = count * (len(labels) // batch_size)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 0.1, total_steps=steps)
    for epoch, images in enumerate(epochs, 1):
        order = torch.randperm(len(images), generator=generator)
        total = 0.0
        whole_batches = order[: len(order) // batch_size * batch_size]
        for part in torch.split(whole_batches, batch_size):
            loss = nn.functional.cross_entropy(
                network(augment(images[part], generator)), labels[part], label_smoothing=0.05
            )
            optimizer.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]  # torch leaves it untyped
            optimizer.step()
            schedule.step()
            total += loss.item() * len(part)
        print(f"epoch {epoch:3d}/{count}  loss {total / len(images):.4f}", flush=True)
    network.eval()


@torch.no_grad()
def accuracy(network: nn.Module, images: torch.Tensor, labels: torch.Tensor) -> float:
    """The share of right decisions, between 0 and 1."""
    decisions = torch.cat([network(part).argmax(1) for part in torch.split(images, 250)])
    return (decisions == labels).double().mean().item()
