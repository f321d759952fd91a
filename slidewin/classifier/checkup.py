"""What is wrong with a classifier, in words: tried on a handful of made patches."""

import os
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from slidewin.classifier.estimator import EstimatorClassifier
from slidewin.classifier.loading import load_classifier
from slidewin.classifier.module import ModuleClassifier
from slidewin.classifier.protocol import BACKGROUND, Classifier
from slidewin.classifier.scores import NetworkClassifier
from slidewin.errors import SlidewinError

__all__ = ["Checkup", "Remark", "check"]

_SKIN = (206, 154, 128)
_USUAL_SIZES = (32, 64, 96, 128, 160, 192, 224, 256, 299, 320, 384, 448, 512)
_PROMISED = 1e-5  # what batches may change
_HARMFUL = 1e-3
_THREADS = 4
_SLOW_S = 0.05  # a window; a photo has some thousand


@dataclass(frozen=True)
class Remark:
    """One thing that was found.

    Attributes
    ----------
    severity : {"error", "warning", "note"}
        A classifier with an error cannot be swept, or not with sense.
    found : str
    advice : str
        What to do.
    """

    severity: Literal["error", "warning", "note"]
    found: str
    advice: str

    def __str__(self) -> str:
        return f"{self.severity}: {self.found}. {self.advice}"


@dataclass(frozen=True)
class Checkup:
    """What :func:`check` found; prints as text.

    Attributes
    ----------
    subject : str
        What was checked.
    remarks : tuple of Remark
        Errors first.
    """

    subject: str
    remarks: tuple[Remark, ...]

    @property
    def ok(self) -> bool:
        """Whether nothing speaks against a sweep: there are no errors."""
        return all(remark.severity != "error" for remark in self.remarks)

    def __str__(self) -> str:
        verdict = "can be swept" if self.ok else "cannot be swept as it is"
        return "\n".join([f"{self.subject}: {verdict}", *(f"- {r}" for r in self.remarks)])


def check(source: Any = None, **description: Any) -> Checkup:
    """Try a classifier on made patches and say in words what is wrong with it.

    Patches of noise, black, white and the colour of skin are classified alone, together, twice
    and from several threads. Nothing is raised for what is found, and nothing is changed.

    Parameters
    ----------
    source, **description
        As for :func:`load_classifier`.

    Returns
    -------
    Checkup
        Print it; ``.ok`` says whether it can be swept.

    Examples
    --------
    >>> import numpy as np
    >>> def by_darkness(patches):
    ...     return 1 - patches.mean(axis=(1, 2, 3)) / 255
    >>> print(check(by_darkness, classes=["background", "lesion"], input_size=8))
    by_darkness: cannot be swept as it is
    - error: the classifier returned shape (8,) for 8 patches; (8, 2) is needed, a probability for \
each of the classes ['background', 'lesion']. Return one column for each class, or name a class \
for each column: classes=[...]
    """
    subject = getattr(source, "__name__", None) or type(source).__name__
    if source is None or isinstance(source, str | os.PathLike):
        subject = "the embedded default" if source is None else str(source)
    try:
        classifier = load_classifier(source, **description)
    except Exception as error:  # noqa: BLE001 - whatever is raised is what was looked for
        return Checkup(subject, (Remark("error", _in_words(error), "Nothing was tried"),))
    order = ("error", "warning", "note")
    found = _remarks(classifier, is_size_given="input_size" in description)
    remarks = sorted(found, key=lambda remark: order.index(remark.severity))
    return Checkup(subject, tuple(remarks))


