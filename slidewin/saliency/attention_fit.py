"""Gated attention over the windows of a photo: the pooling, and its training."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from sklearn.metrics import roc_auc_score
from sklearn.model_selection import train_test_split
from torch import nn
from torch.nn.functional import binary_cross_entropy_with_logits
from torch.nn.utils import skip_init
from tqdm import tqdm

from slidewin.errors import ArgumentError
from slidewin.workers import cap_threads, thread_counts_kept

__all__ = ["GatedAttention", "Pooled", "check_labels", "fit_attention"]

_LEARNING_RATE = 1e-3
_WEIGHT_DECAY = 1e-2
_PATIENCE = 10
# Of the loss held out: what is told apart already need not be so ever more surely.
_LEAST_GAIN = 0.005


class Pooled(NamedTuple):
    """A photo, pooled.

    Attributes
    ----------
    logit : Tensor of shape ()
        Of the photo's label being 1.
    scores : Tensor of shape (n,)
        Of its windows, before the softmax that makes attention of them.
    """

    logit: torch.Tensor
    scores: torch.Tensor


class GatedAttention(nn.Module):
    """Attention ``a = softmax(w . (tanh(V x) * sigmoid(U x)))``, and ``c . sum(a x) + b`` of it.

    Parameters
    ----------
    n_features : int
        Length of an instance ``x``.
    hidden : int
        Rows of V and U.
    generator : torch.Generator, optional
        Draws the weights; without it they are left to be loaded.
    """

    def __init__(
        self, n_features: int, hidden: int, generator: torch.Generator | None = None
    ) -> None:
        super().__init__()
        self.content = skip_init(nn.Linear, n_features, hidden)  # type: ignore[no-untyped-call]
        self.gate = skip_init(nn.Linear, n_features, hidden)  # type: ignore[no-untyped-call]
        self.score = skip_init(nn.Linear, hidden, 1, bias=False)  # type: ignore[no-untyped-call]
        self.decision = skip_init(nn.Linear, n_features, 1)  # type: ignore[no-untyped-call]
        self.mean = nn.Buffer(torch.zeros(n_features))
        self.scale = nn.Buffer(torch.ones(n_features))
        self.log_mean = nn.Buffer(torch.zeros(()))  # of exp(score) over the training windows
        if generator is not None:
            with torch.no_grad():
                for name, weight in self.named_parameters():
                    bound = weight.shape[-1] ** -0.5 if name.endswith("weight") else 0.0
                    weight.uniform_(-bound, bound, generator=generator)

    def forward(self, instances: torch.Tensor) -> Pooled:
        """Pool a photo's instances (n, d), in any order."""
        x = (instances - self.mean) / self.scale
        scores = self.score(torch.tanh(self.content(x)) * torch.sigmoid(self.gate(x)))[:, 0]
        return Pooled(self.decision(torch.softmax(scores, 0) @ x)[0], scores)


def check_labels(labels: ArrayLike) -> NDArray[np.int64]:
    """Labels as 0 and 1, two photos of each at least.

    Raises
    ------
    ArgumentError
        If they are not.
    """
    found = np.asarray(labels)
    if found.ndim != 1 or found.dtype.kind not in "biuf" or not np.isin(found, (0, 1)).all():
        raise ArgumentError(
            "labels: one number for each photo is needed, 1 where it shows the target and 0 where "
            f"it does not; found {found.dtype} of shape {found.shape}"
        )
    truth = found.astype(np.int64)
    ones = int(truth.sum())
    if min(ones, len(truth) - ones) < 2:
        raise ArgumentError(
            f"labels: found {ones} photos with the target and {len(truth) - ones} without; at "
            "least two of each are needed, since attention is learned from what tells them apart"
        )
    return truth


