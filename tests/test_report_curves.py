import io
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image

from slidewin.errors import ArgumentError, ArgumentTypeError, MissingPackageError

matplotlib = pytest.importorskip("matplotlib")

from slidewin.report import curves, sheet  # noqa: E402
from slidewin.report.chart import to_png  # noqa: E402
from slidewin.report.curves import (  # noqa: E402
    Line,
    Point,
    draw_cost,
    draw_froc,
    draw_precision_recall,
)
from slidewin.report.maps import draw_heatmap  # noqa: E402
from slidewin.report.sheet import PhotoMaps, draw_maps  # noqa: E402


@pytest.fixture
def drawn(monkeypatch):
    """The figures that were drawn, as matplotlib has them."""
    figures = []

    def keep(figure):
        figures.append(figure)
        return to_png(figure)

    monkeypatch.setattr(curves, "to_png", keep)
    monkeypatch.setattr(sheet, "to_png", keep)
    return figures


def picture(png):
    return np.asarray(Image.open(io.BytesIO(png)).convert("RGB"))


def words(figure):
    return [text.get_text() for legend in figure.legends for text in legend.get_texts()]


SWEEP = Line(
    "sliding window", [0, 0.5, 3], [0.6, 0.8, 0.9], [0.5, 0.7, 0.8], [0.7, 0.9, 1], "sweep"
)
CAM = Line("grad-cam@levels", [0, 1], [0.2, 0.5])
DARK = Line("darkness", [0, 2], [0.1, 0.4], kind="baseline")


def test_a_froc_curve_keeps_its_value_beyond_its_last_point(drawn):
    assert picture(draw_froc([SWEEP, CAM, DARK])).shape[2] == 3
    (axes,) = drawn[0].axes
    sweep = axes.lines[0]
    assert sweep.get_xdata().tolist() == [0, 0.5, 3, 8]
    assert sweep.get_ydata().tolist() == [0.6, 0.8, 0.9, 0.9]
    assert sweep.get_drawstyle() == "steps-post"
    assert axes.get_xlim() == (0, 8)
    assert words(drawn[0]) == ["sliding window", "grad-cam@levels", "darkness"]


def test_the_band_is_that_of_the_line_and_lines_without_one_have_none(drawn):
    draw_froc([SWEEP, CAM])
    (axes,) = drawn[0].axes
    (band,) = axes.collections
    box = band.get_paths()[0].get_extents()
    assert (box.y0, box.y1) == (0.5, 1)


def test_the_sweep_stands_out_and_baselines_stand_back(drawn):
    draw_froc([CAM, SWEEP, DARK])
    cam, sweep, dark = drawn[0].axes[0].lines
    assert sweep.get_linewidth() > cam.get_linewidth() > dark.get_linewidth()
    assert sweep.get_zorder() > cam.get_zorder() > dark.get_zorder()


def test_methods_can_be_told_apart(drawn):
    draw_froc([Line(str(i), [0], [0.5]) for i in range(25)])
    looks = {(one.get_color(), repr(one._unscaled_dash_pattern)) for one in drawn[0].axes[0].lines}
    assert len(looks) == 25


def test_precision_and_recall_show_chance(drawn):
    draw_precision_recall([CAM], prevalence=0.015)
    (axes,) = drawn[0].axes
    assert axes.lines[1].get_ydata()[0] == 0.015
    assert words(drawn[0]) == ["grad-cam@levels", "chance, 0.015"]


@pytest.mark.parametrize("draw", [draw_froc, draw_precision_recall])
@pytest.mark.parametrize(
    ("lines", "message"),
    [([], "lines is empty"),
     ([Line("a", [], [])], "a has x of shape"),
     ([Line("a", [0, 1], [0])], "a has x of shape"),
     ([Line("a", [0, 1], [0, 1], [0], [1])], "of its interval"),
     ([Line("a", [1, 0], [0, 1])], "descends")],
)  # fmt: skip
def test_lines_that_are_none_are_refused(draw, lines, message):
    with pytest.raises(ArgumentError, match=message):
        draw(lines)


def test_costs_are_numbered_from_the_best_score(drawn):
    points = [
        Point("darkness", 0.1, 0.3, kind="baseline"),
        Point("sliding window", 2, 0.9, 0.8, 1.0, kind="sweep"),
        Point("rise@levels", 200, float("nan")),
    ]
    draw_cost(points)
    assert words(drawn[0]) == ["1  sliding window", "2  darkness", "3  rise@levels"]
    assert drawn[0].axes[0].get_xscale() == "log"


