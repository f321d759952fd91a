import sys
from concurrent.futures import ThreadPoolExecutor
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from slidewin.classifier import load_classifier
from slidewin.classifier.module import ModuleClassifier
from slidewin.errors import (
    ArgumentError,
    ArgumentTypeError,
    ClassifierError,
    MissingPackageError,
    SlidewinError,
)
from slidewin.saliency import GradCAM
from slidewin.saliency.score import TargetScore

SIDE, CELL = 16, 4
SEED = 2  # of weights with which every class has something that speaks for it
LABELS = ["background", "other_lesion", "melanoma"]


def photo_of(shape=(40, 56), seed=0):
    return np.random.default_rng(seed).integers(0, 256, (*shape, 3), np.uint8)


def spot(shape, place, size):
    """Black, with a white square of this size, its upper left corner at a place."""
    photo = np.zeros((*shape, 3), np.uint8)
    photo[place[0] : place[0] + size[0], place[1] : place[1] + size[1]] = 255
    return photo


def of(module, classes=LABELS, **options):
    return load_classifier(module, classes=classes, input_size=SIDE, **options)


def chain(k=3):
    """Two convolutions without padding, cells of 4 px, and a head of k logits."""
    torch.manual_seed(SEED)
    return nn.Sequential(
        nn.Conv2d(3, 6, 4, stride=2),
        nn.Tanh(),
        nn.Conv2d(6, 5, 3, stride=2),
        nn.Softplus(),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(5, k),
    )


def by_hand(classifier, image, n_features, score):
    """Grad-CAM as its paper writes it: weights are mean gradients, the sum is cut at 0.

    Of a score that is a mean over the image it is here as much as of one over a window.
    """
    layers = list(classifier.module)
    maps = nn.Sequential(*layers[:n_features])(classifier.to_input(image[None])).detach()
    maps.requires_grad_()
    (gradient,) = torch.autograd.grad(score(nn.Sequential(*layers[n_features:])(maps)[0]), maps)
    weights = gradient.mean(dim=(2, 3), keepdim=True)
    window = nn.Sequential(*layers[:n_features])(torch.zeros(1, 3, SIDE, SIDE))
    larger = maps[0, 0].numel() / window[0, 0].numel()
    return larger * (weights * maps).sum(dim=1).relu()[0].detach().numpy()


def odds(logits, columns):
    """The log odds of classes against all others."""
    others = [k for k in range(len(logits)) if k not in columns]
    return logits[columns].exp().sum().log() - logits[others].exp().sum().log()


def brightness(classes=("background", "lesion")):
    """Says lesion where it is bright, by cells of 4 px: its map can be worked out by hand."""
    module = nn.Sequential(
        nn.Conv2d(3, 1, CELL, stride=CELL, bias=False),
        nn.ReLU(),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(1, 2, bias=False),
    )
    with torch.no_grad():
        module[0].weight.fill_(1 / (3 * CELL * CELL))
        module[-1].weight[:, 0] = torch.tensor([0.0, 1.0])
    return of(module, classes)


# The formula.


@pytest.mark.parametrize("target", LABELS)
@pytest.mark.parametrize("n_features", [1, 3, 4])
def test_the_map_is_that_of_the_paper(target, n_features):
    classifier = of(chain(), mean=0.5, std=0.25)
    photo = photo_of()
    column = LABELS.index(target)
    cam = GradCAM(classifier, target=target, layer=str(n_features - 1), on="photo")
    (layer,) = cam.localize(photo).layers
    expected = by_hand(classifier, photo, n_features, lambda logits: odds(logits, [column]))
    np.testing.assert_allclose(layer.values, expected, rtol=1e-5, atol=1e-8)
    assert layer.values.max() > 0


def test_a_target_of_several_classes_is_the_log_odds_of_all():
    classifier, photo = of(chain()), photo_of()
    (layer,) = GradCAM(classifier, target="lesion", on="photo").localize(photo).layers
    expected = by_hand(classifier, photo, 4, lambda x: odds(x, [1, 2]))
    np.testing.assert_allclose(layer.values, expected, rtol=1e-5, atol=1e-8)
    assert expected.any()


