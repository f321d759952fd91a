"""One method, four uses: geometry, scale, and what is left behind."""

import pickle

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from slidewin.classifier import load_classifier
from slidewin.errors import ArgumentError, ArgumentTypeError, ClassifierError
from slidewin.grid import Level
from slidewin.saliency import (
    EigenCAM,
    Explainer,
    GradCAM,
    GradCAMPlusPlus,
    HiResCAM,
    LayerCAM,
    Occlusion,
    Saliency,
    ScoreCAM,
)
from slidewin.saliency.stitching import Stitching

SIDE, CELL = 16, 4
USES = ("input", "photo", "levels", "windows")
FAMILY = (GradCAM, GradCAMPlusPlus, HiResCAM, LayerCAM, ScoreCAM, EigenCAM)


class Darkness(nn.Module):
    """Says lesion where it is dark, by cells of 4 px: its maps can be worked out by hand."""

    def __init__(self, weight=1.0):
        super().__init__()
        self.cells = nn.AvgPool2d(CELL)
        self.rest = nn.ReLU()
        self.head = nn.Linear(1, 2, bias=False)
        with torch.no_grad():
            self.head.weight[:, 0] = torch.tensor([0.0, weight])

    def forward(self, x):
        darkness = self.rest(self.cells(1 - x.mean(1, keepdim=True)))
        return self.head(darkness.mean((2, 3)))


def dark(**options):
    classes = ["background", "lesion"]
    return load_classifier(Darkness(**options), classes=classes, input_size=SIDE)


def valid(seed=0, *, bias=0.5):
    """Convolutions without padding, positive features, global average pooling, a linear head."""
    torch.manual_seed(seed)
    module = nn.Sequential(
        nn.Conv2d(3, 6, 4, stride=2),
        nn.ReLU(),
        nn.Conv2d(6, 5, 3, stride=2),
        nn.ReLU(),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(5, 2),
    )
    with torch.no_grad():
        module[2].bias += 0.5
        module[-1].weight[0] = 0
        module[-1].weight[1] = module[-1].weight[1].abs()
        module[-1].bias[:] = torch.tensor([0.0, bias])
    return load_classifier(module, classes=["background", "lesion"], input_size=SIDE)


def noise(shape=(40, 56), seed=0):
    return np.random.default_rng(seed).integers(0, 256, (*shape, 3), np.uint8)


def spotted(shape, centre, side):
    """White, with a black square of this side about a place."""
    photo = np.full((*shape, 3), 255, np.uint8)
    top, left = (int(c - side / 2) for c in centre)
    photo[top : top + side, left : left + side] = 0
    return photo


def centroid(heat):
    pixels = heat.to_pixels().astype(np.float64)
    rows, cols = np.indices(pixels.shape) + 0.5
    return (pixels * rows).sum() / pixels.sum(), (pixels * cols).sum() / pixels.sum()


# Where a lesion is, the map is.


@pytest.mark.parametrize("make", [*FAMILY])
@pytest.mark.parametrize("on", USES)
def test_the_map_peaks_on_the_lesion_in_every_use(make, on):
    explainer = make(dark(), on=on, lesion_size=16, verbose=0)  # stride 8 px of the photo
    for centre in [(24, 24), (40, 72), (32, 48), (8, 8), (56, 88)]:
        pixels = explainer.localize(spotted((64, 96), centre, 16)).to_pixels()
        assert pixels.shape == (64, 96)
        places = np.argwhere(pixels >= pixels.max() * (1 - 1e-6)) + 0.5
        # A cell is 16 x 24 px of the photo where that was shrunk.
        most = {"input": (8, 12), "photo": (6.5, 6.5)}.get(on, (4.5, 4.5))
        assert (np.abs(places.mean(axis=0) - centre) <= most).all()


@settings(max_examples=20, deadline=None)
@given(place=st.tuples(st.integers(20, 44), st.integers(20, 76)))
@pytest.mark.parametrize("on", ["photo", "levels", "windows"])
def test_a_lesion_that_moves_takes_its_map_with_it_without_bias(on, place):
    heat = GradCAM(dark(), on=on, lesion_size=16, verbose=0).localize(spotted((64, 96), place, 16))
    # Half a cell, wherever it falls on the lattice; no half-window offset.
    assert np.abs(np.subtract(centroid(heat), place)).max() <= 2