def made_patches(side: int) -> dict[str, NDArray[np.uint8]]:
    """Patches of shape (side, side, 3) that hold no lesion, by name; always the same.

    Examples
    --------
    >>> list(made_patches(4))
    ['black', 'white', 'grey', 'skin', 'uneven skin', 'noise', 'colour noise', 'edge']
    """
    rng = np.random.default_rng(0)
    plain = np.ones((side, side, 3))
    shade = np.linspace(0.75, 1.1, side)[:, None, None]
    edge = plain * _SKIN
    edge[:, : side // 2] = 250
    patches = {
        "black": plain * 0,
        "white": plain * 255,
        "grey": plain * 128,
        "skin": plain * _SKIN,
        "uneven skin": plain * _SKIN * shade + rng.normal(0, 6, (side, side, 1)),
        "noise": plain * rng.integers(0, 256, (side, side, 1)),
        "colour noise": rng.integers(0, 256, (side, side, 3)),
        "edge": edge,
    }
    return {name: np.clip(patch, 0, 255).astype(np.uint8) for name, patch in patches.items()}


def _in_words(error: Exception) -> str:
    return str(error) if isinstance(error, SlidewinError) else f"{type(error).__name__}: {error}"


def _remarks(classifier: Classifier, *, is_size_given: bool) -> Iterator[Remark]:
    yield from _on_description(classifier)
    named = made_patches(classifier.input_size)
    patches = np.stack(list(named.values()))
    with classifier.borrowed():
        try:
            together = classifier.predict_proba(patches.copy())
        except Exception as error:  # noqa: BLE001 - whatever is raised is what was looked for
            yield _failure(error, classifier, named, is_size_given=is_size_given)
            return
        start = time.perf_counter()
        again = classifier.predict_proba(patches.copy())
        seconds = (time.perf_counter() - start) / len(patches)
        change = _apart(together, again)
        if change > _PROMISED:
            yield Remark(
                "error",
                f"two calls with the same patches differ by up to {change:.2g}",
                "Something is drawn at random: switch off dropout and augmentation (model.eval(), "
                "training=False), or seed them anew in each call",
            )
        else:
            yield from _on_company(classifier, named, together)
        yield from _on_writing(classifier, patches)
        yield from _on_answers(classifier, list(named), together)
    yield Remark(
        "warning" if seconds > _SLOW_S else "note",
        f"a window takes about {seconds * 1000:.2g} ms",
        "A photo has some hundred to many thousand windows: print "
        "slidewin.SlidingWindow(...).plan(photo.shape), and take n_jobs=-1 or a smaller network",
    )


def _on_description(classifier: Classifier) -> Iterator[Remark]:
    if BACKGROUND not in classifier.classes_:
        yield Remark(
            "warning",
            f"no class is called {BACKGROUND!r} among {classifier.classes_.tolist()}",
            "Most windows of a photo show no lesion: teach the classifier what is none, or expect "
            "regions all over; if another label means it, call it so",
        )
    if isinstance(classifier, EstimatorClassifier):
        inner = getattr(getattr(classifier.estimator, "estimator", None), "steps", None)
        if inner is not None and hasattr(inner[0][1], "of_lattice"):
            yield Remark(
                "note",
                f"{type(classifier.estimator).__name__} goes round the whole pipeline, so windows "
                "that overlap do not share their features",
                "Put it into the pipeline: patch_classifier(CalibratedClassifierCV(...))",
            )
    if isinstance(classifier, ModuleClassifier):
        if any(layer.training for layer in classifier.module.modules()):
            yield Remark(
                "note",
                "the module is in training mode",
                "slidewin takes evaluation mode while it asks, and gives training mode back",
            )
        dtypes = {str(p.dtype) for p in classifier.module.parameters()}
        if odd := sorted(dtypes - {"torch.float32"}):
            yield Remark(
                "note",
                f"the module computes in {', '.join(odd)}",
                "On a CPU single precision is as a rule the quickest: module.float()",
            )


def _failure(
    error: Exception,
    classifier: Classifier,
    named: dict[str, NDArray[np.uint8]],
    *,
    is_size_given: bool,
) -> Remark:
    """The batch failed: find out with what it would not have."""
    found = _in_words(error)
    alone = [name for name, patch in named.items() if _answers(classifier, patch[None])]
    if len(alone) == len(named):
        return Remark(
            "error",
            f"takes one patch at a time; {len(named)} at once fail ({found})",
            "slidewin asks in batches (n, S, S, 3): let it take any n, or loop over them in a "
            "function around it",
        )
    if alone:
        failing = ", ".join(name for name in named if name not in alone)
        return Remark(
            "error",
            f"fails on some patches ({failing}): {found}",
            "Look for a division by a spread or maximum that can be 0",
        )
    is_own = isinstance(error, SlidewinError)  # it answered, but not with probabilities
    if not is_own and is_size_given and (fitting := _other_sizes(classifier)):
        sizes = ", ".join(str(size) for size in fitting)
        return Remark(
            "error",
            f"fails on {classifier.input_size} x {classifier.input_size} pixels: {found}",
            f"It takes input_size={sizes}: pass the one that it was trained on",
        )
    if is_own and "returned shape" in found:
        advice = "Return one column for each class, or name a class for each column: classes=[...]"
    elif is_own:
        advice = "slidewin needs a probability for each class, in rows that sum to 1"
    else:
        side = classifier.input_size
        advice = f"It is given patches of shape (n, {side}, {side}, 3), see load_classifier"
    return Remark("error", found, advice)


def _other_sizes(classifier: Classifier) -> list[int]:
    """Usual input sizes that it takes, where it takes not the one described."""
    other = object.__new__(type(classifier))  # no copy: what is open or large is shared
    fitting = []
    for size in _USUAL_SIZES:
        other.__dict__.update(vars(classifier) | {"input_size": size})
        if size != classifier.input_size and _answers(other, made_patches(size)["noise"][None]):
            fitting.append(size)
    return fitting


def _answers(classifier: Classifier, patches: NDArray[np.uint8]) -> bool:
    try:
        classifier.predict_proba(patches)
    except Exception:  # noqa: BLE001 - whatever it is, it is no answer
        return False
    return True


def _on_company(
    classifier: Classifier, named: dict[str, NDArray[np.uint8]], together: NDArray[np.float32]
) -> Iterator[Remark]:
    """Whether a patch's answer is its own, whoever stands beside it in a batch or thread."""
    patches = list(named.values())
    try:
        alone = np.concatenate([classifier.predict_proba(patch[None]) for patch in patches])
    except Exception as error:  # noqa: BLE001 - whatever is raised is what was looked for
        yield Remark(
            "error",
            f"fails on a batch of one patch ({type(error).__name__}: {error})",
            "The last batch of a photo may hold one: keep the first axis, whatever its length, and "
            "use no figure of the batch as a whole",
        )
        return
    if (change := _apart(together, alone)) > _HARMFUL:
        yield Remark(
            "error",
            f"a patch's probabilities change by up to {change:.2g} with the others in its batch",
            "Batch norm in training mode does this, and scaling by a batch's own mean or maximum: "
            "take evaluation mode, and fixed figures",
        )
        return
    if change > _PROMISED:
        yield Remark(
            "note",
            f"the size of a batch changes probabilities by up to {change:.2g}",
            "Low precision does this; maps made with other batch sizes will differ by as much",
        )
    with ThreadPoolExecutor(_THREADS) as pool:
        asked = [np.stack(patches[i:] + patches[:i]) for i in range(len(patches))]
        futures = [pool.submit(classifier.predict_proba, batch) for batch in asked]
        failures = [future.exception() for future in futures if future.exception()]
    if failures:
        reason = f"fails with {type(failures[0]).__name__}: {failures[0]}"
    else:
        answers = [np.roll(future.result(), i, axis=0) for i, future in enumerate(futures)]
        apart = max(_apart(together, answer) for answer in answers)
        reason = f"answers differ by up to {apart:.2g}" if apart > _HARMFUL else ""
    if reason:
        yield Remark(
            "warning",
            f"asked from several threads at once, it {reason}",
            "Sweep it with n_jobs=1, or in processes: joblib.parallel_config('loky')",
        )


def _on_writing(classifier: Classifier, patches: NDArray[np.uint8]) -> Iterator[Remark]:
    given = patches.copy()
    classifier.predict_proba(given)
    if not np.array_equal(given, patches):
        yield Remark(
            "warning",
            "it writes to the patches that it is given",
            "Let it work on a copy: what is shared between threads must stay as it is",
        )


def _on_answers(
    classifier: Classifier, names: list[str], probabilities: NDArray[np.float32]
) -> Iterator[Remark]:
    spread = float(np.ptp(probabilities, axis=0).max())
    if spread < _PROMISED:
        yield Remark(
            "warning",
            "black, white, skin and noise all get the same answer",
            "It may be untrained, or its input scaled twice or not at all: look at mean and std "
            "(the input is (pixel / 255 - mean) / std; std=1/255 keeps values from 0 to 255)",
        )
    elif ((probabilities < _PROMISED) | (probabilities > 1 - _PROMISED)).all():
        yield Remark(
            "warning",
            "every answer is 0 or 1 to within 1e-5",
            "Its input may be scaled wrongly (see mean and std), or it was never calibrated",
        )
    second = probabilities[:, -1]
    plain = isinstance(classifier, NetworkClassifier) and classifier.logits
    if (
        plain
        and probabilities.shape[1] == 2
        and second.min() >= 0.5
        and second.max() <= 1 / (1 + np.exp(-1)) + _PROMISED
    ):
        yield Remark(
            "warning",
            f"every probability of {str(classifier.classes_[1])!r} lies between 0.5 and 0.731",
            "If the network ends in a sigmoid it returns probabilities already: pass logits=False",
        )
    found = classifier.target_probability(probabilities)
    if taken := [
        f"{name} ({p:.2f})"
        for name, p in zip(names, found, strict=True)
        if p >= classifier.threshold()
    ]:
        yield Remark(
            "warning",
            f"it takes for {classifier.target}: {', '.join(taken)}",
            "There is no lesion in these: photos of everything else belong into its training, "
            "else expect regions there",
        )


def _apart(one: NDArray[np.float32], other: NDArray[np.float32]) -> float:
    return float(np.abs(one - other).max())