@pytest.mark.parametrize(
    ("labels", "target", "outputs"),
    [
        *((LABELS, target, 3) for target in (*LABELS, "lesion")),
        (LABELS[::2], "melanoma", 2),
        (LABELS[::2], "background", 2),
        (LABELS[::2], "melanoma", 1),
        (LABELS[::2], "background", 1),
    ],
)
def test_the_score_is_what_the_sweeps_probability_is_the_sigmoid_of(labels, target, outputs):
    bias = [0.0, 2.0, -1.0][: len(labels)]
    classifier = ModuleClassifier(
        chain(outputs), classes=labels, input_size=SIDE, temperature=0.5, bias=bias
    )
    batch = np.stack([photo_of((SIDE, SIDE), seed) for seed in range(4)])
    with classifier.borrowed(), torch.no_grad():
        score = TargetScore(classifier, target)(classifier.to_input(batch))
    found = classifier.target_probability(classifier.predict_proba(batch), target)
    np.testing.assert_allclose(score.sigmoid()[:, 0].numpy(), found, rtol=1e-5)


def test_of_two_classes_one_output_and_two_are_explained_alike():
    two, photo = chain(2), photo_of()
    one = nn.Sequential(*list(two)[:-1], nn.Linear(5, 1))
    with torch.no_grad():
        one[-1].weight[:] = two[-1].weight[1] - two[-1].weight[0]
        one[-1].bias[:] = two[-1].bias[1] - two[-1].bias[0]
    maps = [
        GradCAM(of(module, LABELS[::2]), on="photo").localize(photo).layers[0].values
        for module in (one, two)
    ]
    np.testing.assert_allclose(maps[0], maps[1], rtol=1e-5)
    assert maps[0].any()


def test_scores_are_calibrated_as_for_the_sweep():
    bias = [0.0, 2.0, -1.0]
    classifier = ModuleClassifier(
        chain(), classes=LABELS, input_size=SIDE, temperature=0.25, bias=bias
    )
    photo = photo_of()

    def score(x):
        return odds(x / 0.25 + torch.tensor(bias), [1, 2])

    (layer,) = GradCAM(classifier, target="lesion", on="photo").localize(photo).layers
    expected = by_hand(classifier, photo, 4, score)
    np.testing.assert_allclose(layer.values, expected, rtol=1e-5, atol=1e-8)


def test_logits_may_come_within_an_object():
    class Wrapped(nn.Module):
        def __init__(self):
            super().__init__()
            self.inner = chain()

        def forward(self, x):
            return SimpleNamespace(logits=self.inner(x))

    plain, wrapped = (
        GradCAM(of(module), layer=layer).localize(photo_of()).layers[0].values
        for module, layer in ((chain(), "3"), (Wrapped(), "inner.3"))
    )
    np.testing.assert_array_equal(wrapped, plain)


@pytest.mark.parametrize("target", ["melanoma", "lesion"])
def test_probabilities_of_a_target_are_summed(target):
    module = chain().append(nn.Softmax(dim=1))
    classifier, photo = of(module, logits=False), photo_of()
    (layer,) = GradCAM(classifier, target=target, on="photo").localize(photo).layers
    columns = classifier.target_columns(target)
    expected = by_hand(classifier, photo, 4, lambda x: x[columns].sum())
    np.testing.assert_allclose(layer.values, expected, rtol=1e-5, atol=1e-8)


@pytest.mark.parametrize("flat", [False, True])
def test_one_logit_speaks_for_the_second_class_and_against_the_first(flat):
    module, photo = chain(1), photo_of()
    if flat:
        module.append(nn.Flatten(0))
    classifier = of(module, ["background", "melanoma"])
    maps = {}
    for target, sign in (("melanoma", 1), ("background", -1)):
        (layer,) = GradCAM(classifier, target=target, on="photo").localize(photo).layers
        expected = by_hand(classifier, photo, 4, lambda x, sign=sign: sign * x.reshape(()))
        np.testing.assert_allclose(layer.values, expected, rtol=1e-5, atol=1e-8)
        maps[target] = layer.values
    assert not (maps["melanoma"] * maps["background"]).any()  # where one is above 0, one is 0
    assert (maps["melanoma"] + maps["background"]).any()