def test_over_all_places_on_the_lattice_there_is_no_bias():
    explainer = GradCAM(dark(), on="windows", lesion_size=16, verbose=0)
    off = [
        np.subtract(centroid(explainer.localize(spotted((64, 96), place, 16))), place)
        for place in [(28 + down, 44 + across) for down in range(8) for across in range(8)]
    ]
    assert np.abs(np.mean(off, axis=0)).max() < 0.1


class Strided(nn.Module):
    """Brightness. As a ResNet's, its padded layers halve the lattice, from the corner on."""

    def __init__(self):
        super().__init__()
        stem = nn.Conv2d(3, 1, 3, stride=2, padding=1)
        self.body = nn.Sequential(stem, nn.ReLU(), nn.AvgPool2d(3, 2, 1), nn.ReLU())
        with torch.no_grad():
            stem.weight[:], stem.bias[:] = 1 / 27, 0.0

    def forward(self, x):
        evidence = self.body(x).mean((1, 2, 3))
        return torch.stack([torch.zeros_like(evidence), evidence], 1)


@pytest.mark.parametrize("on", ["photo", "levels", "windows"])
def test_in_a_strided_padded_network_there_is_no_bias_either(on):
    module = Strided()
    classifier = load_classifier(module, classes=["background", "lesion"], input_size=SIDE)
    explainer = GradCAM(classifier, on=on, lesion_size=16, verbose=0)
    off = [
        np.subtract(centroid(explainer.localize(255 - spotted((64, 96), place, 16))), place)
        for place in [(28 + down, 44 + across) for down in range(8) for across in range(8)]
    ]
    # Spread evenly, cells 4 px apart would stand 1.5 px further down and to the right.
    assert np.abs(np.mean(off, axis=0)).max() < 0.3


def test_the_larger_of_two_lesions_lights_the_coarser_level():
    explainer = GradCAM(dark(), on="windows", lesion_size=(8, 32), verbose=0)
    heat = explainer.localize(spotted((128, 128), (64, 64), 32))
    assert len(heat.layers) == 5
    assert np.abs(np.subtract(centroid(heat), 64)).max() <= 2
    assert [level["lesion_size"] for level in heat.settings["levels"]][::4] == [8, 32]


@pytest.mark.parametrize("on", USES)
def test_every_pixel_is_assessed(on):
    for shape in [(16, 16), (33, 50), (61, 16)]:
        for make in (GradCAM, EigenCAM):
            heat = make(dark(), on=on, lesion_size=(8, 20), verbose=0).localize(noise(shape))
            assert np.isfinite(heat.to_pixels()).all()


def test_a_photo_smaller_than_a_window_is_padded():
    for on in ("levels", "windows"):
        explainer = GradCAM(dark(), on=on, lesion_size=8, verbose=0)
        pixels = explainer.localize(spotted((12, 12), (4, 4), 4)).to_pixels()
        assert pixels.shape == (12, 12)
        places = np.argwhere(pixels == pixels.max()) + 0.5
        assert np.abs(places.mean(axis=0) - 4).max() <= 2


# Values and their scale.


@pytest.mark.parametrize("make", [GradCAM, HiResCAM, LayerCAM])
def test_levels_and_windows_have_one_scale(make):
    """With pooling and a linear head, a cell is worth the same to its window and to the level."""
    photo = noise((64, 96))
    levels, windows = (
        make(valid(), on=on, lesion_size=8, verbose=0).localize(photo).layers[0]
        for on in ("levels", "windows")
    )
    np.testing.assert_array_equal(levels.rows, windows.rows)
    np.testing.assert_array_equal(levels.cols, windows.cols)
    np.testing.assert_allclose(levels.values, windows.values, rtol=1e-4)
    assert levels.values.std() > 0


@pytest.mark.parametrize("make", [*FAMILY, Saliency, Occlusion])
def test_a_larger_photo_of_the_same_has_the_same_values(make):
    """Twice as long and as wide, by repeating it: what a place is worth stays as it was."""
    photo = np.tile(noise((16, 16)), (2, 2, 1))
    explainer = make(dark(), on="photo", verbose=0)
    small, large = (
        explainer.localize(one).layers[0].values.max() for one in (photo, np.tile(photo, (2, 2, 1)))
    )
    if make is Occlusion:  # of a probability of the whole, of which a patch has the smaller share
        assert large < small
    elif make is not EigenCAM:  # whose scale is that of the layer's activations all over
        assert large == pytest.approx(small, rel=0.02)
    assert small > 0


def test_a_probability_never_changes_by_more_than_one():
    photo = spotted((64, 96), (32, 48), 8)
    heat = Occlusion(dark(weight=40.0), on="levels", lesion_size=8, verbose=0).localize(photo)
    assert 0 < heat.layers[0].values.max() <= 1


