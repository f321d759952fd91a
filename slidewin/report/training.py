"""Figures of a training run: what each round brought, and what probabilities are worth."""

from collections.abc import Mapping, Sequence
from typing import Any

from slidewin.report.chart import new_figure, to_png

__all__ = ["draw_reliability", "draw_rounds"]

_WHAT = "figures of a training run"


def draw_reliability(calibration: Mapping[str, Any]) -> bytes:
    """Draw a reliability diagram, before and after calibration.

    Parameters
    ----------
    calibration : mapping
        ``classifier.about["calibration"]``.

    Returns
    -------
    bytes
        A PNG file.

    Raises
    ------
    MissingPackageError
        If matplotlib is not installed.

    References
    ----------
    Niculescu-Mizil and Caruana, "Predicting good probabilities with supervised learning", ICML
    2005.
    """
    figure = new_figure(6, 6, what=_WHAT)
    axes = figure.add_subplot(
        xlabel="probability of a lesion that the classifier states",
        ylabel="share of windows that show one",
        aspect="equal",
        title=f"{calibration['windows']} windows of validation photos",
    )
    axes.plot([0, 1], [0, 1], color="0.7", linewidth=1)
    for name in ("before", "after"):
        points = calibration[name]
        error = points["expected_calibration_error"]
        label = f"{name} calibration: error {error:.4f}, Brier score {points['brier']:.4f}"
        axes.plot(points["said"], points["came_true"], marker="o", label=label)
    axes.legend(loc="upper left", fontsize="small")
    return to_png(figure)


def draw_rounds(rounds: Sequence[Mapping[str, Any]]) -> bytes:
    """Draw false regions per photo without lesions, and lesions found, over the rounds of mining.

    Parameters
    ----------
    rounds : sequence of mapping
        ``classifier.about["rounds"]``.

    Returns
    -------
    bytes
        A PNG file.

    Raises
    ------
    MissingPackageError
        If matplotlib is not installed.
    """
    figure = new_figure(6, 6, what=_WHAT)
    above = figure.add_subplot(2, 1, 1, ylabel="false regions", yscale="symlog", ylim=(0, None))
    below = figure.add_subplot(2, 1, 2, xlabel="round", ylabel="lesions found", ylim=(0, 1.02))
    numbers = [point["round"] for point in rounds]
    for name in rounds[0]:
        if name.startswith("false_regions_per_"):
            label = name.removeprefix("false_regions_").replace("_", " ")
            above.plot(numbers, [point[name] for point in rounds], marker="o", label=label)
    below.plot(numbers, [point["sensitivity"] for point in rounds], marker="o")
    for axes in (above, below):
        axes.set_xticks(numbers)
    above.legend(fontsize="small")
    return to_png(figure)
