import sys
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from torch import nn

import slidewin
from slidewin.classifier import load_classifier
from slidewin.errors import ArgumentError, ClassifierError, MissingPackageError
from slidewin.saliency import LRP, Deconvolution, GuidedBackprop, IntegratedGradients, Saliency
from slidewin.saliency.chain import Chain
from slidewin.saliency.surroundings import surroundings

SIDE = 16
LABELS = ["background", "other_lesion", "melanoma"]
METHODS = [Saliency, IntegratedGradients, GuidedBackprop, Deconvolution, LRP]
PLAIN = {"mean": (0.0, 0.0, 0.0), "std": (1.0, 1.0, 1.0)}


def photo_of(shape=(SIDE, SIDE), seed=0):
    return np.random.default_rng(seed).integers(0, 256, (*shape, 3), np.uint8)


def of(module, classes=LABELS, **options):
    return load_classifier(module.eval(), classes=classes, input_size=SIDE, **options)


def seeded(make):
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return make()


def chain(k=3, inplace=False):
    """With all that a common network has: padding, batch norms, poolings, linear layers."""

    def make():
        module = nn.Sequential(
            nn.Conv2d(3, 6, 3, padding=1, bias=False),
            nn.BatchNorm2d(6),
            nn.ReLU(inplace=inplace),
            nn.MaxPool2d(2),
            nn.Conv2d(6, 8, 3, padding="same"),
            nn.ReLU(inplace=inplace),
            nn.AvgPool2d(2),
            nn.Dropout(0.5),
            nn.Flatten(),
            nn.Linear(8 * 4 * 4, 10),
            nn.BatchNorm1d(10),
            nn.ReLU(inplace=inplace),
            nn.Linear(10, k),
        )
        module(torch.randn(64, 3, SIDE, SIDE))  # statistics for the batch norms
        return module

    return seeded(make)


def pooled(k=3):
    """Takes images of any size."""
    return seeded(
        lambda: nn.Sequential(
            nn.Conv2d(3, 6, 4, stride=2),
            nn.ReLU(),
            nn.Conv2d(6, 8, 3, stride=2),
            nn.ReLU(),
            nn.AdaptiveAvgPool2d(1),
            nn.Flatten(),
            nn.Linear(8, k),
        )
    )


def smooth(k=3):
    return seeded(
        lambda: nn.Sequential(
            nn.Conv2d(3, 6, 4, stride=2),
            nn.Tanh(),
            nn.Conv2d(6, 5, 3, stride=2),
            nn.Softplus(),
            nn.AdaptiveAvgPool2d(1),
            nn.Flatten(),
            nn.Linear(5, k),
        )
    )


def values(method, classifier, photo, **options):
    (layer,) = method(classifier, **options).localize(photo).layers
    return layer.values


# Saliency and integrated gradients, where they are known in closed form.


def linear():
    module = seeded(lambda: nn.Sequential(nn.Flatten(), nn.Linear(3 * SIDE**2, 1)))
    weight = module[1].weight.detach().numpy().reshape(3, SIDE, SIDE)
    return of(module, ["background", "melanoma"], std=(0.5, 0.25, 1.0)), weight


def test_the_sensitivity_of_a_linear_network_is_its_largest_weight():
    classifier, weight = linear()
    for target in ("melanoma", "background"):
        found = values(Saliency, classifier, photo_of(), target=target)
        np.testing.assert_allclose(found, np.abs(weight).max(0), rtol=1e-6)


@pytest.mark.parametrize("n_steps", [1, 16])
def test_integrated_gradients_of_a_linear_network_are_its_products(n_steps):
    classifier, weight = linear()
    photo = photo_of()
    around = surroundings(photo[None], SIDE)[0]
    ahead = (photo.astype(float) - around) / 255 / (0.5, 0.25, 1.0)
    products = (ahead.transpose(2, 0, 1) * weight).sum(0)
    for target, sign in (("melanoma", 1), ("background", -1)):
        found = values(IntegratedGradients, classifier, photo, target=target, n_steps=n_steps)
        np.testing.assert_allclose(found, (sign * products).clip(0), rtol=1e-3, atol=1e-6)
    assert products.max() > 0 > products.min()