def test_of_costs_the_best_is_on_top_and_no_mark_is_cut(drawn):
    points = [Point("cam", 2, 0, 0, 0.1), Point("sliding window", 2, 0.9, 0.8, 1.0, "sweep")]
    draw_cost(points)
    (axes,) = drawn[0].axes
    order = {(line.get_marker(), line.get_ydata()[0]): line.get_zorder() for line in axes.lines}
    assert order["s", 0.9] > order["o", 0]
    assert [text.get_zorder() for text in axes.texts] == [order["s", 0.9], order["o", 0]]
    assert axes.get_ylim()[0] < 0
    assert not any(line.get_clip_on() for line in axes.lines)


@pytest.mark.parametrize("seconds", [0, -1, float("nan"), float("inf")])
def test_costs_that_were_not_measured_are_refused(seconds):
    with pytest.raises(ArgumentError, match="leave out what was not measured"):
        draw_cost([Point("a", seconds, 0.5)])
    with pytest.raises(ArgumentError, match="points is empty"):
        draw_cost([])


def photo(name="a", shape=(60, 80), **maps):
    lesions = np.zeros(shape, np.int32)
    lesions[20:30, 30:44], lesions[40:44, 10:14] = 1, 2
    return PhotoMaps(name, np.full((*shape, 3), 150, np.uint8), lesions, maps)


def test_a_method_has_one_scale_in_all_photos(drawn):
    low, high = np.full((60, 80), 0.2, np.float32), np.full((60, 80), 0.8, np.float32)
    draw_maps([photo("a", cam=low), photo("b", cam=high)], scales={"cam": (0, 2)})
    cells = {axes.get_ylabel(): axes for axes in drawn[0].axes}
    assert {"a", "b"} <= set(cells)
    shown = [axes.images[0].get_array()[0, 0] for axes in drawn[0].axes[1:4:2]]
    for pixels, value in zip(shown, (low, high), strict=True):
        np.testing.assert_array_equal(pixels, draw_heatmap(value[:1, :1], high=2)[0, 0])
    assert [t.get_text() for t in drawn[0].axes[-1].get_xticklabels()] == ["0", "2"]


def test_lesions_are_outlined_on_photo_and_maps_where_they_are(drawn):
    draw_maps([photo(cam=np.zeros((60, 80), np.float32))])
    for axes in drawn[0].axes[:2]:
        outlines = {
            (min(x), max(x), min(y), max(y)) for x, y in (line.get_data() for line in axes.lines)
        }
        assert outlines == {(30.5, 43.5, 20.5, 29.5), (10.5, 13.5, 40.5, 43.5)}


def test_what_was_not_assessed_is_hatched(drawn):
    pixels = np.zeros((60, 80), np.float32)
    pixels[:, :40] = np.nan
    draw_maps([photo(cam=pixels)])
    shown = drawn[0].axes[1].images[0].get_array()
    np.testing.assert_array_equal(shown, draw_heatmap(pixels))
    assert len(np.unique(shown[:, :40].reshape(-1, 3), axis=0)) >= 2
    assert (shown[:, 40:] == (0, 0, 4)).all()


def test_where_there_is_no_map_the_reason_stands(drawn):
    zeros = np.zeros((60, 80), np.float32)
    draw_maps([photo("a", cam=zeros, lrp="not sound"), photo("b", cam=zeros)])
    told = [text.get_text() for axes in drawn[0].axes for text in axes.texts]
    assert told == ["not sound", "not run"]


@pytest.mark.parametrize(
    ("photos", "error", "message"),
    [([], ArgumentError, "got no map"),
     ([photo()], ArgumentError, "got no map"),
     ([photo(cam=np.zeros((5, 5), np.float32))], ArgumentError, "cam of a: got shape"),
     ([photo(cam=np.zeros((60, 80), int))], ArgumentTypeError, "cam of a"),
     ([PhotoMaps("a", np.zeros((4, 4, 3), np.uint8), np.zeros((4, 5)), {"x": ""})], ArgumentError,
      "lesions of a")],
)  # fmt: skip
def test_maps_that_are_none_are_refused(photos, error, message):
    with pytest.raises(error, match=message):
        draw_maps(photos)


def test_without_matplotlib_the_extra_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    with pytest.raises(MissingPackageError, match=r"slidewin\[figures\]"):
        draw_froc([CAM])


def test_importing_the_figures_imports_no_matplotlib():
    code = (
        "import sys, slidewin.report.curves, slidewin.report.sheet;"
        "sys.exit('matplotlib' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
