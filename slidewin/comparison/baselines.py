"""Baselines: localisers that know no classifier. What does not beat them has found nothing.

They are made to be beaten, and are marked as baselines wherever they are listed. Darkness is the
hard one: pigmented lesions are dark.
"""

from abc import ABC, abstractmethod
from typing import Any, ClassVar

import cv2
import numpy as np
from numpy.typing import ArrayLike, NDArray

from slidewin.errors import ArgumentError
from slidewin.heatmap import HeatLayer, HeatMap
from slidewin.image import check_image, hash_pixels
from slidewin.mask import has_skin_colour, roi_from_skin
from slidewin.mask.looks import sizes_sought

__all__ = ["CentreGaussian", "Darkness", "Edges", "LocalDarkness", "RandomMap", "Uniform"]

Photo = NDArray[np.uint8]
Values = NDArray[np.float32]
Size = float | tuple[float, float] | None

_LONGEST = 1024  # px of the longer side that is looked at: the maps of larger photos are no finer
_CELLS = 255  # along each axis of a Gaussian; odd, so that its peak is in one place
_NOISE = 16  # cells of noise along the photo's short side, as coarse as activation maps are
_CENTRE, _ROUND = 0.25, 1.0  # widths of the blurs whose difference is local, in lesion diameters


class _Baseline(ABC):
    """A localiser that looks at pixels alone."""

    method: ClassVar[str]

    def localize(self, photo: ArrayLike) -> HeatMap:
        """Map a photo.

        Parameters
        ----------
        photo : ndarray of shape (H, W, 3), uint8
            It is not written to.

        Returns
        -------
        HeatMap
            Raw values from 0 to 1, every pixel assessed. The same for the same photo.

        Raises
        ------
        ArgumentError, ArgumentTypeError
            If `photo` is no photo.
        """
        image = check_image(photo)
        height, width = image.shape[:2]
        layers = tuple(
            HeatLayer(
                values,
                rows=_spread(values.shape[0], height),
                cols=_spread(values.shape[1], width),
            )
            for values in self._values(image)
        )
        return HeatMap(
            (height, width),
            layers,
            method=f"baseline: {self.method}",
            unit="raw",
            settings=self._settings(),
        )

    @abstractmethod
    def _values(self, photo: Photo) -> list[Values]:
        """Lattices (rows, cols) of values, merged by their maximum."""

    def _settings(self) -> dict[str, Any]:
        return {}


class Uniform(_Baseline):
    """The same everywhere: what a map that says nothing is worth.

    Examples
    --------
    >>> Uniform().localize(np.zeros((2, 3, 3), np.uint8)).to_pixels().tolist()
    [[1.0, 1.0, 1.0], [1.0, 1.0, 1.0]]
    """

    method = "uniform"

    def _values(self, photo: Photo) -> list[Values]:  # noqa: ARG002
        return [np.ones((1, 1), np.float32)]


class CentreGaussian(_Baseline):
    """A Gaussian in the middle: people aim well.

    Its standard deviation is half the photo's height and width; what is scored by rank does not
    depend on it.

    References
    ----------
    Choe et al., "Evaluating weakly supervised object localization methods right", CVPR 2020,
    arXiv:2001.07437.

    Examples
    --------
    >>> pixels = CentreGaussian().localize(np.zeros((5, 9, 3), np.uint8)).to_pixels()
    >>> [int(x) for x in np.unravel_index(pixels.argmax(), pixels.shape)]
    [2, 4]
    """

    method = "centre"

    def _values(self, photo: Photo) -> list[Values]:  # noqa: ARG002
        away = np.linspace(-1, 1, 2 * _CELLS + 1)[1::2].astype(np.float32)
        bell = np.exp(-(away**2) / 2)
        return [np.outer(bell, bell).astype(np.float32)]


class RandomMap(_Baseline):
    """Noise, smooth between cells of a sixteenth of the short side: luck.

    Parameters
    ----------
    random_state : int
        Seed. Noise differs from photo to photo and is the same for the same photo.

    Examples
    --------
    >>> photo = np.zeros((32, 48, 3), np.uint8)
    >>> one, other = (RandomMap(random_state=0).localize(photo).to_pixels() for _ in range(2))
    >>> bool((one == other).all())
    True
    """

    method = "random"

    def __init__(self, *, random_state: int = 0) -> None:
        if isinstance(random_state, bool) or not isinstance(random_state, int) or random_state < 0:
            raise ArgumentError(
                f"random_state={random_state!r}: a whole number from 0 up is needed"
            )
        self.random_state = random_state

    def _values(self, photo: Photo) -> list[Values]:
        cell = min(photo.shape[:2]) / _NOISE
        shape = [max(1, round(n / cell)) for n in photo.shape[:2]]
        rng = np.random.default_rng((self.random_state, int(hash_pixels(photo), 16)))
        return [rng.random(shape, np.float32)]

    def _settings(self) -> dict[str, Any]:
        return {"random_state": self.random_state}


