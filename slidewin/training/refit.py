"""The last step of a network's training: its head is asked once more which lesion it is.

A network of several kinds of lesion learns above all what is a lesion. What tells one kind from
another is in its last features too, but the head has not learned to use it all. So, everything
below it being kept, the head is fitted again by logistic regression.

Only the differences between the logits of lesions change. The logit of the background and the mean
of the lesions' logits stay what they are in every window, and with them nearly all that tells a
lesion from the background.

Half of what it is fitted to are windows as they are drawn for training. The other half are
close-ups of every lesion in its own picture, mirrored at the border. There padding alone would tell
melanomas, which fill more of their pictures: so all classes weigh the same within each stratum of
padding, and a stratum that lacks a class weighs nothing. Little is left for padding to tell, but
not nothing, so the record has the figures with padding balanced beside those as they come.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray
from scipy.special import logsumexp
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score
from sklearn.model_selection import StratifiedKFold
from sklearn.preprocessing import StandardScaler

from slidewin.classifier.module import ModuleClassifier
from slidewin.training.learner import Trained
from slidewin.training.padding import share_outside
from slidewin.training.source import Lesion
from slidewin.training.windows import WindowSource

if TYPE_CHECKING:
    from torch import nn

__all__ = ["refit_head"]

Floats = NDArray[np.floating[Any]]
Labels = NDArray[np.int64]

_SIZES = (1.0, 0.65, 1.6)  # of a lesion in its close-up, relative to the nominal one
_STRATA = 5  # of close-ups with padding, equally many in each; those without are one more
_STRENGTHS = (1e-4, 1e-3, 1e-2, 1e-1)  # inverse strengths of regularisation
_PARTS = 5
_BATCH = 256


class _Ends(NamedTuple):
    """A network without its pooling: what gives a window's features, and what their logits."""

    body: "nn.Module"
    head: "nn.Conv2d"


class _Shown(NamedTuple):
    """Windows on lesions, as the network's head sees them."""

    features: Floats  # (n, d), means over the window
    logits: Floats  # (n, k) of the classes of lesions
    labels: Labels  # (n,) of these classes, from 0
    padding: Floats  # (n,), share outside the picture; NaN in windows as drawn for training
    parts: Labels  # (n,), number of the part of the lesions

    @property
    def is_close_up(self) -> NDArray[np.bool_]:
        return ~np.isnan(self.padding)


