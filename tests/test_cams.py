"""The CAM family against torchcam, and against their papers where torchcam has them not."""

import re
import warnings
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from torch import nn
from torchcam import methods

from slidewin.classifier import load_classifier
from slidewin.errors import ClassifierError, MissingPackageError
from slidewin.saliency import (
    CAM,
    EigenCAM,
    GradCAM,
    GradCAMPlusPlus,
    HiResCAM,
    LayerCAM,
    ScoreCAM,
)

SIDE = 16
LABELS = ["background", "other_lesion", "melanoma"]
FAMILY = (GradCAM, GradCAMPlusPlus, HiResCAM, LayerCAM, ScoreCAM, EigenCAM)


def chain(seed=3, k=3):
    torch.manual_seed(seed)
    return nn.Sequential(
        nn.Conv2d(3, 6, 4, stride=2),
        nn.ReLU(),
        nn.Conv2d(6, 5, 3, stride=1),
        nn.Softplus(),
        nn.Conv2d(5, 4, 2),
        nn.Tanh(),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(4, k),
    )


def of(module, **options):
    return load_classifier(module, classes=LABELS, input_size=SIDE, **options)


def images(n=5, side=SIDE, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (n, side, side, 3), np.uint8)


class LogOdds(nn.Module):
    """Of the last of three classes, from logits (n, 3)."""

    def forward(self, x):
        return x[:, 2:] - x[:, :2].exp().sum(1, keepdim=True).log()


def parts(classifier, batch, layer):
    """Activations and gradients by hand, (n, channels, rows, cols)."""
    layers = list(classifier.module)
    activations = nn.Sequential(*layers[: layer + 1])(classifier.to_input(batch)).detach()
    activations.requires_grad_()
    scores = nn.Sequential(*layers[layer + 1 :], LogOdds())(activations)
    (gradients,) = torch.autograd.grad(scores.sum(), activations)
    return activations.detach().double().numpy(), gradients.double().numpy()


def close(found, expected):
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-5 * np.abs(expected).max())
    assert found.dtype == np.float32
    assert found.min() >= 0
    assert found.max() > 0


@pytest.mark.parametrize(
    ("ours", "theirs"),
    [(GradCAM, "GradCAM"), (LayerCAM, "LayerCAM"), (ScoreCAM, "ScoreCAM")],
)
@pytest.mark.parametrize("layer", ["1", "3"])
def test_it_agrees_with_torchcam_image_by_image(ours, theirs, layer):
    module = chain()
    if ours is ScoreCAM:  # whose masks torchcam spreads evenly: patches are spread so
        module[0], module[2] = nn.Conv2d(3, 6, 4, stride=4), nn.Conv2d(6, 5, 1)
    classifier, batch = of(module, mean=0.5, std=0.25), images()
    found = ours(classifier, layer=layer).explain(batch)
    module = nn.Sequential(classifier.module, LogOdds()).eval()
    expected = []
    for one in batch:
        with getattr(methods, theirs)(module, f"0.{layer}") as extractor:
            scores = module(classifier.to_input(one[None]).requires_grad_())
            expected.append(extractor(class_idx=0, scores=scores, normalized=False)[0][0])
    close(found, torch.stack(expected).numpy())


@pytest.mark.parametrize("layer", [1, 3])
def test_grad_cam_plus_plus_is_that_of_its_paper(layer):
    classifier, batch = of(chain()), images()
    activations, g = parts(classifier, batch, layer)
    total = activations.sum((2, 3), keepdims=True)
    denominator = 2 * g**2 + total * g**3
    alpha = np.divide(g**2, denominator, out=np.zeros_like(g), where=denominator != 0)
    weights = (alpha * g.clip(0)).sum((2, 3), keepdims=True)
    expected = (weights * activations).sum(1).clip(0)
    close(GradCAMPlusPlus(classifier, layer=str(layer)).explain(batch), expected)


def test_grad_cam_plus_plus_bears_features_below_zero():
    classifier, batch = of(chain()), images()
    with torch.no_grad():
        classifier.module[-1].weight *= 1e4  # denominators pass through 0
    found = GradCAMPlusPlus(classifier, layer="5").explain(batch)
    assert np.isfinite(found).all()


def test_grad_cam_plus_plus_weighs_no_channel_whose_damping_is_not_above_zero():
    activations = torch.tensor([[[[-9.0, 1.0]], [[-3.0, 4.0]]]])
    gradients = torch.tensor([[[[0.5, 0.5]], [[0.5, 0.5]]]])  # 2 + g sum A: -2 and 2.5
    (values,) = GradCAMPlusPlus(of(chain()))._combine(activations, gradients)
    np.testing.assert_allclose(values, [[-3 * 0.4, 4 * 0.4]], rtol=1e-6)