class Edges(_Baseline):
    """How steep the photo's luma is, by Sobel's operator: whatever stands out from its ground.

    Photos larger than 1024 px are shrunk to that first.

    References
    ----------
    Adebayo et al., "Sanity checks for saliency maps", NeurIPS 2018, arXiv:1810.03292: some
    explanations are hardly more than this.

    Examples
    --------
    >>> photo = np.zeros((8, 8, 3), np.uint8)
    >>> photo[:, 4:] = 255
    >>> Edges().localize(photo).to_pixels()[4].round(2)
    array([0.  , 0.  , 0.  , 0.71, 0.71, 0.  , 0.  , 0.  ], dtype=float32)
    """

    method = "edges"

    def _values(self, photo: Photo) -> list[Values]:
        small = _shrunk(photo, _LONGEST / max(photo.shape[:2]))
        luma = np.asarray(cv2.cvtColor(small, cv2.COLOR_RGB2GRAY), np.uint8)
        # In whole numbers and by numpy: cv2.magnitude rounds by where in memory a pixel lies.
        across, down = (
            cv2.Sobel(luma, cv2.CV_16S, *way, borderType=cv2.BORDER_REPLICATE).astype(np.float32)
            for way in ((1, 0), (0, 1))
        )
        # Either slope is at most 4 times 255, which only a corner could have of both.
        return [np.sqrt(across**2 + down**2) / np.float32(4 * 255 * np.sqrt(2))]


class Darkness(_Baseline):
    """How dark the skin is: 1 - luma within what has the colour of skin, and 0 elsewhere.

    Parameters
    ----------
    lesion_size : float or (float, float), optional
        Diameter of the lesions sought, in photo pixels, or the smallest and the largest: holes in
        the skin up to the largest are taken to be lesions, see
        :func:`slidewin.mask.roi_from_skin`. By default 4 % to 40 % of the short side.

    Notes
    -----
    A hard one to beat by pixels on pigmented lesions. It knows no shape: shadows and gaps between
    toes are dark, too. Photos larger than 1024 px are shrunk to that first.

    Examples
    --------
    >>> photo = np.full((60, 60, 3), (200, 150, 130), np.uint8)
    >>> photo[20:30, 20:30] = (90, 50, 40)
    >>> pixels = Darkness(lesion_size=12).localize(photo).to_pixels()
    >>> pixels[5, 5].round(2), pixels[25, 25].round(2)
    (np.float32(0.36), np.float32(0.76))
    """

    method = "darkness"

    def __init__(self, *, lesion_size: Size = None) -> None:
        self.lesion_size = lesion_size

    def _values(self, photo: Photo) -> list[Values]:
        factor = min(1.0, _LONGEST / max(photo.shape[:2]))
        small = _shrunk(photo, factor)
        size = tuple(max(1.0, s * factor) for s in sizes_sought(self.lesion_size, photo.shape))
        skin = roi_from_skin(small, lesion_size=(size[0], size[1])).inside
        return [np.where(skin, 1 - _luma(small), np.float32(0))]

    def _settings(self) -> dict[str, Any]:
        return {"lesion_size": self.lesion_size}


class LocalDarkness(_Baseline):
    """How much darker the skin is than the skin round it, at the size of the lesions sought.

    Parameters
    ----------
    lesion_size : float or (float, float), optional
        Diameter of the lesions sought, in photo pixels, or the smallest and the largest, between
        which sizes are a factor of two apart or less. By default 4 % to 40 % of the short side.

    Notes
    -----
    Luma, averaged over skin alone by Gaussians of a quarter of the diameter and of all of it: their
    difference where positive, and 0 off the skin. Told the size of lesions, as the sweep is, it is
    the harder of the two baselines of darkness.

    Examples
    --------
    >>> photo = np.full((80, 80, 3), (200, 150, 130), np.uint8)
    >>> photo[30:42, 30:42] = (90, 50, 40)
    >>> pixels = LocalDarkness(lesion_size=12).localize(photo).to_pixels()
    >>> bool(pixels[36, 36] > 0.2), bool(pixels[70, 70] < 0.01)
    (True, True)
    """

    method = "local darkness"

    def __init__(self, *, lesion_size: Size = None) -> None:
        self.lesion_size = lesion_size

    def _values(self, photo: Photo) -> list[Values]:
        smallest, largest = sizes_sought(self.lesion_size, photo.shape)
        steps = int(np.ceil(np.log2(largest / smallest) - 1e-9))
        return [_darker(photo, float(d)) for d in np.geomspace(smallest, largest, steps + 1)]

    def _settings(self) -> dict[str, Any]:
        return {"lesion_size": self.lesion_size}


def _darker(photo: Photo, diameter: float) -> Values:
    """How much darker skin is than skin round it, of a lesion of 16 pixels or less."""
    factor = min(1.0, 16 / diameter)
    small, size = _shrunk(photo, factor), diameter * factor
    # A dark lesion has not the colour of skin: what is narrower than it is closed over.
    side = 2 * round(size / 2) + 1
    disc = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (side, side))
    coloured = cv2.morphologyEx(has_skin_colour(small).view(np.uint8), cv2.MORPH_CLOSE, disc)
    skin, luma = coloured.astype(np.float32), _luma(small)
    here, around = (
        cv2.GaussianBlur(luma * skin, (0, 0), width * size)
        / (cv2.GaussianBlur(skin, (0, 0), width * size) + np.float32(1e-3))
        for width in (_CENTRE, _ROUND)
    )
    return np.where(skin > 0, np.maximum(around - here, 0), 0).astype(np.float32)


def _shrunk(photo: Photo, factor: float) -> Photo:
    """Resample a photo to this share of its size; left as it is where that is no less."""
    if factor >= 1:
        return photo
    height, width = (max(1, round(n * factor)) for n in photo.shape[:2])
    return np.asarray(cv2.resize(photo, (width, height), interpolation=cv2.INTER_AREA), np.uint8)


def _luma(photo: Photo) -> Values:
    """Luma (H, W), from 0 to 1."""
    return cv2.cvtColor(photo, cv2.COLOR_RGB2GRAY).astype(np.float32) / np.float32(255)


def _spread(n: int, length: int) -> NDArray[np.float64]:
    """Centres of n cells, spread evenly over a length."""
    return (np.arange(n) + 0.5) * length / n