def test_integrated_gradients_sum_to_what_the_image_adds_to_its_surroundings():
    classifier, photo = of(smooth(1), ["background", "melanoma"], mean=0.5, std=0.25), photo_of()
    found = {
        target: values(IntegratedGradients, classifier, photo, target=target, n_steps=24)
        for target in classifier.classes_
    }
    images = np.stack([photo, surroundings(photo[None], SIDE)[0]])
    with torch.no_grad():
        image, baseline = classifier.module(classifier.to_input(images)).numpy()[:, 0]
    # What speaks for one class speaks against the other.
    total = found["melanoma"].sum(dtype=float) - found["background"].sum(dtype=float)
    assert total == pytest.approx(image - baseline, rel=1e-3)
    assert abs(image - baseline) > 1e-3
    assert not (found["melanoma"] * found["background"]).any()


def test_colours_like_their_surroundings_add_nothing():
    plain = np.full((40, 56, 3), (30, 0, 0), np.uint8)  # black would be far from this, or alike
    assert not values(IntegratedGradients, of(pooled()), plain, on="photo").any()


def test_scores_are_calibrated_as_for_the_sweep():
    photo = photo_of()
    for method in METHODS:
        warm, cool = (
            values(
                method,
                slidewin.classifier.module.ModuleClassifier(
                    chain(2).eval(), classes=LABELS[::2], input_size=SIDE, temperature=t
                ),
                photo,
                target="background",
            )
            for t in (1.0, 0.25)
        )
        np.testing.assert_allclose(cool, 4 * warm, rtol=1e-3, atol=1e-7)
        assert warm.any()


# Guided backpropagation and deconvolution.


class _Ruled(torch.autograd.Function):
    """A ReLU with another rule for going back."""

    @staticmethod
    def forward(ctx, x, guided):
        ctx.save_for_backward(x)
        ctx.guided = guided
        return x.clamp(min=0)

    @staticmethod
    def backward(ctx, gradient):
        (x,) = ctx.saved_tensors
        kept = gradient.clamp(min=0)
        return (kept * (x > 0) if ctx.guided else kept), None


class _RuledReLU(nn.Module):
    def __init__(self, guided):
        super().__init__()
        self.guided = guided

    def forward(self, x):
        return _Ruled.apply(x, self.guided)


@pytest.mark.parametrize(("method", "guided"), [(GuidedBackprop, True), (Deconvolution, False)])
@pytest.mark.parametrize("inplace", [False, True])
def test_relus_hand_back_what_the_papers_say(method, guided, inplace):
    classifier, photo = of(chain(inplace=inplace), mean=0.5, std=0.25), photo_of()
    found = values(method, classifier, photo)
    ruled = nn.Sequential(
        *(_RuledReLU(guided) if isinstance(x, nn.ReLU) else x for x in chain().eval())
    )
    inputs = classifier.to_input(photo[None]).requires_grad_()
    logits = ruled(inputs)[0]
    (gradient,) = torch.autograd.grad(logits[2] - logits[:2].logsumexp(0), inputs)
    np.testing.assert_allclose(found, gradient[0].abs().amax(0).numpy(), rtol=1e-5, atol=1e-9)
    plain = values(Saliency, classifier, photo)
    assert np.abs(found - plain).max() > 0.1 * plain.max()
    assert [x.inplace for x in classifier.module if isinstance(x, nn.ReLU)] == [inplace] * 3


@pytest.mark.parametrize("method", [GuidedBackprop, Deconvolution])
def test_a_relu_that_is_called_twice_is_ruled_twice(method):
    apart = pooled()
    shared = nn.Sequential(*apart)
    shared[3] = shared[1]
    found = values(method, of(shared), photo_of())
    np.testing.assert_allclose(found, values(method, of(apart), photo_of()), rtol=1e-6)
    assert found.any()


class Functional(nn.Module):
    """ReLUs that are no layers: all of them, or but one."""

    def __init__(self, n_layers=0):
        super().__init__()
        self.parts = pooled()
        self.relu = nn.ReLU() if n_layers else nn.functional.relu

    def forward(self, x):
        x = self.relu(self.parts[0](x))
        x = torch.relu(self.parts[2](x))
        return self.parts[4:](x)