def test_a_class_is_chosen_by_its_label():
    photo = spot((SIDE, SIDE), (4, 8), (4, 4))
    for classes in (["background", "lesion"], ["lesion", "background"]):
        classifier = brightness(classes)
        speaks = GradCAM(classifier, target=classes[1]).localize(photo)
        silent = GradCAM(classifier, target=classes[0]).localize(photo)
        assert speaks.layers[0].values.max() > 0
        assert silent.layers[0].values.max() == 0
    assert GradCAM(classifier).target == "background"  # the classifier's own


def test_nothing_is_ever_rescaled():
    classifier, photo = of(chain(2), LABELS[::2]), photo_of()
    before = GradCAM(classifier).localize(photo).layers[0].values
    with torch.no_grad():
        classifier.module[-1].weight *= 2
    after = GradCAM(classifier).localize(photo).layers[0].values
    np.testing.assert_array_equal(after, 2 * before)
    assert before.max() > 0
    np.testing.assert_array_equal(
        GradCAM(brightness()).localize(np.zeros_like(photo)).layers[0].values, 0
    )


def test_the_scale_is_the_same_from_photo_to_photo():
    dim, bright = (
        GradCAM(brightness()).localize(np.full((SIDE, SIDE, 3), value, np.uint8))
        for value in (51, 255)
    )
    np.testing.assert_allclose(bright.layers[0].values, 1 / 16, rtol=1e-5)  # one of 16 cells
    np.testing.assert_allclose(dim.layers[0].values, 0.2 / 16, rtol=1e-5)


# The geometry.


@settings(max_examples=40, deadline=None)
@given(place=st.tuples(st.integers(0, 36), st.integers(0, 52)))
def test_a_spot_lights_the_map_where_it_is_in_the_photo(place):
    photo = spot((40, 56), place, (CELL, CELL))
    heat = GradCAM(brightness(), on="photo").localize(photo)
    assert heat.photo_shape == (40, 56)
    (layer,) = heat.layers
    for axis, centres in enumerate((layer.rows, layer.cols)):
        weight = layer.values.sum(axis=1 - axis)
        # Weighted by area, the mean over cells is the spot's centre itself.
        assert (weight * centres).sum() / weight.sum() == pytest.approx(place[axis] + CELL / 2)
    peak = np.unravel_index(np.argmax(heat.to_pixels()), (40, 56))
    assert np.abs(np.add(peak, 0.5) - np.add(place, CELL / 2)).max() <= CELL


@settings(max_examples=40, deadline=None)
@given(place=st.tuples(st.integers(0, 3), st.integers(0, 3)))
def test_a_photo_shrunk_to_the_input_is_lit_in_proportion(place):
    rows, cols = 24, 40  # of the photo, a cell of the input
    corner = (rows * place[0], cols * place[1])
    (layer,) = GradCAM(brightness()).localize(spot((96, 160), corner, (rows, cols))).layers
    np.testing.assert_allclose(layer.rows, [12, 36, 60, 84])
    np.testing.assert_allclose(layer.cols, [20, 60, 100, 140])
    expected = np.zeros((4, 4))
    expected[place] = 1 / 16
    np.testing.assert_allclose(layer.values, expected, rtol=1e-5)


def test_a_photo_smaller_than_the_input_is_enlarged():
    heat = GradCAM(brightness()).localize(spot((8, 4), (0, 0), (2, 1)))
    assert heat.photo_shape == (8, 4)
    assert np.argmax(heat.layers[0].values) == 0
    np.testing.assert_allclose(heat.layers[0].rows, [1, 3, 5, 7])