@pytest.mark.parametrize("layer", [1, 3, 5])
def test_hirescam_multiplies_cell_by_cell(layer):
    classifier, batch = of(chain()), images()
    activations, gradients = parts(classifier, batch, layer)
    expected = (activations * gradients).sum(1).clip(0)
    close(HiResCAM(classifier, layer=str(layer)).explain(batch), expected)


def test_grad_cam_and_hirescam_agree_before_average_pooling():
    """Each then weighs a channel the same everywhere (Draelos and Carin, section 3)."""
    module, batch = nn.Sequential(*list(chain())[:4], *list(chain())[-3:-1]), images()
    classifier = of(module.append(nn.Linear(5, 3)))
    with torch.no_grad():
        module[-1].weight.abs_()
    close(GradCAM(classifier).explain(batch), HiResCAM(classifier).explain(batch))


@pytest.mark.parametrize("layer", [1, 3])
def test_eigen_cam_is_the_first_principal_direction(layer):
    classifier, batch = of(chain()), images()
    activations, _ = parts(classifier, batch, layer)
    found = EigenCAM(classifier, layer=str(layer)).explain(batch)
    for one, values in zip(activations, found, strict=True):
        cells = one.reshape(len(one), -1).T
        scatter = cells.T @ cells
        direction = np.linalg.eigh(scatter)[1][:, -1]
        expected = (cells @ direction).reshape(one.shape[1:])
        close(values, (expected * np.sign(expected.sum())).clip(0))


@pytest.mark.parametrize("sign", [1, -1])
def test_eigen_cam_lights_up_one_end_of_its_direction_alone(sign):
    """Cells at -1, 2 and 3 on it: where the sum is above 0 is up, and the other end is 0."""
    module = nn.Sequential(
        nn.AvgPool2d(4), nn.Conv2d(3, 2, 1), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(2, 3)
    )
    with torch.no_grad():
        module[1].weight[:] = 0
        module[1].weight[0, 0] = 5 * sign
        module[1].bias[:] = torch.tensor([-1.0 * sign, 0.0])
    image = np.zeros((1, 4, 12, 3), np.uint8)
    image[0, :, 4:8, 0], image[0, :, 8:, 0] = 153, 204  # 0.6 and 0.8
    found = EigenCAM(of(module), layer="1").explain(image)
    np.testing.assert_allclose(found, [[[0, 2, 3]]], atol=1e-5)


def test_eigen_cam_asks_for_no_class():
    classifier, photo = of(chain()), images(1, 40)[0]
    maps = [EigenCAM(classifier, target=label).localize(photo) for label in LABELS]
    for other in maps[1:]:
        np.testing.assert_array_equal(other.layers[0].values, maps[0].layers[0].values)
    assert [heat.settings["target"] for heat in maps] == LABELS


def test_score_cam_lets_through_where_the_cells_stand():
    """A lit cell of 3 x 3, at 4, 8 and 12 of 16 px, unmasks its own place."""
    module = nn.Sequential(
        nn.AvgPool2d(8, stride=4), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(3, 3)
    )
    classifier = of(module)
    asked = []
    handle = module.register_forward_pre_hook(lambda _, args: asked.append(args[0].clone()))
    image = np.zeros((1, SIDE, SIDE, 3), np.uint8)
    image[0, 8:, 8:, 0] = 255  # in the cell at 12, 12 alone all over
    ScoreCAM(classifier, layer="1").explain(image)
    handle.remove()
    shown = asked[-1][0, 0].numpy()  # by the first channel
    cells = np.array([[0, 0, 0], [0, 0.25, 0.5], [0, 0.5, 1]])
    between = [np.interp(np.arange(SIDE) + 0.5, [4, 8, 12], e) for e in np.eye(3)]
    mask = np.einsum("ij,ir,jc->rc", cells, between, between)
    np.testing.assert_allclose(shown, mask * (image[0, ..., 0] / 255), atol=1e-6)
    assert shown.max() == pytest.approx(1)


def test_score_cam_bears_more_channels_than_a_batch_and_photos_larger_than_the_input():
    classifier, photo = of(chain()), images(1, 40)[0]
    few, many = (
        ScoreCAM(classifier, on="photo", batch_size=size).localize(photo).layers[0].values
        for size in (1, 64)
    )
    np.testing.assert_allclose(few, many, rtol=1e-5)
    assert ScoreCAM(classifier).passes((40, 40)) == 4 + 1