@pytest.mark.parametrize("method", [GuidedBackprop, Deconvolution])
def test_networks_whose_relus_cannot_be_ruled_are_refused(method):
    for module in (smooth(), Functional()):
        with pytest.raises(ClassifierError, match=r"calls none: .*plain gradient's. Use Saliency"):
            method(of(module)).localize(photo_of())
    with pytest.raises(ClassifierError, match=r"1 of the network's 2 ReLUs are functions"):
        method(of(Functional(1))).localize(photo_of())
    assert values(Saliency, of(Functional()), photo_of()).any()  # which needs no rule


# Layer-wise relevance propagation.


def images_of(n=6, shape=(64, 64)):
    """Noise, what is smooth, black and white."""
    images = np.random.default_rng(1).integers(0, 256, (n, *shape, 3), np.uint8)
    images[0], images[1] = 0, 255
    images[2] = np.linspace(40, 220, shape[1])[None, :, None]
    images[3] = 180
    images[3, 20:44, 20:44] = (70, 40, 30)
    return images


def conserved(classifier, images):
    """What relevance sums to, and what it should: (n, classes) each."""
    inputs = classifier.to_input(images)
    with classifier.borrowed():
        relevance = Chain(classifier.module, classifier.mean, classifier.std)
        scores = classifier.module(inputs).detach() - relevance.bias
        found = [relevance.relevance(inputs, k).sum((1, 2)) for k in range(scores.shape[1])]
    return torch.stack(found, 1).numpy(), scores.numpy()


def test_relevance_is_conserved_in_the_default_network():
    classifier = slidewin.load_classifier()
    for shape in ((64, 64), (100, 84)):
        found, scores = conserved(classifier, images_of(shape=shape))
        np.testing.assert_allclose(found, scores, rtol=0.01, atol=1e-5)
        assert np.abs(scores).min() > 1e-3


class Nested(nn.Module):
    """A chain without Sequential, whose pooling, ReLU and flattening are functions."""

    def __init__(self, view):
        super().__init__()
        self.parts, self.view = pooled(), view

    def forward(self, x):
        x = self.parts[1](self.parts[0](x))
        x = nn.functional.relu(self.parts[2](x))
        x = nn.functional.dropout(x, 0.5, self.training)
        if self.view:
            x = nn.functional.adaptive_avg_pool2d(x, 1)
            x = x.view(x.size(0), -1)
        else:
            x = x.mean((2, 3))
        return self.parts[6](x)


@pytest.mark.parametrize(
    ("module", "k"),
    [
        (chain(), 3),
        (chain(1), 2),
        (chain(inplace=True), 3),
        (pooled(), 3),
        (Nested(True), 3),
        (Nested(False), 3),
    ],
)
def test_relevance_is_conserved_in_chains_of_every_kind(module, k):
    classifier = of(module, LABELS[:k], mean=0.4, std=0.3)
    found, scores = conserved(classifier, images_of(shape=(SIDE, SIDE)))
    np.testing.assert_allclose(found, scores, rtol=0.01, atol=1e-5)


def test_captum_by_itself_does_not_conserve_it():
    # Why the network is rebuilt: should this fail, Captum may have become sound.
    from captum.attr import LRP as Captum  # noqa: N811

    layers = slidewin.load_classifier().module
    known = [layer for layer in layers if not isinstance(layer, nn.Flatten | nn.Dropout2d)]
    module = nn.Sequential(*known).eval()
    inputs = torch.zeros(1, 3, 64, 64).requires_grad_()
    relevance = Captum(module).attribute(inputs, target=(2, 0, 0)).sum().item()
    score = module(inputs)[0, 2].item()
    assert abs(relevance - score) > 0.5 * abs(score)