def test_cells_stand_at_the_centres_of_what_they_see(network):
    heat = GradCAM(network, on="photo").localize(photo_of((100, 140)))
    (layer,) = heat.layers
    assert heat.settings["layer"] == "18"  # the last before the head
    field = 48  # of that layer; the head's kernel makes it a window of 64
    np.testing.assert_array_equal(layer.rows, field / 2 + 8 * np.arange(7))
    np.testing.assert_array_equal(layer.cols, field / 2 + 8 * np.arange(12))


def test_how_layers_are_named_does_not_move_the_map():
    plain = chain()
    named, sliced = nn.Sequential(), nn.Sequential(nn.Identity(), *plain)[1:]
    for name, layer in zip("abcdefg", plain, strict=True):
        named.add_module(name, layer)
    photo = photo_of()
    expected = GradCAM(of(plain), layer="2", on="photo").localize(photo).layers[0]
    np.testing.assert_array_equal(expected.rows, 4 + 4 * np.arange(len(expected.rows)))
    for module, layer in ((named, "c"), (sliced, "3")):
        found = GradCAM(of(module), layer=layer, on="photo").localize(photo).layers[0]
        np.testing.assert_array_equal(found.rows, expected.rows)
        np.testing.assert_array_equal(found.values, expected.values)


def test_a_layer_that_stands_in_a_chain_twice_is_seen_at_its_last_place():
    relu = nn.ReLU()
    module = nn.Sequential(
        nn.Conv2d(3, 4, 4, stride=2), relu, nn.Conv2d(4, 4, 3), relu, *list(chain())[-3:-1]
    ).append(nn.Linear(4, 3))
    heat = GradCAM(of(module), on="photo").localize(photo_of())
    assert heat.settings["layer"] == "1"
    np.testing.assert_array_equal(heat.layers[0].rows, 4 + 2 * np.arange(17))


class Padded(nn.Module):
    """A small residual network with padding, its parts nested, its sums in place."""

    def __init__(self, k=3):
        super().__init__()
        torch.manual_seed(0)
        self.stem = nn.Sequential(nn.Conv2d(3, 8, 3, padding=1), nn.ReLU(inplace=True))
        self.block = nn.ModuleDict(
            {
                "one": nn.Conv2d(8, 8, 3, padding=1),
                "norm": nn.BatchNorm2d(8),
                "two": nn.Conv2d(8, 8, 3, padding=1),
            }
        )
        self.pool = nn.MaxPool2d(4)
        self.head = nn.Linear(8, k)

    def forward(self, x):
        x = self.stem(x)
        y = self.block["norm"](self.block["one"](x)).relu_()
        y = self.block["two"](y)
        y += x
        return self.head(self.pool(y).mean((2, 3)))


def test_a_nested_padded_network_is_mapped_evenly_over_the_photo():
    classifier = of(Padded())
    for on, cells in (("input", (4, 4)), ("photo", (10, 14))):
        heat = GradCAM(classifier, on=on).localize(photo_of())
        assert heat.settings["layer"] == "pool"
        (layer,) = heat.layers
        assert layer.values.shape == cells
        np.testing.assert_allclose(layer.rows, (np.arange(cells[0]) + 0.5) * 40 / cells[0])
        np.testing.assert_allclose(layer.cols, (np.arange(cells[1]) + 0.5) * 56 / cells[1])


@pytest.mark.parametrize("layer", ["stem", "stem.0", "block.one", "block.norm", "pool"])
def test_any_layer_with_a_map_can_be_chosen(layer):
    heat = GradCAM(of(Padded()), layer=layer).localize(photo_of())
    assert heat.settings["layer"] == layer
    assert np.isfinite(heat.layers[0].values).all()


def test_a_spot_in_a_padded_network_is_lit_within_a_cell():
    module = nn.Sequential(nn.Conv2d(3, 1, 3, padding=1, bias=False), nn.ReLU(), nn.MaxPool2d(4))
    with torch.no_grad():
        module[0].weight.fill_(1)
    head = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(1, 2))
    with torch.no_grad():
        head[-1].weight[:, 0] = torch.tensor([0.0, 1.0])
    classifier = of(nn.Sequential(module, head), ["background", "lesion"])
    for place in [(0, 0), (20, 33), (36, 52)]:
        heat = GradCAM(classifier, on="photo").localize(spot((40, 56), place, (4, 4)))
        peak = np.unravel_index(np.argmax(heat.to_pixels()), (40, 56))
        assert np.abs(np.add(peak, 0.5) - np.add(place, 2)).max() <= 4


