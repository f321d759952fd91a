"""Methods: every localiser that is compared, by name, and how it is made for a classifier.

A method's name is what it is called in the field, and for those that explain an image after an
``@`` what they are given of the photo: ``grad-cam@input``, ``rise@windows``. Those that look at one
layer of a network may be told which, after a colon: ``grad-cam:19@levels``.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from inspect import isabstract, signature
from pathlib import Path
from typing import Any, NamedTuple, Protocol

from numpy.typing import NDArray

from slidewin.classifier import Classifier
from slidewin.errors import ArgumentError, ArgumentTypeError, SlidewinError
from slidewin.grid import LesionSize, size_in_pixels
from slidewin.heatmap import HeatMap

__all__ = [
    "ATTENTION",
    "SWEEP",
    "USES",
    "Localizer",
    "Setup",
    "choose_methods",
    "kind_of",
]

SWEEP = "sliding-window"

USES = ("windows", "levels", "photo", "input")
"""What explainers are given of a photo; those that take longest first."""

ATTENTION = {"attention": False, "attention-times-score": True}
"""Methods that need a trained attention, and whether it is multiplied by the score."""

_BASELINE = "baseline"


class Localizer(Protocol):
    """Whatever makes a heat map of a photo."""

    def localize(self, photo: NDArray[Any]) -> HeatMap:
        """Map a photo."""


@dataclass(frozen=True)
class Setup:
    """What all methods of a comparison share.

    Attributes
    ----------
    classifier : Classifier
    target : str
    lesion_size : number, ``"4%"`` of the photo's short side, or a pair of such; optional
    stride : float, optional
        In lesions; by default each method's own.
    max_passes : int, optional
        The most work that a method may plan for a photo; by default its own limit.
    attention : path, optional
        Where an attention pooling over windows is saved, trained for this classifier.
    random_state : int
    own : mapping of str to Localizer
        The caller's own methods.
    """

    classifier: Classifier
    target: str
    lesion_size: LesionSize | None = None
    stride: float | None = None
    max_passes: int | None = None
    attention: Path | None = None
    random_state: int = 0
    own: Mapping[str, Localizer] = field(default_factory=dict)

    @property
    def by_shape(self) -> bool:
        """Whether localisers differ with the photo's shape."""
        sizes = self.lesion_size if isinstance(self.lesion_size, tuple) else (self.lesion_size,)
        return any(isinstance(size, str) for size in sizes)

    def make(self, name: str, photo_shape: Sequence[int]) -> Localizer:
        """Make the localiser of a name for photos of a shape.

        Raises
        ------
        SlidewinError
            If it cannot be made for this classifier; the message says why.
        """
        if name in self.own:
            return self.own[name]
        size = size_in_pixels(self.lesion_size, min(photo_shape[:2]))
        options: dict[str, Any] = {
            "target": self.target,
            "lesion_size": size,
            "random_state": self.random_state,
            "verbose": 0,
        }
        if self.stride is not None:
            options["stride"] = self.stride
        if name == SWEEP:
            from slidewin.sweep import SlidingWindow

            return SlidingWindow(
                self.classifier, target=self.target, lesion_size=size, stride=self.stride, verbose=0
            )
        localizer: Localizer
        if name in ATTENTION:
            localizer = self._attention(name)
            return localizer
        method, layer, use = _parts(name)
        if use in USES:
            options["on"] = use
            if layer is not None:
                options["layer"] = layer
            if self.max_passes is not None:
                options["max_passes"] = self.max_passes
            localizer = _made(_explainers()[method], (self.classifier,), options)
        else:
            localizer = _made(_baselines()[name.removeprefix(f"{_BASELINE}-")], (), options)
        return localizer

    def passes(self, name: str, photo_shape: tuple[int, ...]) -> int:
        """Passes of the network that a method plans for a photo; 0 if it will refuse or not say."""
        try:
            plan = getattr(self.make(name, photo_shape), "passes", None)
            planned = 0 if name in self.own or plan is None else int(plan(photo_shape))
        except SlidewinError:  # it becomes a row with the reason, once it is asked for a map
            return 0
        return 0 if self.max_passes is not None and planned > self.max_passes else planned

    def _attention(self, name: str) -> Localizer:
        from slidewin.saliency import load_attention

        if self.attention is None:
            raise ArgumentError(
                f"{name} is trained: pass attention=FILE (--attention FILE), what "
                "slidewin.saliency.AttentionPooling(...).fit(photos, labels).save(FILE) has saved"
            )
        pooling = load_attention(
            self.attention, self.classifier, times_score=ATTENTION[name], n_jobs=1, verbose=0
        )
        if pooling.times_score and pooling.target != self.target:
            raise ArgumentError(
                f"{name} multiplies by the score of {pooling.target!r}, with which the attention "
                f"was fitted, and {self.target!r} is sought; fit it with target={self.target!r}"
            )
        return pooling


def kind_of(name: str) -> str:
    """What a method is: the sweep, an explanation, attention, a baseline, or the caller's own."""
    if name == SWEEP:
        return "sweep"
    if name in ATTENTION:
        return "attention"
    if name.partition("@")[2] in USES:
        return "explanation"
    return _BASELINE if name.startswith(f"{_BASELINE}-") else "own"


def known_methods() -> tuple[str, ...]:
    """Names of all methods, the sweep first, and those that take longest before the others.

    Examples
    --------
    >>> known_methods()[0]
    'sliding-window'
    """
    explained = [f"{method}@{use}" for use in USES for method in _explainers()]
    baselines = [f"{_BASELINE}-{name}" for name in _baselines()]
    return SWEEP, *explained, *ATTENTION, *baselines