def test_relevance_of_a_small_network_by_hand():
    # A convolution of 2 x 2 to two features, two more of these, and two scores.
    module = nn.Sequential(
        nn.Conv2d(3, 2, 2), nn.ReLU(), nn.Flatten(), nn.Linear(2, 2), nn.ReLU(), nn.Linear(2, 2)
    )
    rng = np.random.default_rng(5)
    w, b = rng.normal(size=(2, 3, 2, 2)), np.array([2.0, 6.0])
    u, c = np.array([[0.5, -0.25], [-0.5, 2.0]]), np.array([0.75, -0.5])
    v = np.array([[9.0, 9.0], [0.5, -2.0]])
    with torch.no_grad():
        for tensor, numbers in zip(module.parameters(), (w, b, u, c, v, [3, -4]), strict=True):
            tensor.copy_(torch.tensor(numbers))
    classifier = load_classifier(
        module.eval(), classes=LABELS[:2], input_size=2, mean=0.5, std=0.25
    )
    photo = photo_of((2, 2))
    x = (photo / 255 - 0.5).transpose(2, 0, 1) / 0.25
    low, high = -2.0, 2.0  # of what black and white become
    first = (w * x).sum((1, 2, 3)) + b
    second = u @ first + c
    assert (first > 0).all()
    assert (second > 0).all()
    expected = np.zeros((2, 2))
    for m in range(2):
        handed = v[1, m] * second[m]  # the bias of -4 is left out
        shares = np.append(first * u[m].clip(0), max(c[m], 0))
        shares *= handed / shares.sum()
        expected += shares[-1] / 4  # a bias speaks for all pixels alike
        for j in range(2):
            pixels = (np.where(w[j] > 0, w[j] * (x - low), w[j] * (x - high))).sum(0) + b[j] / 4
            expected += shares[j] * pixels / pixels.sum()
    found = values(LRP, classifier, photo)
    np.testing.assert_allclose(found, expected.clip(0), rtol=1e-4, atol=1e-7)
    signed = Chain(module, (0.5,) * 3, (0.25,) * 3).relevance(classifier.to_input(photo[None]), 1)
    np.testing.assert_allclose(signed[0], expected, rtol=1e-4)
    assert signed.sum().item() == pytest.approx(v[1] @ second, rel=1e-5)


@pytest.mark.parametrize(("target", "columns"), [("lesion", [1, 2]), ("melanoma", [2])])
def test_classes_hand_back_their_mean_by_probability_less_that_of_others(target, columns):
    classifier, photo = of(chain(), mean=0.5, std=0.25), photo_of()
    inputs = classifier.to_input(photo[None])
    network = Chain(classifier.module, classifier.mean, classifier.std)
    each = np.stack([network.relevance(inputs, k)[0].numpy() for k in range(3)])
    p = classifier.predict_proba(photo[None])[0]
    ours = np.isin(range(3), columns)
    weights = np.where(ours, p / p[ours].sum(), -p / p[~ours].sum())
    expected = np.tensordot(weights, each, 1).clip(0)
    found = values(LRP, classifier, photo, target=target)
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-7)
    assert expected.any()


def test_one_logit_speaks_for_the_second_class_and_against_the_first():
    classifier, photo = of(chain(1), LABELS[::2], mean=0.5, std=0.25), photo_of()
    network = Chain(classifier.module, classifier.mean, classifier.std)
    signed = network.relevance(classifier.to_input(photo[None]), 0)[0].numpy()
    for target, sign in (("melanoma", 1), ("background", -1)):
        found = values(LRP, classifier, photo, target=target)
        np.testing.assert_allclose(found, (sign * signed).clip(0), rtol=1e-5, atol=1e-9)


class Residual(nn.Module):
    def __init__(self):
        super().__init__()
        self.parts = pooled()

    def forward(self, x):
        x = self.parts[1](self.parts[0](x))
        return self.parts[4:](self.parts[3](self.parts[2](x)) + x.mean((1, 2, 3), keepdim=True))


def head(channels=4):
    return [nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(channels, 3)]


@pytest.mark.parametrize(
    ("module", "reason"),
    [
        (Residual(), r"'mean' does not take what the one before it gives"),
        (smooth(), r"layer '1' \(Tanh\) is of another kind"),
        (
            nn.Sequential(nn.Conv2d(3, 4, 3), nn.Conv2d(4, 4, 3), *head()),
            r"'1' \(Conv2d\) .*no ReLU",
        ),
        (nn.Sequential(nn.Conv2d(3, 4, 3), *head()), r"'1' \(AdaptiveAvgPool2d\) .*no ReLU"),
        (
            nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.Conv2d(4, 4, 3, groups=2), *head()),
            r"'2' \(Conv2d\) has groups=2",
        ),
        (nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.BatchNorm2d(4), *head()), r"'2' \(Batch"),
        (nn.Sequential(nn.Flatten(), nn.Linear(3 * SIDE**2, 3)), "is no convolution followed by"),
        (nn.Sequential(nn.Conv2d(3, 3, SIDE), nn.Flatten()), "is no convolution followed by"),
        (pooled().append(nn.ReLU()), r"'7' \(ReLU\) comes after the last layer"),
        (pooled().append(nn.Softmax(dim=1)), r"'7' \(Softmax\) is of another kind"),
    ],
)
def test_networks_that_lrp_is_unsound_on_are_refused(module, reason):
    with pytest.raises(ClassifierError, match=rf"LRP: .*({reason}).*Use another method"):
        LRP(of(module)).localize(photo_of())