@pytest.mark.parametrize("on", USES)
@pytest.mark.parametrize("make", [GradCAM, HiResCAM, LayerCAM])
def test_twice_the_evidence_is_twice_the_map(make, on):
    photo = spotted((64, 96), (32, 48), 16)
    once, twice = (
        make(dark(weight=weight), on=on, lesion_size=16, verbose=0).localize(photo).to_pixels()
        for weight in (1.0, 2.0)
    )
    np.testing.assert_allclose(twice, 2 * once, rtol=1e-6)
    assert once.max() > 0


@pytest.mark.parametrize("on", USES)
@pytest.mark.parametrize("make", FAMILY)
def test_no_evidence_is_no_map(make, on):
    heat = make(dark(), on=on, lesion_size=16, verbose=0).localize(
        np.full((64, 96, 3), 255, np.uint8)
    )
    assert heat.unit == "raw"
    assert heat.to_pixels().max() == 0


@pytest.mark.parametrize("make", [GradCAM, ScoreCAM, EigenCAM])
def test_windows_do_not_depend_on_who_else_is_in_their_batch(make):
    photo = noise()
    first, *others = (
        make(valid(), on="windows", lesion_size=8, batch_size=size, verbose=0)
        .localize(photo)
        .layers[0]
        .values
        for size in (1, 7, 64)
    )
    for other in others:
        np.testing.assert_allclose(other, first, rtol=1e-4, atol=1e-7)


def test_a_windows_log_odds_are_the_box_filtered_activation_map_plus_bias():
    classifier, photo = valid(bias=-1.5), noise((48, 64))
    with torch.no_grad():  # what speaks for the background speaks against the lesion
        classifier.module[-1].weight[0] = -0.5 * classifier.module[-1].weight[1]
    cam = HiResCAM(classifier, on="photo", layer="3")
    (layer,) = cam.localize(photo).layers
    cells = (SIDE - 8) // 4 + 1  # of a window: the layer's field is 8 px, its stride 4
    activation_map = layer.values.astype(np.float64) * cells**2
    with torch.no_grad():
        for m, n in np.ndindex(*np.subtract(activation_map.shape, cells - 1)):
            window = photo[4 * m : 4 * m + SIDE, 4 * n : 4 * n + SIDE]
            background, lesion = classifier.scores(classifier.to_input(window[None]))[0]
            box = activation_map[m : m + cells, n : n + cells].mean()
            assert (lesion - background).item() == pytest.approx(box - 1.5, abs=1e-5)


# How windows' maps are put together.


def level_of(shape, side=8, stride=4):
    return Level(photo_shape=shape, lesion_size=4.0, shape=shape, side=side, stride=stride)


@settings(max_examples=60, deadline=None)
@given(
    shape=st.tuples(st.integers(8, 40), st.integers(8, 40)),
    cells=st.tuples(st.integers(1, 8), st.integers(1, 8)),
    stride=st.integers(1, 4),
    slope=st.tuples(st.integers(-3, 3), st.integers(-3, 3)),
)
def test_what_is_linear_in_the_level_stays_so(shape, cells, stride, slope):
    """Windows that agree are stitched to what they agree on, wherever their cells fall."""
    level = level_of(shape, stride=stride)
    rows, cols = ((np.arange(n) + 0.5) * 8 / n for n in cells)
    stitching = Stitching(level, rows, cols)

    def truth(down, across):
        # One cell says nothing of what is between windows.
        flat = [0 if n == 1 else s for n, s in zip(cells, slope, strict=True)]
        return 5 + flat[0] * np.asarray(down)[:, None] + flat[1] * np.asarray(across)[None]

    for m, top in enumerate(level.tops):
        for n, left in enumerate(level.lefts):
            stitching.add(m, n, truth(rows + top, cols + left))
    assert (np.diff(stitching.rows) > 0).all()
    assert (np.diff(stitching.cols) > 0).all()
    inner_rows = np.clip(stitching.rows, rows[0], level.tops[-1] + rows[-1])
    np.testing.assert_array_equal(inner_rows, stitching.rows)
    found, expected = stitching.values, truth(stitching.rows, stitching.cols)
    # Beyond a window's outermost cell its value holds for half a cell.
    hold = sum(abs(s) * 8 / n / 2 for s, n in zip(slope, cells, strict=True))
    aligned = all(
        stride % (8 / n) == 0 and (length - 8) % (8 / n) == 0
        for n, length in zip(cells, shape, strict=True)
    )
    assert np.abs(found - expected).max() <= (1e-4 if aligned else hold + 1e-4)


