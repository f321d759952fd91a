"""Fitting the default network to windows."""

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

if TYPE_CHECKING:
    import torch
    from torch import nn

__all__ = ["MEAN", "STD", "fit_network"]

MEAN, STD = 0.5, 0.25
_BATCH = 256
_WEIGHT_DECAY = 0.05


def fit_network(
    network: "nn.Sequential",
    patches: NDArray[np.uint8],
    labels: NDArray[np.int64],
    *,
    epochs: int,
    learning_rate: float,
    seed: int,
    verbose: bool = False,
) -> float:
    """Fit a network to windows, going on from where it is.

    In bfloat16 on processors that have it, which is twice as quick and as good here.

    Parameters
    ----------
    network : torch.nn.Sequential
        It is trained in place, and left in evaluation mode.
    patches : ndarray of shape (n, S, S, 3), uint8
    labels : ndarray of shape (n,), int64
    epochs : int
        Times that each window is seen, turned and mirrored anew.
    learning_rate : float
        At its highest: it rises over the first third and falls to nothing.
    seed : int
        Of the order, the turning and the dropout; the caller's random state is left as it was.
    verbose : bool

    Returns
    -------
    float
        Mean loss over the last epoch.
    """
    import torch
    from torch.nn.functional import cross_entropy

    from slidewin.classifier.lattice import half_precision

    half = half_precision(torch.device("cpu"))
    x, y = torch.from_numpy(patches), torch.from_numpy(labels)
    batch_size = min(_BATCH, len(y))
    losses: list[float] = []
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(seed)
        network.train().to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        optimiser = torch.optim.AdamW(
            network.parameters(), lr=learning_rate, weight_decay=_WEIGHT_DECAY
        )
        per_epoch = len(y) // batch_size
        schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, learning_rate, epochs * per_epoch)
        with tqdm(total=epochs * per_epoch, desc="fitting", disable=not verbose) as bar:
            for _ in range(epochs):
                order = torch.randperm(len(y))[: per_epoch * batch_size]
                losses = []
                for batch in order.view(-1, batch_size):
                    inputs = (_turned(x[batch]).permute(0, 3, 1, 2) / 255 - MEAN) / STD
                    with torch.autocast("cpu", half, enabled=half is not None):
                        logits = network(inputs)
                    loss = cross_entropy(logits.float(), y[batch])
                    optimiser.zero_grad()
                    loss.backward()  # type: ignore[no-untyped-call]
                    optimiser.step()
                    schedule.step()
                    losses.append(loss.item())
                    bar.update()
                    if bar.n % 20 == 0:
                        bar.set_postfix(loss=f"{np.mean(losses[-100:]):.3f}")
    network.eval().to(memory_format=torch.contiguous_format)  # type: ignore[call-overload]
    return float(np.mean(losses))


def _turned(batch: "torch.Tensor") -> "torch.Tensor":
    """One of the eight ways to lay a square, the same for a whole batch."""
    import torch

    ways = torch.randint(2, (3,)).tolist()
    for axes, way in zip(((1,), (2,)), ways[:2], strict=True):
        batch = batch.flip(axes) if way else batch
    return batch.transpose(1, 2) if ways[2] else batch