def test_a_forward_that_is_no_graph_is_refused():
    class Chooses(nn.Module):
        def __init__(self):
            super().__init__()
            self.parts = pooled()

        def forward(self, x):
            return self.parts(x) if x.mean() < 9 else -self.parts(x)

    with pytest.raises(ClassifierError, match=r"forward is no fixed graph of layers"):
        LRP(of(Chooses())).localize(photo_of())


def test_probabilities_are_refused():
    module = pooled().append(nn.Softmax(dim=1))
    with pytest.raises(ClassifierError, match="LRP hands back logits"):
        LRP(of(module, logits=False))


def test_relevance_that_does_not_sum_to_the_score_is_refused():
    module = pooled()

    def larger(_, __, output):  # but not where the forward is looked at
        return output * 1.5 if isinstance(output, torch.Tensor) else output

    module[2].register_forward_hook(larger)
    with pytest.raises(ClassifierError, match=r"not conserved .* sums to .* score of .* 1 %"):
        LRP(of(module)).localize(photo_of())
    assert len(module[2]._forward_hooks) == 1


# All of them.


def brightness(k=2):
    """Says lesion where it is bright, by cells of 2 px."""
    module = nn.Sequential(
        nn.Conv2d(3, 1, 2, stride=2, bias=False),
        nn.ReLU(),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(1, k, bias=False),
    )
    with torch.no_grad():
        module[0].weight.fill_(1 / 12)
        module[-1].weight[:, 0] = torch.tensor([0.0, 1.0])
    return of(module, ["background", "lesion"])


# Deconvolution is left out: without pooling it does not depend on the image at all.
@pytest.mark.parametrize("method", [Saliency, IntegratedGradients, GuidedBackprop, LRP])
@pytest.mark.parametrize("on", ["input", "photo", "levels", "windows"])
@pytest.mark.parametrize("place", [(4, 40), (20, 8)])
def test_a_spot_lights_the_map_where_it_is_in_every_use(method, on, place):
    photo = np.zeros((32, 64, 3), np.uint8)
    photo[place[0] : place[0] + 4, place[1] : place[1] + 4] = 255
    options = {"lesion_size": 8} if on in ("levels", "windows") else {}
    heat = method(brightness(), on=on, **options).localize(photo)
    assert (heat.method, heat.unit, heat.settings["on"]) == (method.method, "raw", on)
    weight = heat.to_pixels().astype(float)
    assert weight.min() >= 0
    middle = [
        (weight.sum(1 - axis) * (np.arange(n) + 0.5)).sum() / weight.sum()
        for axis, n in enumerate(weight.shape)
    ]
    np.testing.assert_allclose(middle, np.add(place, 2), atol=0.5 if on != "input" else 2)


@pytest.mark.parametrize("method", METHODS)
def test_a_cell_is_a_pixel(method):
    (layer,) = method(of(pooled()), on="photo").localize(photo_of((20, 30))).layers
    np.testing.assert_array_equal(layer.rows, np.arange(20) + 0.5)
    np.testing.assert_array_equal(layer.cols, np.arange(30) + 0.5)
    (shrunk,) = method(of(pooled())).localize(photo_of((20, 30))).layers
    assert shrunk.values.shape == (SIDE, SIDE)
    assert shrunk.cols[0] == 0.5 * 30 / SIDE


@pytest.mark.parametrize("method", METHODS)
def test_each_image_is_explained_as_if_alone(method):
    explainer = method(of(chain()))
    images = np.random.default_rng(0).integers(0, 256, (5, SIDE, SIDE, 3), np.uint8)
    with explainer.classifier.borrowed():
        together = explainer.explain(images)
        alone = np.concatenate([explainer.explain(images[i : i + 1]) for i in range(5)])
    np.testing.assert_allclose(together, alone, rtol=1e-3, atol=1e-6)
    assert together.any()