@pytest.mark.parametrize("make", FAMILY)
def test_a_batch_is_its_images(make):
    cam, batch = make(of(chain()), target="lesion"), images()
    alone = np.concatenate([cam.explain(image[None]) for image in batch])
    np.testing.assert_allclose(cam.explain(batch), alone, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("make", FAMILY)
def test_a_layer_changed_in_place_is_explained_as_changed(make):
    def module(*, inplace):
        layers = list(chain())
        layers[1] = nn.ReLU(inplace=inplace)
        return nn.Sequential(*layers)

    batch = images()
    expected = make(of(module(inplace=False)), layer="1").explain(batch)
    found = make(of(module(inplace=True)), layer="0").explain(batch)
    np.testing.assert_allclose(found, expected, rtol=1e-5)


@pytest.mark.parametrize("make", FAMILY)
def test_logits_may_come_within_an_object(make):
    class Wrapped(nn.Module):
        def __init__(self):
            super().__init__()
            self.inner = chain()

        def forward(self, x):
            return SimpleNamespace(logits=self.inner(x))

    batch = images()
    expected = make(of(chain())).explain(batch)
    np.testing.assert_array_equal(make(of(Wrapped())).explain(batch), expected)


@pytest.mark.parametrize("make", FAMILY)
def test_frozen_weights_and_no_grad_do_no_harm(make):
    classifier, batch = of(chain()), images()
    expected = make(classifier).explain(batch)
    classifier.module.requires_grad_(False)
    with torch.no_grad():
        np.testing.assert_array_equal(make(classifier).explain(batch), expected)


@pytest.mark.parametrize("make", [GradCAM, GradCAMPlusPlus, HiResCAM, LayerCAM])
def test_scores_in_sixteen_bits_will_do(make):
    classifier, batch = of(chain().bfloat16()), images()
    found = make(classifier).explain(batch)
    assert found.dtype == np.float32
    assert np.isfinite(found).all()


@pytest.mark.parametrize("make", FAMILY)
def test_a_classifier_without_layers_is_refused(make, dark):
    with pytest.raises(
        ClassifierError, match=rf"{re.escape(make.method)} needs .*FunctionClassifier"
    ):
        make(dark)


@pytest.mark.parametrize("make", [GradCAMPlusPlus, HiResCAM])
def test_a_layer_that_the_answer_does_not_depend_on_is_refused(make):
    class Aside(nn.Module):
        def __init__(self):
            super().__init__()
            self.main, self.aside = chain(), nn.Conv2d(3, 2, 3)

        def forward(self, x):
            self.aside(x)
            return self.main(x)

    with pytest.raises(ClassifierError, match=rf"{re.escape(make.method)} fails on layer 'aside'"):
        make(of(Aside()), layer="aside").localize(images(1)[0])


def test_only_what_torchcam_computes_needs_it(monkeypatch):
    import sys

    for name in [name for name in sys.modules if name.split(".")[0] == "torchcam"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "torchcam", None)
    for make in FAMILY:
        cam, photo = make(of(chain())), images(1)[0]
        if make in (GradCAM, LayerCAM):
            with pytest.raises(MissingPackageError, match=r"pip install 'slidewin\[cam\]'"):
                cam.localize(photo)
        else:
            assert cam.localize(photo).method == make.method


@pytest.mark.parametrize("make", FAMILY)
def test_inference_mode_does_no_harm(make):
    cam, photo = make(of(chain())), images(1)[0]
    expected = cam.localize(photo).layers[0].values
    with torch.inference_mode():
        np.testing.assert_array_equal(cam.localize(photo).layers[0].values, expected)


def test_a_module_that_hooks_cannot_look_into_is_refused():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        scripted = torch.jit.script(chain())
    with pytest.raises(ClassifierError, match=r"needs a module that can be looked into.* made of"):
        GradCAM(of(scripted)).localize(images(1)[0])


class Tokens(nn.Module):
    """A vision transformer's shape: patches, then tokens."""

    def __init__(self):
        super().__init__()
        self.patch = nn.Conv2d(3, 4, 4, stride=4)
        self.block = nn.LayerNorm(4)
        self.head = nn.Linear(4, 3)

    def forward(self, x):
        return self.head(self.block(self.patch(x).flatten(2).transpose(1, 2)).mean(1))


def test_a_layer_before_the_tokens_is_taken_if_it_is_named_alone():
    classifier, photo = of(Tokens()), images(1)[0]
    with pytest.raises(ClassifierError, match=r"after 'patch', .* tokens \('block'\).* layer="):
        GradCAM(classifier).localize(photo)
    assert GradCAM(classifier, layer="patch").localize(photo).layers[0].values.shape == (4, 4)


def test_the_family_is_one():
    assert all(issubclass(make, CAM) for make in FAMILY)
    assert len({make.method for make in FAMILY}) == len(FAMILY)
