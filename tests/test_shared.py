"""Windows that share their work are answered for as each is by itself, or they do not share it."""

import copy
import warnings
from collections import OrderedDict

import cloudpickle
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from slidewin.classifier import load_classifier
from slidewin.classifier.lattice import aligned
from slidewin.classifier.shared import share
from slidewin.errors import SharingError, SlidewinWarning
from slidewin.network import window_network
from slidewin.sweep import SlidingWindow

MEAN, STD = (0.6, 0.5, 0.45), (0.2, 0.25, 0.3)


class Net(nn.Module):
    """Layers, and a forward written out."""

    def __init__(self, run, **layers):
        super().__init__()
        self.run = run
        for name, layer in layers.items():
            setattr(self, name, layer)

    def forward(self, x):
        return self.run(self, x)


def pooled(*layers):
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten())


def prepared(module, seed=0):
    """In evaluation mode, with weights and statistics that let no difference go unseen."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for layer in module.modules():
            if isinstance(layer, nn.Conv2d | nn.Linear):
                layer.weight.normal_(0, 1.5 * layer.weight[0].numel() ** -0.5, generator=generator)
                if layer.bias is not None:
                    layer.bias.normal_(0, 0.3, generator=generator)
            elif getattr(layer, "running_var", None) is not None:
                layer.running_mean.normal_(0, 0.5, generator=generator)
                layer.running_var.uniform_(0.5, 2, generator=generator)
                if layer.affine:
                    layer.weight.uniform_(0.5, 1.5, generator=generator)
                    layer.bias.normal_(0, 0.5, generator=generator)
    return module.eval()


def classifier_of(module, size, k=2, **description):
    classes = ["a", "b", "c"][: max(k, 2)]
    return load_classifier(
        module, classes=classes, input_size=size, mean=MEAN, std=STD, **description
    )


def picture(h, w, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (h, w, 3), dtype=np.uint8)


def lattice(length, size, stride):
    """Origins of windows along an axis, the last one shifted back."""
    return [*range(0, length - size, stride), length - size]


def both_ways(classifier, image, tops, lefts, *, stride):
    together = classifier.share(stride).predict(image, tops, lefts)
    alone = classifier.predict_windows(image, tops, lefts)
    assert together.shape == alone.shape == (len(tops), len(lefts), len(classifier.classes_))
    assert together.dtype == np.float32
    return together, alone


# --- any chain of local layers ------------------------------------------------------------------

ACTIVATIONS = (nn.ReLU, nn.LeakyReLU, nn.ELU, nn.GELU, nn.SiLU, nn.Sigmoid, nn.Tanh, nn.Identity)


@st.composite
def bodies(draw, size):
    """Layers without padding; the channels and the cells a side that they make of a window."""
    layers, channels, n = [], 3, size
    for _ in range(draw(st.integers(1, 4))):
        kind = draw(st.sampled_from(["convolution", "convolution", "maximum", "average"]))
        dilation = 1 if kind == "average" else draw(st.integers(1, 2))
        kernel = draw(st.integers(1, max(1, min(4, (n - 1) // dilation + 1))))
        step = draw(st.integers(1, 3))
        reach = n - dilation * (kernel - 1) - 1
        fits = reach % step == 0 and draw(st.booleans())
        if kind == "maximum":
            layers.append(nn.MaxPool2d(kernel, step, dilation=dilation, ceil_mode=fits))
        elif kind == "average":
            divisor = draw(st.sampled_from([None, 3]))
            layers.append(nn.AvgPool2d(kernel, step, ceil_mode=fits, divisor_override=divisor))
        else:
            groups = channels if channels < 7 and draw(st.booleans()) else 1
            options = {"dilation": dilation, "groups": groups, "bias": draw(st.booleans())}
            made = groups * draw(st.integers(1, 2)) if groups > 1 else draw(st.integers(1, 4))
            layers.append(nn.Conv2d(channels, made, kernel, step, **options))
            channels = made
        n = reach // step + 1
        if draw(st.booleans()):
            layers.append(nn.BatchNorm2d(channels, affine=draw(st.booleans())))
        if draw(st.booleans()):
            layers.append(draw(st.sampled_from(ACTIVATIONS))())
        if draw(st.booleans()):
            layers = [nn.Sequential(*layers)]
    return layers, channels, n


@st.composite
def heads(draw, channels, n, k):
    """From a window's map to its scores."""
    pooling = draw(st.sampled_from([nn.AdaptiveAvgPool2d(1), nn.AvgPool2d(n)]))
    first = draw(st.sampled_from(["pooled", "flat", "slid", "a cell"]))
    if first == "slid":
        conv = nn.Conv2d(channels, k, draw(st.integers(1, n)))
        return [conv, nn.AdaptiveAvgPool2d((1, 1)), nn.Flatten()]
    if first == "a cell":
        return [nn.Conv2d(channels, k, n), nn.Flatten()]
    layers = [pooling, nn.Flatten()] if first == "pooled" else [nn.Flatten()]
    features = channels if first == "pooled" else channels * n**2
    if draw(st.booleans()):
        layers += [nn.Linear(features, 3), nn.BatchNorm1d(3, affine=draw(st.booleans()))]
        layers += [draw(st.sampled_from(ACTIVATIONS))(), nn.Dropout()]
        features = 3
    return [*layers, nn.Linear(features, k, bias=draw(st.booleans()))]