def choose_methods(
    asked: str | Sequence[str],
    own: Mapping[str, Localizer] | None = None,
    classifier: Classifier | None = None,
) -> tuple[str, ...]:
    """Methods for names, patterns such as ``grad-cam@*``, ``*@input`` and ``all``.

    Methods that look at one layer take its name after a colon, as in ``grad-cam:19@levels`` and
    ``*cam:19@levels``; without, they look at the last layer whose map has more than one cell. The
    layer's name is no pattern, and ``all`` asks for none.

    Parameters
    ----------
    asked : str or sequence of str
    own : mapping of str to Localizer, optional
        The caller's own methods, which are always among those chosen.
    classifier : Classifier, optional
        In which layers are looked up. One that is no torch module has none; that its methods say
        themselves.

    Returns
    -------
    tuple of str
        Each once, the sweep first; layers asked for after what looks at the usual one.

    Raises
    ------
    ArgumentError, ArgumentTypeError
        If a pattern names nothing, the network has no such layer or that layer returns no map, or
        a method of the caller's has no `localize` or the name of another.

    Examples
    --------
    >>> choose_methods(["sliding-window", "grad-cam@in*", "grad-cam:features.4@in*"])
    ('sliding-window', 'grad-cam@input', 'grad-cam:features.4@input')
    """
    known, own = known_methods(), dict(own or {})
    for name, localizer in own.items():
        if not callable(getattr(localizer, "localize", None)):
            raise ArgumentTypeError(
                f"own[{name!r}]: found {type(localizer).__name__}; a localiser has "
                "localize(photo), which returns a HeatMap"
            )
        if name in known or _unlayered(name) in known or not name or "/" in name:
            raise ArgumentError(f"own: {name!r} cannot be the name of another method; choose one")
    patterns = [asked] if isinstance(asked, str) else list(asked)
    chosen: dict[str, None] = dict.fromkeys(own)
    for pattern in patterns:
        if not isinstance(pattern, str):
            raise ArgumentTypeError(f"methods: found {pattern!r}; pass names such as {SWEEP!r}")
        named = _matching(pattern, known)
        if not named and pattern not in own:
            raise ArgumentError(
                f"methods: {pattern!r} names nothing; there are 'all', {', '.join(known)}. Those "
                f"that look at one layer take its name, as in 'grad-cam:LAYER@levels': "
                f"{', '.join(_layered())}"
            )
        if named and classifier is not None:
            _check_layer(named[0], classifier)
        chosen |= dict.fromkeys(named)
    order = {name: place for place, name in enumerate((*known, *own))}

    def rank(name: str) -> tuple[int, str]:
        return order[name if name in order else _unlayered(name)], _parts(name).layer or ""

    return tuple(sorted(chosen, key=rank))


class _Parts(NamedTuple):
    """Of a method's name; of one that explains nothing, all but the first are empty."""

    method: str
    layer: str | None
    use: str


def _parts(name: str) -> _Parts:
    # A layer's name may have neither sign in it: they are the names of Python's attributes.
    before, _, use = name.partition("@")
    method, colon, layer = before.partition(":")
    return _Parts(method, layer if colon else None, use)


def _unlayered(name: str) -> str:
    """A method's name without its layer."""
    method, _, use = _parts(name)
    return f"{method}@{use}"


def _matching(pattern: str, known: Sequence[str]) -> list[str]:
    """Names that a pattern means."""
    layer = _parts(pattern).layer
    if not layer:  # nor is a colon and nothing after it one
        return [name for name in known if pattern == "all" or fnmatchcase(name, pattern)]
    wanted, layered = _unlayered(pattern), _layered()
    return [
        f"{method}:{layer}@{use}"
        for method, _, use in map(_parts, known)
        if method in layered and fnmatchcase(f"{method}@{use}", wanted)
    ]


def _layered() -> tuple[str, ...]:
    """Methods that look at one layer."""
    from slidewin.saliency import CAM

    return tuple(name for name, one in _explainers().items() if issubclass(one, CAM))


def _check_layer(name: str, classifier: Classifier) -> None:
    """Refuse a layer that the network has not, or that returns no map, before anything runs."""
    from slidewin.classifier.module import ModuleClassifier
    from slidewin.saliency.explainer import ALONE

    method, layer, _ = _parts(name)
    if layer is None or not isinstance(classifier, ModuleClassifier):
        return
    try:
        with ALONE:
            _explainers()[method](classifier, layer=layer).prepare()
    except ArgumentError as error:
        raise ArgumentError(f"methods: {name!r}: {error}") from error


def _explainers() -> dict[str, Any]:
    """Classes of the room saliency that explain an image, by the method's name."""
    from slidewin import saliency
    from slidewin.saliency.explainer import Explainer

    public = (getattr(saliency, name) for name in saliency.__all__)
    return {
        _named(one): one
        for one in public
        if isinstance(one, type) and issubclass(one, Explainer) and not isabstract(one)
    }


def _baselines() -> dict[str, Any]:
    """Classes of localisers that know no classifier, by the method's name."""
    from slidewin.comparison import baselines

    public = (getattr(baselines, name) for name in baselines.__all__)
    return {_named(one): one for one in public if hasattr(one, "localize")}


def _named(maker: Any) -> str:
    return str(maker.method).lower().replace(" ", "-")


def _made(maker: Any, given: tuple[Any, ...], options: Mapping[str, Any]) -> Any:
    """Make one with those of the options that it takes, or a class that it derives from."""
    takes = {name for one in maker.__mro__ for name in signature(one.__init__).parameters}
    return maker(*given, **{name: value for name, value in options.items() if name in takes})