def refit_head(
    classifier: Trained,
    sources: Mapping[str, WindowSource],
    *,
    n_windows: int,
    random_state: int = 0,
) -> dict[str, Any]:
    """Fit anew what in a network's head tells the classes of lesions from one another.

    The lesions to learn from are dealt into five parts; of four strengths of regularisation the
    strongest is taken whose log loss on each part, by a fit to the others, is on average within a
    standard error of the least. Validation lesions have one say: a fit that tells them no better in
    close-ups, padding balanced, is not kept.

    Parameters
    ----------
    classifier : ModuleClassifier or EstimatorClassifier
        A network that ends in a convolution as large as its features, as
        :func:`slidewin.network.window_network` does; it is changed in place and must be calibrated
        afterwards. Any other classifier, and one of a single class of lesions, is left as it is.
    sources : mapping of str to WindowSource
        ``"train"`` and ``"val"``.
    n_windows : int
        Windows drawn from each source, of which those on a lesion count; 12 kB of memory each.
    random_state : int
        Seed of the parts and of the windows.

    Returns
    -------
    dict
        ``done``, and ``why`` not. If it came to a fit: the ``windows`` on lesions and the inverse
        ``strength`` of regularisation; and, ``before`` and ``after``, figures of each class against
        the other lesions of the validation split (of two classes, of the second): ROC AUC in
        close-ups at the nominal size, the same with padding balanced, and in windows as drawn; and
        the mean correlation of padding with the logit within a class.

    Notes
    -----
    Of any number of classes only the differences change. The new ones are of the features' means
    over the window: where in the window a feature lies tells no more which lesion it is.

    References
    ----------
    B. Kang et al.: Decoupling Representation and Classifier for Long-Tailed Recognition, 2020,
    https://arxiv.org/abs/1910.09217 (which fits a head again, classes balanced). L. Breiman et
    al.: Classification and Regression Trees, 1984 (the rule of one standard error).
    """
    import torch

    if not isinstance(classifier, ModuleClassifier):
        return {"done": False, "why": "the classifier is no network"}
    if (ends := _ends(classifier)) is None:
        why = "the network does not end in a convolution as large as its last features"
        return {"done": False, "why": why}
    counts = np.bincount([x.label for x in sources["train"].lesions])[1:]
    n_parts = min(_PARTS, *counts) if len(counts) > 1 else 0
    if n_parts < 2:
        why = "two classes of lesions, of two lesions each, are needed"
        return {"done": False, "why": why}
    of_class = [lesion.label for lesion in sources["train"].lesions]
    folds = StratifiedKFold(n_parts, shuffle=True, random_state=random_state)
    parts = [part for _, part in folds.split(of_class, of_class)]
    shown = _show(classifier, ends, sources["train"], parts, _SIZES, n_windows, (random_state, 2))
    weights = _weights(shown)
    if not weights[shown.is_close_up].any():
        return {"done": False, "why": "in no stratum of padding are there lesions of every class"}
    strength = _choose_strength(shown, weights)
    weight, bias = _fit(shown, weights, strength)
    everyone = np.arange(len(sources["val"].lesions))
    seen = _show(classifier, ends, sources["val"], [everyone], (1.0,), n_windows, (random_state, 3))
    names = [str(name) for name in classifier.classes_[1:]]
    before = _figures(seen, names)
    after = _figures(seen._replace(logits=seen.features @ weight.T + bias), names)
    record = {"windows": len(weights), "strength": strength, "before": before, "after": after}
    if _told(after) <= _told(before):
        return {"done": False, "why": "it tells validation lesions no better", **record}
    kept = ends.head.state_dict()  # shares its memory
    with torch.no_grad():
        # Each place in the window has an equal part in the mean over it.
        spread = torch.tensor(weight / np.prod(ends.head.kernel_size))[:, :, None, None]
        kept["weight"][1:] = kept["weight"][1:].mean(0, keepdim=True) + spread
        kept["bias"][1:] = kept["bias"][1:].mean() + torch.tensor(bias)
    return {"done": True, **record}


def _ends(classifier: ModuleClassifier) -> "_Ends | None":
    """Take a network apart, if it has such ends."""
    import torch
    from torch import nn

    module, side = classifier.module, classifier.input_size
    if not isinstance(module, nn.Sequential) or len(module) < 4 or not classifier.logits:
        return None
    head, pooling, flatten = list(module)[-3:]
    if (
        not isinstance(head, nn.Conv2d)
        or not isinstance(pooling, nn.AdaptiveAvgPool2d)
        or not isinstance(flatten, nn.Flatten)
        or head.out_channels != len(classifier.classes_)
        or head.groups != 1
        or head.bias is None
    ):
        return None
    body = module[:-3]
    with classifier.borrowed(), torch.no_grad():
        maps = body(classifier.to_input(np.zeros((1, side, side, 3), np.uint8)))
        whole = maps.ndim == 4 and maps.shape[2:] == head.kernel_size
        return _Ends(body, head) if whole and head(maps).shape[2:] == (1, 1) else None