@st.composite
def origins(draw, size, stride):
    """Length of an axis, and where windows start along it."""
    length = size + draw(st.integers(0, 4 * stride))
    if draw(st.booleans()):
        return length, lattice(length, size, stride)
    anywhere = st.sets(st.integers(0, length - size), min_size=1, max_size=3)
    return length, sorted(draw(anywhere))


@settings(max_examples=60)
@given(st.data())
def test_sharing_answers_for_every_window_as_each_window_does_by_itself(data):
    size, k = data.draw(st.integers(8, 24), "size"), data.draw(st.integers(1, 3), "outputs")
    layers, channels, n = data.draw(bodies(size), "body")
    layers += data.draw(heads(channels, n, k), "head")
    logits = data.draw(st.booleans(), "logits")
    if not logits:
        layers.append(
            nn.Sigmoid() if k == 1 else nn.Softmax(dim=data.draw(st.sampled_from([1, -1])))
        )
    module = prepared(nn.Sequential(*layers), seed=size)
    is_double = data.draw(st.booleans(), "double precision")
    classifier = classifier_of(module.double() if is_double else module, size, k, logits=logits)
    stride = data.draw(st.integers(1, size // 2), "stride")
    h, tops = data.draw(origins(size, stride), "rows")
    w, lefts = data.draw(origins(size, stride), "columns")
    together, alone = both_ways(classifier, picture(h, w), tops, lefts, stride=stride)
    np.testing.assert_allclose(together, alone, rtol=0, atol=1e-6 if is_double else 1e-5)


@settings(max_examples=40)
@given(
    size=st.integers(8, 16),
    step=st.integers(1, 6),
    stride=st.integers(1, 9),
    is_flat=st.booleans(),
    seed=st.integers(0, 10**6),
)
def test_windows_may_lie_at_any_distance_whatever_the_network_s_stride(
    size, step, stride, is_flat, seed
):
    """It divides the network's stride, or is divided by it, or neither."""
    body = [nn.Conv2d(3, 3, 3), nn.ReLU(), nn.Conv2d(3, 4, 2, step), nn.ReLU(), nn.Conv2d(4, 4, 1)]
    cells = (size - 4) // step + 1
    head = [nn.Flatten(), nn.Linear(4 * cells**2, 2)] if is_flat else [*pooled(), nn.Linear(4, 2)]
    classifier = classifier_of(prepared(nn.Sequential(*body, *head), seed), size)
    assert classifier.share(stride).spacing == np.gcd(step, stride)
    h, w = size + 3 * stride + 1, size + 2 * stride
    tops, lefts = lattice(h, size, stride), lattice(w, size, stride)
    together, alone = both_ways(classifier, picture(h, w, seed), tops, lefts, stride=stride)
    np.testing.assert_allclose(together, alone, rtol=0, atol=1e-5)


# --- forwards written out -----------------------------------------------------------------------


def convolution(made, given_=4, kernel=1, **options):
    return nn.Conv2d(given_, made, kernel, **options)


def added_in_place(net, x):
    y = net.a(net.body(x))
    y += net.b(y)
    return net.out(y.mean((2, 3)))


def all_functions(net, x):
    x = nn.functional.leaky_relu(net.norm(net.conv(x)), 0.2)
    x = nn.functional.relu(net.then(x), inplace=True)
    x = torch.flatten(nn.functional.adaptive_avg_pool2d(x, 1), 1)
    return net.out(nn.functional.dropout(x, 0.5, net.training))


def body(*layers):
    """Windows of 13 px to 5 x 5 cells of 4 channels, the last pixels of which nothing sees."""
    return nn.Sequential(convolution(4, 3, 4, stride=2), nn.BatchNorm2d(4), nn.ReLU(), *layers)


def out(features=4):
    return nn.Linear(features, 3)


WRITTEN = {
    "functions": Net(
        all_functions,
        conv=convolution(4, 3, 4, stride=2),
        norm=nn.BatchNorm2d(4),
        then=convolution(4, 4, 3),
        out=out(),
    ),
    "the mean": Net(lambda net, x: net.out(net.body(x).mean((2, 3))), body=body(), out=out()),
    "the mean, kept": Net(
        lambda net, x: net.out(torch.mean(net.body(x), dim=[-1, -2], keepdim=True).flatten(1)),
        body=body(),
        out=out(),
    ),
    "a view": Net(
        lambda net, x: net.out((y := net.body(x)).view(y.size(0), -1)), body=body(), out=out(100)
    ),
    "another shape": Net(
        lambda net, x: net.out((y := net.body(x)).reshape(y.shape[0], -1)),
        body=body(),
        out=out(100),
    ),
    "branches side by side": Net(
        lambda net, x: net.out(torch.cat([net.a(y := net.body(x)), net.b(y), y], dim=1)),
        body=body(),
        a=convolution(2),
        b=nn.Sequential(convolution(3), nn.Tanh()),
        out=nn.Sequential(convolution(6, 9, 2), *pooled(), out(6)),
    ),
    "branches added": Net(
        lambda net, x: net.out(net.a(y := net.body(x)) + net.b(y)),
        body=body(),
        a=nn.Sequential(convolution(4), nn.BatchNorm2d(4)),
        b=convolution(4),
        out=pooled(nn.ReLU(), convolution(3, 4, 3)),
    ),
    "a block with a way round": Net(
        lambda net, x: net.out(
            nn.functional.relu(net.b(nn.functional.relu(net.a(y := net.body(x)))) + y)
        ),
        body=body(),
        a=nn.Sequential(convolution(4), nn.BatchNorm2d(4)),
        b=nn.Sequential(convolution(4), nn.BatchNorm2d(4)),
        out=pooled(convolution(3, 4, 3)),
    ),
    "added in place": Net(added_in_place, body=body(), a=convolution(4), b=nn.ReLU(), out=out()),
    "a gate": Net(
        lambda net, x: net.out((y := net.body(x)) * torch.sigmoid(net.gate(y))),
        body=body(),
        gate=convolution(4),
        out=pooled(convolution(3, 4, 3)),
    ),
    "flattened side by side": Net(
        lambda net, x: net.out(
            torch.cat([net.a(y := net.body(x)).flatten(1), torch.flatten(net.b(y), 1)], 1)
        ),
        body=body(),
        a=convolution(2),
        b=convolution(3),
        out=out(125),
    ),
    "pooled side by side": Net(
        lambda net, x: net.out(
            torch.cat((net.a(y := net.body(x)).mean((2, 3)), y.mean((3, 2))), 1)
        ),
        body=body(),
        a=nn.Sequential(convolution(2), nn.Tanh()),
        out=out(6),
    ),
    "the input in two places": Net(
        lambda net, x: net.out(net.a(x) - net.b(x)),
        a=convolution(4, 3, 3),
        b=convolution(4, 3, 3),
        out=pooled(nn.Tanh(), convolution(3, 4, 2, stride=3)),
    ),
    "the input scaled": Net(
        lambda net, x: net.out(net.body(2 * x - 1)), body=body(), out=pooled(convolution(3))
    ),
    "layers used twice": Net(
        lambda net, x: net.out(net.act(net.norm(net.conv(net.act(net.norm(net.conv(x))))))),
        conv=convolution(3, 3, 3, stride=2),
        norm=nn.BatchNorm2d(3),
        act=nn.ReLU(inplace=True),
        out=pooled(),
    ),
    "a block used twice": Net(
        lambda net, x: net.out(net.block(net.block(net.body(x)))),
        body=body(),
        block=nn.Sequential(nn.Sequential(convolution(4, 4, 2), nn.BatchNorm2d(4)), nn.ReLU()),
        out=pooled(convolution(3)),
    ),
    "a first convolution of groups": nn.Sequential(
        convolution(6, 3, 3, groups=3), nn.ReLU(), pooled(convolution(3, 6, 2, stride=4))
    ),
    "no convolution first": nn.Sequential(
        nn.AvgPool2d(2, 1), nn.BatchNorm2d(3), nn.MaxPool2d(3, 2), *pooled(), nn.Linear(3, 3)
    ),
    "layers after the pooling": nn.Sequential(
        *body(),
        nn.AdaptiveAvgPool2d(1),
        nn.BatchNorm2d(4),
        convolution(5),
        nn.GELU(),
        nn.Flatten(),
        nn.BatchNorm1d(5),
        nn.Dropout(),
        out(5),
        nn.BatchNorm1d(3, affine=False),
    ),
}


@pytest.mark.parametrize("stride", [1, 2, 3, 4, 6])
@pytest.mark.parametrize("name", WRITTEN)
def test_a_forward_written_out_shares_too(name, stride):
    classifier = classifier_of(prepared(copy.deepcopy(WRITTEN[name])), 13, k=3)
    image = picture(13 + 4 * stride + 1, 13 + 3 * stride)
    tops, lefts = lattice(len(image), 13, stride), lattice(image.shape[1], 13, stride)
    together, alone = both_ways(classifier, image, tops, lefts, stride=stride)
    np.testing.assert_allclose(together, alone, rtol=0, atol=1e-5)
    assert np.ptp(alone[..., 0]) > 1e-3  # else anything would do


def test_log_probabilities_and_probabilities_of_a_forward_share():
    for last, logits in ((nn.functional.log_softmax, True), (nn.functional.softmax, False)):
        net = Net(
            lambda net, x, last=last: last(net.layers(x), dim=-1),
            layers=pooled(convolution(3, 3, 3)),
        )
        classifier = classifier_of(prepared(net), 8, k=3, logits=logits)
        together, alone = both_ways(classifier, picture(14, 15), [0, 3, 6], [0, 3, 7], stride=3)
        np.testing.assert_allclose(together, alone, rtol=0, atol=1e-5)


def test_branches_of_which_a_window_leaves_the_same_cells_share_or_are_refused():
    """At 9 px each makes 4 cells; of an image, one kernel has more room than the other."""
    net = Net(
        lambda net, x: net.out(net.a(x) + net.b(x)),
        a=convolution(4, 3, 2, stride=2),
        b=convolution(4, 3, 3, stride=2),
        out=nn.Sequential(*pooled(), nn.Linear(4, 2)),
    )
    classifier = classifier_of(prepared(net), 9)
    for stride in (2, 4, 1, 3):
        refusal = ""
        try:
            classifier.share(stride)
        except SharingError as error:
            refusal = str(error)
        if refusal:  # which will do where the network's own stride is lost
            assert stride % 2
            assert "'add'" in refusal
            continue
        together, alone = both_ways(classifier, picture(17, 16), [0, 3, 8], [0, 7], stride=stride)
        np.testing.assert_allclose(together, alone, rtol=0, atol=1e-5)


# --- what is shared, and how --------------------------------------------------------------------


def small_network():
    """Windows of 10 px to one cell, from cell to cell 4 px."""
    layers = (nn.Conv2d(3, 4, 4, stride=2), nn.BatchNorm2d(4), nn.ReLU(), nn.MaxPool2d(2))
    return prepared(pooled(*layers, nn.Conv2d(4, 3, 2)))


def test_the_default_network_shares_and_leaves_the_module_as_it_was(network):
    image = picture(150, 131)
    tops, lefts = [0, 16, 86], [0, 16, 32, 48, 64, 67]
    network.module.train()
    before = {name: value.clone() for name, value in network.module.state_dict().items()}
    shared = network.share(16)
    assert (shared.spacing, shared.precision) == (8, "float32")
    assert shared.saving > 8
    together = shared.predict(image, tops, lefts)
    assert network.module.training
    for name, value in network.module.state_dict().items():
        assert torch.equal(value, before[name]), name
    np.testing.assert_allclose(together, network.predict_windows(image, tops, lefts), atol=1e-5)


def test_every_normalisation_is_folded_in():
    for mean, std in ((None, None), (0.5, 0.25), (MEAN, STD), ((-1, 0, 9), (1e-2, 1, 1 / 255))):
        classifier = load_classifier(
            small_network(), classes=["a", "b", "c"], input_size=10, mean=mean, std=std
        )
        together, alone = both_ways(classifier, picture(14, 18), [0, 4], [0, 8], stride=4)
        np.testing.assert_allclose(together, alone, rtol=0, atol=1e-5)


def test_calibration_counts_for_windows_that_share():
    classifier = classifier_of(small_network(), 10, k=3)
    plain = classifier.share(4).predict(picture(10, 10), [0], [0])
    classifier.temperature, classifier.bias = 2.0, (0.0, 1.0, -1.0)
    together, alone = both_ways(classifier, picture(10, 10), [0], [0], stride=4)
    np.testing.assert_allclose(together, alone, rtol=0, atol=1e-5)
    assert np.abs(together - plain).max() > 0.01


@pytest.mark.parametrize("stride", [1, 3, 4, 5])
def test_a_window_by_itself_is_answered_for_wherever_it_lies(stride):
    classifier = classifier_of(small_network(), 10, k=3)
    image = picture(31, 29)
    shared = classifier.share(stride)
    for top, left in ((0, 0), (21, 19), (7, 5)):
        window = image[top : top + 10, left : left + 10]
        alone = classifier.predict_proba(window[None])
        for where, place in ((image, (top, left)), (window, (0, 0))):
            found = shared.predict(where, [place[0]], [place[1]])
            assert found.shape == (1, 1, 3)
            np.testing.assert_allclose(found[0], alone, rtol=0, atol=1e-5)


def test_the_image_may_lie_in_memory_as_it_likes_and_is_not_changed():
    shared = classifier_of(small_network(), 10, k=3).share(4)
    image = picture(22, 26)
    before = image.copy()
    wanted = shared.predict(image, [0, 4, 12], [0, 16])
    image.flags.writeable = False
    np.testing.assert_array_equal(shared.predict(image, [0, 4, 12], [0, 16]), wanted)
    np.testing.assert_array_equal(
        shared.predict(np.asfortranarray(image), [0, 4, 12], [0, 16]), wanted
    )
    wide = np.repeat(image, 2, axis=1)[:, ::2]
    np.testing.assert_array_equal(shared.predict(wide, [0, 4, 12], [0, 16]), wanted)
    np.testing.assert_array_equal(image, before)


def test_cells_that_stick_out_at_the_border_of_a_level_answer_for_no_window():
    layers = (nn.Conv2d(3, 4, 3), nn.MaxPool2d(2, ceil_mode=True), nn.Conv2d(4, 2, 2))
    classifier = classifier_of(prepared(pooled(*layers)), 6)
    together, alone = both_ways(classifier, picture(13, 11), [*range(8)], [*range(6)], stride=1)
    np.testing.assert_allclose(together, alone, rtol=0, atol=1e-5)


@pytest.mark.parametrize(
    ("origins", "passes"),
    [
        ([0, 4, 8, 12], 1),  # all whole strides apart
        ([0, 4, 8, 11], 4),  # a strip, two sides and a corner
    ],
)
def test_windows_that_lie_alike_on_the_cells_are_one_pass(origins, passes):
    shared = classifier_of(small_network(), 10, k=3).share(4)
    seen = []
    shared.network.layer__0.register_forward_hook(lambda *args: seen.append(1))
    assert shared.predict(picture(24, 24), origins, origins).shape == (4, 4, 3)
    assert len(seen) == passes


def test_the_saving_is_of_multiplications_and_is_counted_for_windows_and_for_pixels():
    layers = pooled(nn.Conv2d(3, 2, 3)).eval()
    # By itself a window of 8 px has 36 cells of 54 products; every 4 px there are 16 cells.
    assert share(layers, 8, stride=4).saving == 36 / 16
    assert share(layers, 8, stride=1).saving == 36
    # A stride of 4 is lost where windows are 3 px apart: 9 cells instead of 4.
    assert share(pooled(nn.Conv2d(3, 2, 4, stride=4)).eval(), 8, stride=3).saving == pytest.approx(
        4 / 9
    )


def test_the_rebuilt_network_travels_and_answers_the_same_bit_for_bit(network):
    image = picture(100, 110)
    for shared in (network.share(16), network.share(5), network.share(16, precision="auto")):
        back = cloudpickle.loads(cloudpickle.dumps(shared))
        assert (back.spacing, back.saving, back.precision) == (
            shared.spacing,
            shared.saving,
            shared.precision,
        )
        found = back.predict(image, [0, 16, 36], [0, 46])
        np.testing.assert_array_equal(found, shared.predict(image, [0, 16, 36], [0, 46]))


def test_sharing_keeps_nothing_of_autograd_and_stands_in_no_training_s_way():
    module = small_network().train()
    module[0].weight.requires_grad_(False)
    classifier = classifier_of(module, 10, k=3)
    with torch.enable_grad():
        classifier.share(4).predict(picture(14, 14), [0, 4], [0, 4])
        assert torch.is_grad_enabled()
        assert not torch.is_inference_mode_enabled()
    assert not module[0].weight.requires_grad
    assert all(p.grad is None for p in module.parameters())
    module(torch.randn(2, 3, 10, 10)).sum().backward()
    assert module[4].weight.grad is not None


def test_whoever_listens_in_hears_of_windows():
    module = window_network(2).eval()
    classifier = load_classifier(module, classes=["a", "b"], input_size=64)
    heard = []
    handle = module[0].register_forward_hook(lambda *args: heard.append(tuple(args[1][0].shape)))
    with pytest.raises(SharingError, match=r"layer '0' \(Conv2d\) has hooks"):
        classifier.share(16)
    classifier.predict_windows(np.zeros((80, 80, 3), np.uint8), [0, 16], [0, 16])
    assert heard == [(4, 3, 64, 64)]
    handle.remove()
    assert classifier.share(16).spacing == 8


def test_origins_are_grouped_by_what_is_left_of_a_spacing():
    assert aligned([0, 8, 16, 19], 8) == [[0, 1, 2], [3]]
    assert aligned([5], 8) == [[0]]
    assert aligned([0, 3, 4, 7], 4) == [[0, 2], [1, 3]]


# --- what may not be shared ---------------------------------------------------------------------


class Centred(nn.ReLU):
    """By its kind a layer that is pointwise."""

    def forward(self, x):
        return super().forward(x) - x.mean()


class Pads(nn.Conv2d):
    """By its attributes without padding."""

    def forward(self, x):
        return super().forward(nn.functional.pad(x, (1, 1, 1, 1)))


def listened_to(layer):
    layer.register_forward_hook(lambda layer, inputs, x: x - x.mean((2, 3), keepdim=True))
    return layer


def patched(layer):
    layer.forward = lambda x: nn.Conv2d.forward(layer, x) - x.mean()
    return layer


def unpadded_later(layer):
    layer.padding = (0, 0)  # which it does not look at
    return layer


def first(*layers, last=1):
    """Of windows of 8 px first 6 x 6 cells, then what is to be told of, from layer 2 on."""
    return pooled(convolution(4, 3, 3), nn.ReLU(), *layers, convolution(2, kernel=last))


def attention(net, x):
    rows = net.body(x).flatten(2).transpose(1, 2)
    return net.out(net.attention(rows, rows, rows)[0].mean(1))


def excitation(net, x):
    x = net.body(x)
    return net.out(x * torch.sigmoid(net.squeezed(x.mean((2, 3), keepdim=True))))


def decides(net, x):
    return net.a(x) if x.mean() > 0 else net.b(x)


def after_body(run, **layers):
    layers = {
        "body": nn.Sequential(convolution(4, 3, 3), nn.ReLU()),
        "out": pooled(convolution(2)),
        **layers,
    }
    return Net(run, **layers)


def scripted(module):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        return torch.jit.script(module.eval())


# What breaks the law that a window is answered for by its own pixels alone: the network, for
# windows of 8 px; what is said when it is examined; and what a sample of windows says of it.
BREAKING = {
    "zero padding": (
        pooled(convolution(4, 3, 3, padding=1), nn.ReLU(), convolution(2, 4, 3)),
        r"layer '0' \(Conv2d\) pads",
        "its layer '0'",
    ),
    "padding further on": (
        first(convolution(4, 4, 3), nn.ReLU(), convolution(4, 4, 3, padding=1)),
        r"layer '4' \(Conv2d\) pads",
        "its layer '4'",
    ),
    "padding by reflection": (
        pooled(convolution(4, 3, 3, padding=1, padding_mode="reflect"), nn.ReLU(), convolution(2)),
        r"layer '0' \(Conv2d\) pads",
        "its layer '0'",
    ),
    "padding by reflection, taken back": (
        pooled(
            unpadded_later(convolution(4, 3, 3, padding=1, padding_mode="reflect")),
            nn.ReLU(),
            convolution(2),
        ),
        r"layer '0' \(Conv2d\) pads",
        "its layer '0'",
    ),
    "padding of a pooling": (
        first(nn.MaxPool2d(3, 1, padding=1)),
        r"layer '2' \(MaxPool2d\) pads",
        "its layer '2'",
    ),
    "padding of an average": (
        first(nn.AvgPool2d(3, 1, padding=1)),
        r"layer '2' \(AvgPool2d\) pads",
        ".",
    ),
    "squeeze and excitation": (
        after_body(excitation, squeezed=convolution(4)),
        "'mul' .*joins maps whose cells",
        ".",
    ),
    "the mean of a window": (
        after_body(lambda net, x: net.out((y := net.body(x)) - y.mean())),
        "'mean' .*not known to be local",
        "its layer 'sub'",
    ),
    "instance norm": (
        first(nn.InstanceNorm2d(4)),
        r"layer '2' \(InstanceNorm2d\)",
        "its layer '2'",
    ),
    "group norm": (first(nn.GroupNorm(2, 4)), r"layer '2' \(GroupNorm\)", "its layer '2'"),
    "layer norm": (first(nn.LayerNorm([4, 6, 6])), r"layer '2' \(LayerNorm\)", "LayerNorm|shape"),
    "batch norm without statistics": (
        first(nn.BatchNorm2d(4, track_running_stats=False)),
        r"layer '2' \(BatchNorm2d\) takes its statistics",
        "its layer '2'",
    ),
    "attention of a module": (
        after_body(
            attention, attention=nn.MultiheadAttention(4, 2, batch_first=True), out=nn.Linear(4, 2)
        ),
        "'flatten'|MultiheadAttention",
        None,
    ),
    "attention": (
        after_body(
            lambda net, x: net.out(
                nn.functional.scaled_dot_product_attention(y := net.body(x), y, y)
            )
        ),
        "'scaled_dot_product_attention' .*not known to be local",
        "its layer 'scaled_dot_product_attention'",
    ),
    "softmax over rows": (first(nn.Softmax(dim=2)), r"layer '2' \(Softmax\)", "its layer '2'"),
    "global maximum": (
        nn.Sequential(convolution(2, 3, 3), nn.AdaptiveMaxPool2d(1), nn.Flatten()),
        r"layer '1' \(AdaptiveMaxPool2d\)",
        ".",
    ),
    "global maximum, called": (
        after_body(lambda net, x: net.body(x).amax((2, 3)), body=convolution(2, 3, 3)),
        "'amax' .*not known to be local",
        ".",
    ),
    "pooling to 2 x 2": (
        nn.Sequential(
            convolution(4, 3, 3), nn.AdaptiveAvgPool2d(2), nn.Flatten(), nn.Linear(16, 2)
        ),
        r"layer '1' \(AdaptiveAvgPool2d\)",
        None,
    ),
    "pooling to 2 x 2, then a convolution": (
        first(nn.AdaptiveAvgPool2d(2), last=2),
        r"layer '2' \(AdaptiveAvgPool2d\)",
        ".",
    ),
    "a hook": (
        first(listened_to(convolution(4, 4, 2))),
        r"layer '2' \(Conv2d\) has hooks",
        ".",
    ),
    "a forward in another's place": (
        first(patched(convolution(4, 4, 2))),
        r"layer '2' \(Conv2d\) has a method put in another's place",
        "its layer '2'",
    ),
    "a class derived from a layer": (
        first(Centred()),
        "'mean' .*not known to be local",
        "its layer 'sub'",
    ),
    "a class derived from a convolution": (
        first(Pads(4, 4, 3)),
        "'pad' .*not known to be local",
        None,
    ),
    "a decision": (
        Net(decides, a=first(), b=first()),
        "Net cannot be examined: its forward is no fixed graph",
        None,
    ),
    "TorchScript": (scripted(first()), "RecursiveScriptModule", None),
    "TorchScript within": (
        first(scripted(convolution(4))),
        "cannot be examined|Script",
        None,
    ),
    "interpolation": (
        first(nn.Upsample(scale_factor=2, mode="bilinear")),
        r"layer '2' \(Upsample\)",
        ".",
    ),
    "interpolation, called": (
        after_body(
            lambda net, x: net.out(nn.functional.interpolate(net.body(x), size=6, mode="bilinear"))
        ),
        "'interpolate' .*not known to be local",
        ".",
    ),
    "a last cell cut short": (
        first(nn.MaxPool2d(4, 4, ceil_mode=True)),
        r"layer '2' \(MaxPool2d\) with ceil_mode cuts",
        ".",
    ),
    "a kernel that is not square": (
        first(convolution(4, 4, (3, 1))),
        r"layer '2' \(Conv2d\) has kernel_size=\(3, 1\)",
        ".",
    ),
    "another stride along rows": (
        first(nn.AvgPool2d(2, (1, 2))),
        r"layer '2' \(AvgPool2d\) has stride=\(1, 2\)",
        ".",
    ),
    "padding to the same size": (
        first(convolution(4, 4, 3, padding="same")),
        r"layer '2' \(Conv2d\) .*pad",
        None,
    ),
    "branches of different size": (
        after_body(
            lambda net, x: net.out(
                torch.cat([net.a(y := net.body(x)), net.b(y).expand(-1, -1, 6, 6)], 1)
            ),
            a=convolution(2),
            b=convolution(2, 4, 6),
        ),
        "'expand' .*not known to be local",
        ".",
    ),
    "maps joined along their sides": (
        after_body(lambda net, x: net.out(torch.cat([y := net.body(x), y * y], 2))),
        "'cat' .*joins maps along their sides",
        ".",
    ),
    "a map upside down": (
        after_body(lambda net, x: net.out(net.body(x).flip(2))),
        "'flip' .*not known to be local",
        ".",
    ),
    "dropout that stays": (
        after_body(lambda net, x: net.out(nn.functional.dropout(net.body(x)))),
        "'dropout' .*not known to be local",
        None,
    ),
    "a parameter": (
        after_body(
            lambda net, x: net.out(net.body(x) * net.scale), scale=nn.Parameter(torch.rand(6, 6))
        ),
        "'scale' .*|'mul' .*",
        None,
    ),
    "a part of the input": (
        Net(lambda net, x: net.out(x[:, :2, ::2]), out=pooled(convolution(2, 2, 2))),
        "'getitem'|layer 'out.0'",
        None,
    ),
    "a linear layer along rows": (first(nn.Linear(6, 6)), r"layer '2' \(Linear\)", None),
    "maps for an output": (first(nn.Identity())[:-2], "the network's output is no tensor", None),
    "several outputs": (
        after_body(lambda net, x: (net.out(net.body(x)),)),
        "the network's output is no tensor",
        None,
    ),
    "a kernel larger than a window": (
        pooled(convolution(2, 3, 9)),
        r"layer '0' \(Conv2d\) needs more than the 8 cells",
        None,
    ),
}


@pytest.mark.parametrize("name", BREAKING)
def test_what_is_not_sure_to_be_exact_is_refused_and_the_reason_named(name):
    module, words, _ = BREAKING[name]
    with pytest.raises(SharingError, match=words):
        share(module.eval(), 8, stride=2)


@pytest.mark.parametrize("name", [name for name, (*_, blamed) in BREAKING.items() if blamed])
def test_what_examination_lets_through_the_sample_catches(name, monkeypatch):
    monkeypatch.setattr("slidewin.classifier.shared._refuse", lambda *args: None)
    module, _, blamed = BREAKING[name]
    classifier = classifier_of(prepared(module), 8)
    photo = picture(21, 25)
    windows = SlidingWindow(classifier, lesion_size=4, engine="windows").localize(photo)
    cause = f"(by itself, more than tolerance=0.0001: |cannot share their work: .*){blamed}"
    with pytest.warns(SlidewinWarning, match=cause) as caught:
        auto = SlidingWindow(classifier, lesion_size=4).localize(photo)
    assert len(caught) == 1
    assert auto.settings["engine"]["name"] == "windows"
    assert auto.settings["engine"]["because"] in str(caught[0].message)
    np.testing.assert_array_equal(auto.layers[0].values, windows.layers[0].values)
    with pytest.raises(SharingError, match=cause):
        SlidingWindow(classifier, lesion_size=4, engine="shared").localize(photo)


@pytest.mark.parametrize(
    "module",
    [
        BREAKING["a part of the input"][0],
        BREAKING["a linear layer along rows"][0],
        nn.Sequential(OrderedDict(code=convolution(4, 3, 3), rest=pooled(convolution(2)))),
        nn.Sequential(
            OrderedDict(normalised=convolution(6, 3, 3, groups=3), rest=pooled(convolution(2, 6)))
        ),
    ],
)
def test_no_network_is_too_odd_to_be_swept(module):
    """Names that torch.fx has uses for, and layers of what is not known."""
    classifier, photo = classifier_of(prepared(module), 8), picture(21, 25)
    auto, windows = (
        SlidingWindow(classifier, lesion_size=4, stride=0.5, engine=engine).probabilities(photo)
        for engine in ("auto", "windows")
    )
    np.testing.assert_allclose(auto[0], windows[0], rtol=0, atol=1e-5)


def test_a_module_of_ones_own_kind_is_looked_into():
    class Own(nn.Sequential):
        pass

    net = prepared(Own(*pooled(convolution(2, 3, 3))))
    together, alone = both_ways(classifier_of(net, 8), picture(12, 12), [0, 4], [0, 4], stride=4)
    np.testing.assert_allclose(together, alone, rtol=0, atol=1e-5)


def test_a_network_that_is_trained_meanwhile_is_not_followed():
    """What was shared is a copy; the next sweep shares the network as it is then."""
    module = small_network()
    classifier = classifier_of(module, 10, k=3)
    shared = classifier.share(4)
    before = shared.predict(picture(14, 14), [0, 4], [0, 4])
    with torch.no_grad():
        module[4].weight.mul_(-1)
    np.testing.assert_array_equal(shared.predict(picture(14, 14), [0, 4], [0, 4]), before)
    together, alone = both_ways(classifier, picture(14, 14), [0, 4], [0, 4], stride=4)
    np.testing.assert_allclose(together, alone, rtol=0, atol=1e-5)
    assert np.abs(together - before).max() > 0.01


def test_a_network_is_rebuilt_once_and_again_when_it_changes():
    classifier = classifier_of(small_network(), 10, k=3)
    image = picture(30, 30)
    once = classifier.share(4)
    assert classifier.share(4) is once
    assert classifier.share(8) is not once
    with torch.no_grad():
        classifier.module[0].weight.mul_(1.5)
    again = classifier.share(8)
    alone = classifier.predict_windows(image, [0, 4], [0, 8])
    np.testing.assert_allclose(again.predict(image, [0, 4], [0, 8]), alone, atol=1e-5)
    handle = classifier.module[0].register_forward_hook(lambda *args: None)
    with pytest.raises(SharingError, match="hooks"):
        classifier.share(8)
    handle.remove()
    assert classifier.share(8) is again