def test_the_nearer_its_middle_the_more_a_window_says():
    stitching = Stitching(level_of((8, 12)), np.array([4.0]), np.array([2.0, 4.0, 6.0]))
    stitching.add(0, 0, np.ones((1, 3)))
    stitching.add(0, 1, np.full((1, 3), 3.0))
    # At 6 both windows have a say, the one's outermost cell and the other's; at 5 .. 7 px alike.
    assert stitching.cols.tolist() == [2, 4, 6, 8, 10]
    assert stitching.values[0].tolist() == [1, 1, 2, 3, 3]
    uneven = Stitching(level_of((8, 10)), np.array([4.0]), np.array([1.0, 3.0, 5.0, 7.0]))
    uneven.add(0, 0, np.ones((1, 4)))
    uneven.add(0, 1, np.full((1, 4), 3.0))
    # At 5 px: 1 px from the first window's middle of 4, and 1 px from the second's, of 6.
    assert uneven.values[0].tolist() == pytest.approx([1, 1.5, 2, 2.5, 3])


def test_a_window_that_stands_alone_lights_its_own_cells_alone():
    stitching = Stitching(level_of((16, 16)), np.array([2.0, 4.0, 6.0]), np.array([2.0, 4.0, 6.0]))
    stitching.add(1, 1, np.ones((3, 3)))
    lit = np.argwhere(stitching.values > 0)
    # Cells at 6 and 10 are shared with neighbours, which said nothing.
    np.testing.assert_array_equal(stitching.rows[lit[:, 0].min() : lit[:, 0].max() + 1], [6, 8, 10])
    assert stitching.values.max() == 1
    assert stitching.values[2, 3] == stitching.values[3, 2] == 0.5


# Cost, settings, errors.


def test_passes_are_counted_in_inputs():
    def passes(make, **options):
        return make(dark(), lesion_size=8, **options).passes((64, 96, 3))

    assert passes(GradCAM, on="input") == 2
    assert passes(EigenCAM, on="input") == 1
    assert passes(ScoreCAM, on="input") == 2  # one channel, and the image
    assert passes(GradCAM, on="photo") == 2 * 24
    assert passes(GradCAM, on="levels") == 2 * 24
    assert passes(GradCAM, on="windows") == 2 * 13 * 21


def test_as_many_images_are_explained_as_were_planned():
    seen = []

    class Counted(EigenCAM):
        def explain(self, images):
            seen.append(len(images))
            return super().explain(images)

    explainer = Counted(valid(), on="windows", lesion_size=(8, 12), batch_size=10, verbose=0)
    explainer.localize(noise())
    assert sum(seen) == explainer.passes((40, 56))
    assert max(seen) == 10


def test_too_dear_a_photo_is_refused_before_it_starts():
    explainer = GradCAM(dark(), on="windows", lesion_size=8, max_passes=500)
    with pytest.raises(ArgumentError, match=r"Grad-CAM with on='windows' would take 546 passes"):
        explainer.localize(noise((64, 96)))
    GradCAM(dark(), on="windows", lesion_size=8, max_passes=546).localize(noise((64, 96)))


def test_the_map_says_which_levels_it_was_made_at():
    heat = LayerCAM(valid(), on="levels", lesion_size=(8, 16)).localize(noise((64, 96)))
    assert heat.method == "LayerCAM"
    assert heat.settings["on"] == "levels"
    assert heat.settings["lesion_size"] == [8, 16]
    assert [level["shape"] for level in heat.settings["levels"]] == [[64, 96], [45, 68], [32, 48]]
    assert [layer.reach for layer in heat.layers][::2] == [np.inf, 8]


@pytest.mark.parametrize(
    ("options", "complaint"),
    [
        ({"on": "screen"}, "on='screen': choose 'input' or 'photo', .*'levels' or 'windows'"),
        ({"batch_size": 0}, "batch_size=0: a whole number from 1 up"),
        ({"max_passes": 2.5}, "max_passes=2.5: a whole number from 1 up"),
        ({"target": "nevus"}, "target='nevus'"),
    ],
)
def test_an_option_that_cannot_be_is_refused(options, complaint):
    with pytest.raises(ArgumentError, match=complaint):
        EigenCAM(dark(), **options)


