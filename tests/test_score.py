"""What maps are worth, where another method did not look and where nothing counts."""

import cv2
import numpy as np
import pytest

from slidewin.comparison.methods import SWEEP
from slidewin.comparison.notes import how_done
from slidewin.comparison.results import Cost, Result
from slidewin.comparison.rows import make_rows
from slidewin.comparison.sample import Sample
from slidewin.comparison.score import score_maps
from slidewin.heatmap import HeatLayer, HeatMap
from slidewin.output import write_png

SHAPE = (60, 80)


class Ran:
    """Results of methods by photos, as a run has them, of pixels given."""

    def __init__(self, maps, cost=None):
        self.maps, self.cost = maps, cost or {}

    def result(self, method, name, *, with_map=True):
        pixels = self.maps[method, name]
        heat = HeatMap(
            SHAPE,
            [HeatLayer(pixels, *(np.arange(n) + 0.5 for n in SHAPE))],
            method=method,
            unit="probability" if method == SWEEP else "raw",
            settings={"lesion_size": [12.0, 40.0]} if method == SWEEP else {},
        )
        return Result(heat, cost=self.cost.get((method, name)))


def disc(row, col, radius=6):
    mask = np.zeros(SHAPE, np.uint8)
    cv2.circle(mask, (col, row), radius, 1, -1)
    return mask > 0


@pytest.fixture
def put(tmp_path):
    """A photo of one colour, its lesions and what is to be ignored in it."""
    from slidewin.comparison.outline import MaskFile

    def write(name, lesion=None, ignore=None):
        photo = tmp_path / f"{name}.png"
        write_png(photo, np.full((*SHAPE, 3), 200, np.uint8))
        drawn = []
        for kind, mask in (("lesion", lesion), ("ignore", ignore)):
            path = tmp_path / f"{name}_{kind}.png"
            if mask is not None:
                write_png(path, mask.astype(np.uint8) * 255)
            drawn.append(() if mask is None else (MaskFile(path, photo, whole=True),))
        return Sample(name, photo, drawn[0], ignore=drawn[1])

    return write


def score(ran, samples, validation=()):
    methods = list(dict.fromkeys(method for method, _ in ran.maps))
    return score_maps(ran, methods, samples, validation, verbose=0)


def test_what_is_best_where_another_did_not_look_suppresses_nothing(put):
    lesion = disc(30, 39)  # one half of it to each side of column 40
    rising = np.where(lesion, np.arange(1, 81, dtype=np.float32) / 100, 0).astype(np.float32)
    half = rising.copy()
    half[:, 40:] = np.nan
    flat = np.zeros(SHAPE, np.float32)
    ran = Ran({(SWEEP, "a"): flat, ("full", "a"): rising, ("half", "a"): half})
    scored = score(ran, [put("a", lesion)])
    judged = [scored.photos[method, "raw"]["a"].judged for method in ("full", "half")]
    assert judged[0] == judged[1]
    assert judged[0].hits == pytest.approx((0.4,))
    assert scored.photos["full", "raw"]["a"].peaks == 1


def test_what_the_data_set_ignores_still_suppresses_its_neighbours(put):
    ink = disc(30, 39)
    pixels = np.zeros(SHAPE, np.float32)
    pixels[30, 39], pixels[30, 47] = 0.9, 0.5  # beside the ink, and by its light
    scored = score(Ran({(SWEEP, "a"): pixels}), [put("a", disc(30, 10, 9), ink)])
    assert 0.5 not in scored.photos[SWEEP, "as is"]["a"].judged.false


def test_the_gate_is_opened_by_what_counts_alone(put):
    ink, lesion = disc(30, 60), disc(30, 20)

    def swept(found):
        return np.where(ink, 0.99, np.where(lesion, found, 0.1)).astype(np.float32)

    samples = [put("with", lesion, ink), put("without", None, ink)]
    held = [put("v_with", lesion, ink), put("v_without", None, ink)]
    maps = {
        (SWEEP, name): swept(0.7 if name.endswith("with") else 0.1)
        for name in ("with", "without", "v_with", "v_without")
    }
    cam = np.linspace(0, 1, 4800, dtype=np.float32).reshape(SHAPE)
    maps |= {("cam", name): cam for _, name in list(maps)}
    scored = score(Ran(maps), samples, held)
    assert scored.gate == pytest.approx(0.7)
    gated = scored.photos["cam", "gated"]
    assert gated["with"].highest == pytest.approx(1, abs=0.01)
    assert gated["without"].highest == 0


@pytest.mark.parametrize(
    ("lesion", "radius", "words"),
    [
        (disc(30, 20, 9), 9, "half the median diameter of the validation photos' lesions"),
        (None, 6, "half the smallest lesion that is looked for"),
    ],
)
def test_without_lesions_candidates_are_still_apart(put, lesion, radius, words):
    rng = np.random.default_rng(0)
    pixels = rng.random(SHAPE, np.float32)
    maps = {(SWEEP, name): pixels for name in ("a", "v")}
    samples, held = [put("a")], [put("v", lesion)]
    ran = Ran(maps)
    scored = score(ran, samples, held)
    assert scored.radius == pytest.approx(radius, abs=0.5)
    assert len(scored.photos[SWEEP, "as is"]["a"].judged.false) < 100  # of 500 local maxima
    notes = how_done(scored, samples, held, ran, [SWEEP], target="lesion")
    assert any(words in note for note in notes)


def test_costs_are_those_of_the_photos_after_the_first(put):
    def cost(seconds, first):
        return Cost(seconds, 2 * seconds, 2**20, 10**6, 1, 1, first)

    flat = np.zeros(SHAPE, np.float32)
    samples = [put(name) for name in "abc"]
    costs = {(SWEEP, "a"): cost(90.0, True), (SWEEP, "b"): cost(1.0, False)}
    costs[SWEEP, "c"] = cost(3.0, False)

    def figures(names):
        taken = [one for one in samples if one.name in names]
        ran = Ran({(SWEEP, one.name): flat for one in taken}, costs)
        (row,) = make_rows(ran, score(ran, taken), [SWEEP], taken, n_draws=3)
        return row.figures

    assert figures("abc")["seconds_per_mp"] == 2
    assert figures("abc")["cpu_seconds_per_mp"] == 4
    assert figures("abc")["seconds"] == 94
    assert figures("a")["seconds_per_mp"] == 90  # of one photo there is no other