def _show(
    classifier: ModuleClassifier,
    ends: "_Ends",
    source: WindowSource,
    parts: Sequence[NDArray[np.intp]],
    sizes: Sequence[float],
    n_windows: int,
    seed: tuple[int, int],
) -> _Shown:
    """Show the network close-ups of each part of the lesions, and windows drawn from that part."""
    shown: list[_Shown] = []
    for number, part in enumerate(parts):
        lesions = [source.lesions[i] for i in part]
        labels = np.array([lesion.label - 1 for lesion in lesions])
        for size in sizes:
            sides = [source.context * lesion.diameter / size for lesion in lesions]
            cut = [_cut(*pair, source.input_size) for pair in zip(lesions, sides, strict=True)]
            seen = [_see(classifier, ends, turned) for turned in _turns(np.stack(cut))]
            features, logits = (np.mean(values, axis=0) for values in zip(*seen, strict=True))
            padding = [share_outside(x, side / 2) for x, side in zip(lesions, sides, strict=True)]
            close_ups = features, logits, labels, np.array(padding), np.full(len(part), number)
            shown.append(_Shown(*close_ups))
        rng = np.random.default_rng((*seed, number))
        patches, columns = replace(source, lesions=lesions).draw(-(-n_windows // len(parts)), rng)
        on = columns > 0
        n = np.count_nonzero(on)
        windows = _see(classifier, ends, patches[on])
        shown.append(_Shown(*windows, columns[on] - 1, np.full(n, np.nan), np.full(n, number)))
    return _Shown(*map(np.concatenate, zip(*shown, strict=True)))


def _cut(lesion: Lesion, side: float, input_size: int) -> NDArray[np.uint8]:
    """A window about the middle of a lesion, mirrored at the picture's border."""
    start = np.round(np.argwhere(lesion.mask).mean(axis=0) + 0.5 - side / 2).astype(int)
    before, after = np.maximum(-start, 0), np.maximum(start + round(side) - lesion.mask.shape, 0)
    top, left = np.maximum(start, 0)
    inside = lesion.image[top : start[0] + round(side), left : start[1] + round(side)]
    whole = cv2.copyMakeBorder(
        inside, before[0], after[0], before[1], after[1], cv2.BORDER_REFLECT_101
    )
    way = cv2.INTER_AREA if side > input_size else cv2.INTER_LINEAR
    return np.asarray(cv2.resize(whole, (input_size, input_size), interpolation=way), np.uint8)


def _turns(patches: NDArray[np.uint8]) -> list[NDArray[np.uint8]]:
    """Four of the eight ways to lay a square: every side is at the top once."""
    upright, lying = patches, patches.transpose(0, 2, 1, 3)
    return [upright, upright[:, ::-1], lying, lying[:, ::-1]]


def _see(
    classifier: ModuleClassifier,
    ends: "_Ends",
    patches: NDArray[np.uint8],
) -> tuple[Floats, Floats]:
    """Features (n, d), means over the window, and logits (n, k) of the classes of lesions."""
    import torch

    body, head = ends
    features = [np.empty((0, head.in_channels))]
    logits = [np.empty((0, head.out_channels - 1))]
    with classifier.borrowed(), torch.no_grad():
        for start in range(0, len(patches), _BATCH):
            inputs = classifier.to_input(patches[start : start + _BATCH])
            maps = body(inputs)
            features.append(maps.mean((2, 3)).double().numpy())
            logits.append(head(maps)[:, 1:, 0, 0].double().numpy())
    return np.concatenate(features), np.concatenate(logits)


def _weights(shown: _Shown) -> Floats:
    """Close-ups, padding balanced, have half the weight; windows as drawn the other half."""
    close = shown.is_close_up
    weights = np.where(close, 0.0, 1 / max(int((~close).sum()), 1))
    balanced = _balanced(shown.labels[close], shown.padding[close])
    weights[close] = balanced / max(balanced.sum(), 1e-12)
    # In all as much as there are lesions, which are what the strength of regularisation is held to.
    return np.asarray(weights * np.count_nonzero(close) / len(_SIZES) / weights.sum())


def _balanced(labels: Labels, padding: Floats) -> Floats:
    """Weights (n,) that are equal for all classes within each stratum of padding."""
    strata = np.zeros(len(padding), int)
    if (padded := padding > 0).any():
        edges = np.quantile(padding[padded], np.arange(1, _STRATA) / _STRATA)
        strata[padded] = 1 + np.digitize(padding[padded], edges)
    weights = np.zeros(len(labels))
    classes = np.unique(labels)
    for stratum in np.unique(strata):
        inside = [(strata == stratum) & (labels == c) for c in classes]
        if all(places.any() for places in inside):
            for places in inside:
                weights[places] = np.sum(inside) / len(classes) / np.count_nonzero(places)
    return weights


def _choose_strength(shown: _Shown, weights: Floats) -> float:
    """Take the least inverse strength whose loss on parts left out is near the least one.

    The network has learned from these lesions, left out or not, so the least loss is that of a fit
    which trusts its features too much.
    """
    losses = np.empty((len(_STRENGTHS), len(numbers := np.unique(shown.parts))))
    for column, number in enumerate(numbers):
        left_out = shown.parts == number
        rest = _Shown(*(values[~left_out] for values in shown))
        labels = shown.labels[left_out]
        for row, strength in enumerate(_STRENGTHS):
            weight, bias = _fit(rest, weights[~left_out], strength)
            logits = shown.features[left_out] @ weight.T + bias
            loss = logsumexp(logits, axis=1) - logits[np.arange(len(labels)), labels]
            losses[row, column] = np.average(loss, weights=weights[left_out])
    means, errors = losses.mean(axis=1), losses.std(axis=1, ddof=1) / np.sqrt(len(numbers))
    best = int(means.argmin())
    return _STRENGTHS[int(np.argmax(means <= means[best] + errors[best]))]


def _fit(shown: _Shown, weights: Floats, strength: float) -> tuple[Floats, Floats]:
    """Weights (k, d) of features and biases (k,) that give the logits; they sum to 0 over k."""
    scaler = StandardScaler().fit(shown.features, sample_weight=weights)
    found = LogisticRegression(C=strength, max_iter=5000).fit(
        scaler.transform(shown.features), shown.labels, sample_weight=weights
    )
    weight, bias = found.coef_ / scaler.scale_, found.intercept_
    bias = bias - weight @ scaler.mean_
    if len(weight) == 1:  # of two classes, what tells the second from the first
        weight, bias = np.concatenate([-weight, weight]) / 2, np.concatenate([-bias, bias]) / 2
    return weight - weight.mean(axis=0), bias - bias.mean()


def _figures(shown: _Shown, names: Sequence[str]) -> dict[str, dict[str, float | None]]:
    """How well each class is told from the other lesions; of two classes, the second."""
    close = shown.is_close_up
    balanced = _balanced(shown.labels[close], shown.padding[close])
    figures = {}
    for column in range(len(names) == 2, len(names)):
        others = np.delete(shown.logits, column, axis=1)
        score = shown.logits[:, column] - logsumexp(others, axis=1)
        is_class = shown.labels == column
        figures[names[column]] = {
            "auc_close_ups": _auc(is_class[close], score[close]),
            "auc_close_ups_padding_balanced": _auc(is_class[close], score[close], balanced),
            "auc_windows": _auc(is_class[~close], score[~close]),
            "correlation_with_padding": _correlation(
                is_class[close], score[close], shown.padding[close]
            ),
        }
    return figures


def _auc(is_class: NDArray[np.bool_], score: Floats, weights: Floats | None = None) -> float | None:
    counts = is_class if weights is None else is_class[weights > 0]
    if len(np.unique(counts)) < 2:
        return None
    return round(float(roc_auc_score(is_class, score, sample_weight=weights)), 4)


def _correlation(is_class: NDArray[np.bool_], score: Floats, padding: Floats) -> float | None:
    """Mean over the class and the others of the correlation within; None where padding is one."""
    within = [(score[x], padding[x]) for x in (is_class, ~is_class)]
    if any(len(of_score) < 2 or not np.ptp(of_padding) for of_score, of_padding in within):
        return None
    return round(float(np.mean([np.corrcoef(*pair)[0, 1] for pair in within])), 3)


def _told(figures: Mapping[str, Mapping[str, float | None]]) -> float:
    """How well classes are told apart on average; as close-ups come, where no stratum has all."""
    balanced, plain = "auc_close_ups_padding_balanced", "auc_close_ups"
    aucs = [x[plain] if x[balanced] is None else x[balanced] for x in figures.values()]
    return float(np.mean([auc for auc in aucs if auc is not None]))