def state_of(module):
    hooks = [
        (len(x._forward_hooks), len(x._forward_pre_hooks), len(x._backward_hooks), set(vars(x)))
        for x in module.modules()
    ]
    modes = [x.training for x in module.modules()]
    asks = [
        (p.requires_grad, None if p.grad is None else p.grad.sum()) for p in module.parameters()
    ]
    return hooks, modes, asks, {k: v.clone() for k, v in module.state_dict().items()}


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("fails", [False, True])
def test_a_module_is_left_as_it_was(method, fails):
    module = chain(inplace=True).train()
    module(torch.randn(2, 3, SIDE, SIDE)).sum().backward()
    module[1].eval()
    module[-1].bias.requires_grad_(False)
    classifier = load_classifier(module, classes=LABELS, input_size=SIDE)
    if fails:
        with torch.no_grad():
            module[-1].weight[0, 0] = torch.nan
    before, drawn, threads = state_of(module), torch.get_rng_state(), torch.get_num_threads()
    photo = photo_of()
    photo.flags.writeable = False
    if fails:
        with pytest.raises(ClassifierError, match="NaN"):
            method(classifier).localize(photo)
    else:
        with torch.no_grad():
            method(classifier).localize(photo)
    after = state_of(module)
    assert after[:3] == before[:3]
    torch.testing.assert_close(after[3], before[3], rtol=0, atol=0, equal_nan=True)
    assert torch.equal(torch.get_rng_state(), drawn)
    assert torch.get_num_threads() == threads
    assert torch.is_grad_enabled()


@pytest.mark.parametrize("method", METHODS)
def test_frozen_weights_do_no_harm(method):
    module = chain()
    expected = values(method, of(module), photo_of())
    module.requires_grad_(False)
    np.testing.assert_array_equal(values(method, of(module), photo_of()), expected)
    assert expected.any()


@pytest.mark.parametrize("method", [Saliency, IntegratedGradients, GuidedBackprop, Deconvolution])
def test_logits_may_come_within_an_object(method):
    class Wrapped(nn.Module):
        def __init__(self):
            super().__init__()
            self.inner = chain()

        def forward(self, x):
            return SimpleNamespace(logits=self.inner(x))

    found = values(method, of(Wrapped()), photo_of())
    np.testing.assert_array_equal(found, values(method, of(chain()), photo_of()))


@pytest.mark.parametrize("method", METHODS)
def test_what_cannot_be_explained_is_refused(method, dark, monkeypatch):
    with pytest.raises(ClassifierError, match=r"gradients of a torch module.*FunctionClassifier"):
        method(dark)
    with pytest.raises(ClassifierError, match=r"input of 20 x 24 pixels; try on='input'"):
        method(of(chain()), on="photo").localize(photo_of((20, 24)))
    for name in [name for name in sys.modules if name.split(".")[0] == "captum"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "captum", None)
    with pytest.raises(MissingPackageError, match=r"needs Captum: pip install 'slidewin\[cam\]'"):
        method(of(chain())).localize(photo_of())


@pytest.mark.parametrize("n_steps", [0, -1, 2.0, True, "many"])
def test_steps_that_cannot_be_are_refused(n_steps):
    with pytest.raises(ArgumentError, match=r"n_steps=.*a whole number from 1 up"):
        IntegratedGradients(of(chain()), n_steps=n_steps)


def test_costs_are_told():
    classifier = of(chain())
    costs = [method(classifier).passes((40, 56, 3)) for method in METHODS]
    assert costs == [2, 32, 2, 2, 10]
    assert LRP(of(chain(2), LABELS[::2])).passes((40, 56, 3)) == 7
    assert IntegratedGradients(classifier, n_steps=5).passes((40, 56, 3)) == 10
    for method, each in ((Saliency, 2), (IntegratedGradients, 16), (LRP, 10)):
        windows = method(classifier, on="windows", lesion_size=8)
        assert windows.passes((40, 56, 3)) == each * len(windows.plan((40, 56, 3)))