# Nothing is left behind.


def state_of(module):
    hooks = [
        (len(x._forward_hooks), len(x._forward_pre_hooks), len(x._backward_hooks))
        for x in module.modules()
    ]
    modes = [x.training for x in module.modules()]
    asks = [p.requires_grad for p in module.parameters()]
    grads = [None if p.grad is None else p.grad.clone() for p in module.parameters()]
    return hooks, modes, asks, grads, {k: v.clone() for k, v in module.state_dict().items()}


@pytest.mark.parametrize("fails", [False, True])
def test_a_module_is_left_as_it_was(fails):
    module = Padded()
    module(torch.randn(2, 3, SIDE, SIDE)).sum().backward()
    module.block["norm"].eval()
    module.head.bias.requires_grad_(False)
    if fails:
        with torch.no_grad():
            module.head.weight[0, 0] = torch.nan
    kept = []
    module.stem.register_forward_hook(lambda *_: kept.append(1))  # the caller's own stays
    before = state_of(module)
    cam = GradCAM(of(module), layer="pool")
    if fails:
        with pytest.raises(ClassifierError, match="NaN"):
            cam.localize(photo_of())
    else:
        cam.localize(photo_of())
    after = state_of(module)
    assert after[:3] == before[:3]
    torch.testing.assert_close(after[3:], before[3:], rtol=0, atol=0, equal_nan=True)
    assert kept
    assert torch.is_grad_enabled()


def test_nan_is_not_taken_for_nothing():
    class Breaks(nn.Module):
        def __init__(self):
            super().__init__()
            self.chain = chain()

        def forward(self, x):
            return self.chain(x) / (x.amax() < 0.5)

    assert GradCAM(of(Breaks())).localize(np.zeros((20, 20, 3), np.uint8)).unit == "raw"
    with pytest.raises(ClassifierError, match="returned NaN or infinity for this photo"):
        GradCAM(of(Breaks())).localize(photo_of())


def test_frozen_weights_and_no_grad_do_no_harm():
    classifier, photo = of(chain(2), LABELS[::2]), photo_of()
    expected = GradCAM(classifier).localize(photo).layers[0].values
    classifier.module.requires_grad_(False)
    with torch.no_grad():
        found = GradCAM(classifier).localize(photo).layers[0].values
    np.testing.assert_array_equal(found, expected)
    assert expected.max() > 0


def test_photos_in_several_threads_do_not_mix():
    cam = GradCAM(of(chain().train()), on="photo")
    photos = [photo_of(seed=seed) for seed in range(12)]
    expected = [cam.localize(photo).layers[0].values for photo in photos]
    with ThreadPoolExecutor(4) as pool:
        for heat, values in zip(pool.map(cam.localize, photos), expected, strict=True):
            np.testing.assert_array_equal(heat.layers[0].values, values)


@pytest.mark.parametrize("on", ["input", "photo"])
def test_how_a_photo_lies_in_memory_changes_nothing(on):
    cam, photo = GradCAM(of(chain()), on=on), photo_of()
    before = photo.copy()
    expected = cam.localize(photo).layers[0].values
    photo.flags.writeable = False
    flipped = np.ascontiguousarray(photo[:, ::-1])[:, ::-1]
    for same in (photo, np.asfortranarray(photo), flipped):
        np.testing.assert_array_equal(cam.localize(same).layers[0].values, expected)
    np.testing.assert_array_equal(photo, before)


def test_the_map_says_what_made_it():
    heat = GradCAM(of(chain()), target="lesion", on="photo").localize(photo_of())
    assert (heat.method, heat.unit) == ("Grad-CAM", "raw")
    assert dict(heat.settings) == {"target": "lesion", "layer": "3", "on": "photo"}
    assert min(heat.layers[0].values.min(), 0) == 0