def fit_attention(
    bags: Sequence[NDArray[np.float32]],
    labels: NDArray[np.int64],
    *,
    hidden: int,
    epochs: int,
    validation: float,
    rng: np.random.Generator,
    verbose: bool = False,
) -> tuple[GatedAttention, dict[str, Any]]:
    """Fit gated attention to photos and their labels, on one core.

    Parameters
    ----------
    bags : sequence of ndarray of shape (n_i, d), float32
        The instances of each photo.
    labels : ndarray of shape (photos,), int64
        0 or 1, two of each at least.
    hidden, epochs : int
    validation : float
        Share of photos that say when to stop, one of each label at least, and one of each is left;
        with 0 it ends with the last epoch.
    rng : numpy.random.Generator
        Chooses the validation photos, and seeds the rest; no other random state is touched.
    verbose : bool

    Returns
    -------
    GatedAttention
        As it was after the last epoch that lessened the validation photos' loss by 0.005 or more.
    dict
        What is known of the training.
    """
    seen, held = _parted(labels, validation, rng)
    generator = torch.Generator().manual_seed(int(rng.integers(2**62)))
    with thread_counts_kept(), torch.enable_grad(), torch.inference_mode(False):
        cap_threads(1)  # a sum's rounding varies with the number of threads
        x = [torch.from_numpy(bag) for bag in bags]
        y = torch.from_numpy(labels).float()
        model = GatedAttention(x[0].shape[1], hidden, generator)
        _standardise(model, [x[i] for i in seen])
        optimiser = torch.optim.AdamW(
            model.parameters(), lr=_LEARNING_RATE, weight_decay=_WEIGHT_DECAY
        )
        best: tuple[float, int, dict[str, torch.Tensor]] | None = None
        epoch = loss = 0.0
        for epoch in tqdm(range(1, epochs + 1), desc="attention", disable=not verbose):
            loss = 0.0
            for i in torch.randperm(len(seen), generator=generator).tolist():
                photo = seen[i]
                wrong = binary_cross_entropy_with_logits(model(x[photo]).logit, y[photo])
                optimiser.zero_grad()
                wrong.backward()  # type: ignore[no-untyped-call]
                optimiser.step()
                loss += wrong.item() / len(seen)
            if len(held):
                logits = _logits(model, [x[i] for i in held])
                held_loss = float(binary_cross_entropy_with_logits(logits, y[held]))
                if best is None or held_loss < best[0] - _LEAST_GAIN:
                    best = held_loss, epoch, {k: v.clone() for k, v in model.state_dict().items()}
                if epoch - best[1] >= _PATIENCE:
                    break
        record: dict[str, Any] = {
            "photos": len(seen),
            "of_them_labelled_1": int(labels[seen].sum()),
            "epochs": epoch,
            "loss": loss,
        }
        if best is not None:
            model.load_state_dict(best[2])
            auc = float(roc_auc_score(labels[held], _logits(model, [x[i] for i in held])))
            record["validation"] = {
                "photos": len(held),
                "best_epoch": best[1],
                "loss": best[0],
                "auc": auc,
            }
        with torch.no_grad():
            scores = torch.cat([model(x[i]).scores for i in seen]).double()
            model.log_mean.copy_(scores.logsumexp(0) - np.log(len(scores)))
    return model.eval().requires_grad_(False), record


def _parted(
    labels: NDArray[np.int64], validation: float, rng: np.random.Generator
) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Photos to fit, and photos that say when to stop: each label on both sides, if any are held.

    A loss over one label alone would stop where every photo is given that label.
    """
    every = np.arange(len(labels))
    if not validation:
        return every, every[:0]
    seed = int(rng.integers(2**31))
    n = min(max(2, round(validation * len(labels))), len(labels) - 2)
    seen, held = train_test_split(every, test_size=n, stratify=labels, random_state=seed)
    order, is_held = np.concatenate([seen, held]), every >= len(seen)
    for label in (0, 1):
        of_label = np.flatnonzero(labels[order] == label)
        # Shares of few photos are rounded: where all fell on one side, one changes over.
        if is_held[of_label].all() or not is_held[of_label].any():
            is_held[of_label[0]] ^= True
    return order[~is_held], order[is_held]


def _standardise(model: GatedAttention, bags: Sequence[torch.Tensor]) -> None:
    """Let every feature of the training windows have mean 0 and variance 1."""
    n = sum(len(bag) for bag in bags)
    mean = torch.stack([bag.double().sum(0) for bag in bags]).sum(0) / n
    spread = torch.stack([((bag - mean) ** 2).sum(0) for bag in bags]).sum(0) / n
    model.mean.copy_(mean)
    # A feature that never varies says nothing, and divides by nothing.
    model.scale.copy_(torch.where(spread > 1e-12, spread, 1.0).sqrt())


def _logits(model: GatedAttention, bags: Sequence[torch.Tensor]) -> torch.Tensor:
    with torch.no_grad():
        return torch.stack([model(bag).logit for bag in bags])
