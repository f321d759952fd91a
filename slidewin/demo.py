"""The main job on a drawn photo with known truth: find the melanoma on the hand, not on the cloth.

The scene is drawn by code. The embedded classifier learned from other scenes by the same code among
much else, so this shows what the engine does, not how well the classifier generalises.
"""

from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from slidewin.classifier import load_classifier
from slidewin.finding import Finding, locate
from slidewin.heatmap import HeatMap
from slidewin.output import refuse_existing, write_png
from slidewin.report import Panel, draw_heatmap, draw_panels, draw_regions
from slidewin.saliency import GradCAM
from slidewin.scene import Scene, draw_scene

__all__ = ["Demonstration", "demonstrate"]

_PICTURES = ("photo.png", "truth.png", "figure.png")


class Demonstration(NamedTuple):
    """What the demo drew, and what was found in it."""

    scene: Scene
    found: Finding
    grad_cams: tuple[HeatMap, HeatMap]

    @property
    def places(self) -> list[str]:
        """What each region is centred on: ``"lesion"``, ``"hand"`` or ``"cloth"``."""
        return [self._place(*region.centre) for region in self.found.regions]

    def _place(self, row: float, col: float) -> str:
        where = int(row), int(col)
        if self.scene.mask[where]:
            return "lesion"
        return "hand" if self.scene.skin[where] else "cloth"

    def figure(self) -> NDArray[np.uint8]:
        """Photo and truth, the sweep, and Grad-CAM in its two uses, side by side."""
        truth = self.scene.photo.copy()
        outlines, _ = cv2.findContours(
            self.scene.mask.astype(np.uint8), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE
        )
        cv2.drawContours(truth, outlines, -1, (0, 255, 0), 2, cv2.LINE_AA)
        regions = draw_regions(self.scene.photo, self.found.regions, assessed=self.found.assessed)
        label, threshold = self.found.label, self.found.threshold
        panels = [
            Panel(truth, "The photo", "green: the true lesion"),
            Panel(
                draw_heatmap(self.found.pixels),
                "slidewin: heat map",
                f"probability of {label}",
                scale=(0.0, 1.0),
            ),
            Panel(regions, "slidewin: found", f"{label}, reaching {threshold:g}"),
        ]
        titles = ("Grad-CAM, photo shrunk to the input", "Grad-CAM, whole photo")
        for title, cam in zip(titles, self.grad_cams, strict=True):
            pixels = cam.to_pixels()
            peak = float(np.nanmax(pixels))
            note = "no absolute scale: bright is this photo's own maximum"
            if peak == 0:  # nothing is left of the weighted sum after Grad-CAM's ReLU
                peak, note = 1.0, f"0 all over: nothing speaks for {label}"
            panels.append(Panel(draw_heatmap(pixels, high=peak), title, note, scale=(0.0, peak)))
        return draw_panels(
            panels,
            title="What in this photo did the classifier take for melanoma?",
            caption="Drawn scene. The same network made all maps. A research tool, not a medical "
            "device.",
            height=420,
        )


def demonstrate(
    folder: Path,
    *,
    random_state: int = 0,
    n_jobs: int | None = None,
    overwrite: bool = False,
    verbose: int = 1,
) -> Demonstration:
    """Draw a scene, sweep the embedded classifier over it, and put Grad-CAM beside it.

    Parameters
    ----------
    folder : path
        Gets ``photo.png``, ``truth.png``, ``figure.png``, and in ``sweep/`` what
        :meth:`slidewin.Finding.save` writes.
    random_state : int
        Seed of the scene.
    n_jobs, verbose
        As for :class:`slidewin.SlidingWindow`.
    overwrite : bool

    Raises
    ------
    OutputExistsError
        If a file is there and ``overwrite`` is false.
    """
    if not overwrite:
        refuse_existing(folder, _PICTURES)
    scene = draw_scene(random_state=random_state)
    classifier = load_classifier()
    found = locate(scene.photo, classifier, n_jobs=n_jobs, verbose=verbose)
    found.save(folder / "sweep", overwrite=overwrite)
    write_png(folder / "photo.png", scene.photo, overwrite=overwrite)
    write_png(folder / "truth.png", scene.mask.astype(np.uint8) * 255, overwrite=overwrite)
    grad_cams = (
        GradCAM(classifier, on="input").localize(scene.photo),
        GradCAM(classifier, on="photo").localize(scene.photo),
    )
    shown = Demonstration(scene, found, grad_cams)
    write_png(folder / "figure.png", shown.figure(), overwrite=overwrite)
    return shown