# Errors in words.


@pytest.mark.parametrize(
    ("options", "complaint"),
    [
        ({"on": "screen"}, r"on='screen': choose 'input' or 'photo'"),
        ({"layer": "conv9"}, r"layer='conv9': the module has 0, 1, 2, 3, 4, 5, 6"),
        ({"layer": ""}, r"layer='': the module has 0, 1"),
        ({"target": "nevus"}, r"choose one of background, other_lesion, melanoma, lesion"),
    ],
)
def test_an_option_that_cannot_be_is_refused(options, complaint):
    with pytest.raises(ArgumentError, match=complaint):
        GradCAM(of(chain()), **options)


def test_a_classifier_without_gradients_is_refused(dark):
    with pytest.raises(ClassifierError, match=r"gradients of a torch module.*FunctionClassifier"):
        GradCAM(dark)
    with pytest.raises(SlidewinError):
        GradCAM(chain())


@pytest.mark.parametrize("layer", ["5", "6"])
def test_a_layer_without_a_map_is_refused(layer):
    cam = GradCAM(of(chain()), layer=layer)
    with pytest.raises(ArgumentError, match=rf"layer='{layer}': .*these do: 0, 1, 2, 3, 4"):
        cam.localize(photo_of())


def test_a_network_without_maps_is_refused():
    cam = GradCAM(of(nn.Sequential(nn.Flatten(), nn.Linear(3 * SIDE**2, 3))))
    with pytest.raises(ClassifierError, match="no layer with a map of more than one cell"):
        cam.localize(photo_of())


def test_a_photo_too_small_for_the_network_is_refused():
    cam = GradCAM(of(chain()), on="photo")
    with pytest.raises(ArgumentError, match=r"15 x 56 pixels are fewer than the 16 .*on='input'"):
        cam.localize(photo_of((15, 56)))


@pytest.mark.parametrize("photo", [photo_of()[..., 0], photo_of()[None], np.zeros((0, 4, 3), "u1")])
def test_what_is_no_photo_is_refused(photo):
    with pytest.raises(ArgumentError, match="photo has shape"):
        GradCAM(of(chain())).localize(photo)
    with pytest.raises(ArgumentTypeError):
        GradCAM(of(chain())).localize(photo.tolist())


def fixed_head():
    return nn.Sequential(nn.Conv2d(3, 2, 4, stride=4), nn.Flatten(), nn.Linear(32, 3))


def test_a_network_for_one_size_takes_no_other():
    assert GradCAM(of(fixed_head())).localize(photo_of()).layers[0].values.shape == (4, 4)
    with pytest.raises(ClassifierError, match=r"layer '0' for an input of 40 x 56 .*on='input'"):
        GradCAM(of(fixed_head()), on="photo").localize(photo_of())


def test_a_map_of_logits_is_no_score_for_a_class():
    module = nn.Sequential(nn.Conv2d(3, 6, 4, stride=4), nn.Conv2d(6, 3, 4), nn.Flatten())
    with pytest.raises(ClassifierError, match=r"returned shape \(1, 273\) .*\(1, 3\) is needed"):
        GradCAM(of(module), on="photo").localize(photo_of((40, 64)))


def test_a_layer_that_the_answer_does_not_depend_on_is_refused():
    class Aside(nn.Module):
        def __init__(self):
            super().__init__()
            self.main, self.aside = chain(), nn.Conv2d(3, 2, 3)

        def forward(self, x):
            self.aside(x)
            return self.main(x)

    with pytest.raises(ClassifierError, match=r"Grad-CAM fails on layer 'aside'"):
        GradCAM(of(Aside()), layer="aside").localize(photo_of())


def test_without_torchcam_it_says_how_to_get_it(monkeypatch):
    for name in [name for name in sys.modules if name.split(".")[0] == "torchcam"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "torchcam", None)
    module = chain().train()
    with pytest.raises(MissingPackageError, match=r"pip install 'slidewin\[cam\]'"):
        GradCAM(of(module)).localize(photo_of())
    assert module.training