@pytest.mark.parametrize("on", ["levels", "windows"])
def test_lesion_sizes_are_those_of_the_sweep(on):
    with pytest.raises(ArgumentError, match="lesion_size"):
        GradCAM(dark(), on=on, lesion_size=(20, 10)).localize(noise())
    with pytest.raises(ArgumentError, match="stride"):
        GradCAM(dark(), on=on, stride=3).localize(noise())


@pytest.mark.parametrize("on", ["levels", "windows"])
def test_windows_stand_half_a_lesion_apart_unless_told(on):
    maps = [
        GradCAM(valid(), on=on, lesion_size=8, verbose=0, **options).localize(noise((64, 96)))
        for options in ({}, {"stride": None}, {"stride": 0.5}, {"stride": 0.25})
    ]
    assert [heat.settings["stride"] for heat in maps] == [0.5, 0.5, 0.5, 0.25]
    for same in maps[1:3]:
        np.testing.assert_array_equal(same.to_pixels(), maps[0].to_pixels())


class Asks(Explainer):
    """Darkness of whole images, of any classifier."""

    method = "Asking"
    needs_module = False
    thins_out = False

    def explain(self, images):
        return self.classifier.predict_proba(images)[:, 1].reshape(-1, 1, 1)


def by_darkness(patches):
    found = 1 - patches.mean(axis=(1, 2, 3)) / 255
    return np.stack([1 - found, found], axis=1)


def test_a_method_that_only_asks_takes_any_classifier_for_images_of_its_size():
    function = load_classifier(by_darkness, classes=["background", "lesion"], input_size=SIDE)
    photo = spotted((64, 96), (32, 48), 16)
    heat = Asks(function, on="windows", lesion_size=8, verbose=0).localize(photo)
    assert heat.layers[0].values.max() == 1
    places = np.argwhere(heat.to_pixels() == heat.to_pixels().max()) + 0.5
    np.testing.assert_array_equal(places.mean(axis=0), (32, 48))
    assert Asks(function).localize(photo).to_pixels().shape == (64, 96)
    for on in ("photo", "levels"):
        with pytest.raises(
            ClassifierError, match="takes any size, and FunctionClassifier takes 16"
        ):
            Asks(function, on=on)
    with pytest.raises(ArgumentTypeError, match="load_classifier"):
        Asks(by_darkness)


@pytest.mark.parametrize("on", USES)
def test_a_module_is_left_as_it_was(on):
    classifier = valid()
    module = classifier.module.train()
    module[2].eval()
    before = {name: value.clone() for name, value in module.state_dict().items()}
    photo = noise()
    kept = photo.copy()
    photo.flags.writeable = False
    random = torch.get_rng_state().clone(), np.random.get_state()[1].copy()  # noqa: NPY002
    for make in FAMILY:
        make(classifier, on=on, lesion_size=(8, 12), verbose=0).localize(photo)
    assert [layer.training for layer in module] == [True, True, False, True, True, True, True]
    for layer in module.modules():
        for hooks in (layer._forward_hooks, layer._forward_pre_hooks, layer._backward_hooks):
            assert not hooks
    assert all(p.grad is None and p.requires_grad for p in module.parameters())
    for name, value in module.state_dict().items():
        assert torch.equal(value, before[name])
    np.testing.assert_array_equal(photo, kept)
    assert torch.equal(torch.get_rng_state(), random[0])
    np.testing.assert_array_equal(np.random.get_state()[1], random[1])  # noqa: NPY002


def test_an_explainer_travels():
    cam = pickle.loads(pickle.dumps(LayerCAM(valid(), on="levels", lesion_size=8)))
    assert cam.localize(noise()).method == "LayerCAM"


@pytest.mark.parametrize("make", [GradCAM, HiResCAM, EigenCAM])
def test_what_is_no_number_is_refused(make):
    class Breaks(nn.Module):
        """Finite scores, whose gradients are none where it is black."""

        def __init__(self):
            super().__init__()
            self.cells = nn.AvgPool2d(CELL)
            self.worse = nn.Identity()

        def forward(self, x):
            maps = self.cells(x)
            maps = self.worse(maps / maps if make is EigenCAM else maps)
            score = maps.nan_to_num().sum((2, 3)).pow(0.5).sum(1, keepdim=True)
            return torch.cat([-score, score], 1)

    classifier = load_classifier(Breaks(), classes=["background", "lesion"], input_size=SIDE)
    cam = make(classifier, layer="worse")
    with pytest.raises(ClassifierError, match=r"gives NaN or infinity on layer 'worse'"):
        cam.localize(np.zeros((32, 32, 3), np.uint8))
