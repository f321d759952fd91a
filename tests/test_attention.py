import copy
import pickle
import subprocess
import sys
from itertools import product

import numpy as np
import pytest
import torch
from torch import nn

import slidewin
from slidewin.classifier import load_classifier
from slidewin.classifier.storage import save_file
from slidewin.comparison.methods import Setup
from slidewin.errors import (
    ArgumentError,
    ArgumentTypeError,
    ClassifierError,
    ModelFileError,
    OutputExistsError,
    SlidewinWarning,
)
from slidewin.image import hash_pixels
from slidewin.output import write_png
from slidewin.saliency import AttentionPooling, load_attention
from slidewin.saliency.attention_fit import GatedAttention, fit_attention
from slidewin.saliency.embedding import embed

SIDE = 16
LABELS = ["background", "lesion"]


def bags_of(n=30, length=40, d=6, seed=0):
    """Bags of noise; those labelled 1 hold one instance whose third number is 4."""
    rng = np.random.default_rng(seed)
    bags = rng.normal(0, 1, (n, length, d)).astype(np.float32)
    keys = rng.integers(length, size=n)
    labels = (np.arange(n) % 2).astype(np.int64)
    for bag, key, label in zip(bags, keys, labels, strict=True):
        bag[:, 2] = 0.1 * bag[:, 2] + (4 * label) * (np.arange(length) == key)
    return list(bags), labels, keys


def fit_bags(bags, labels, *, seed=0, **options):
    settings = {"hidden": 16, "epochs": 40, "validation": 0.2, **options}
    return fit_attention(bags, labels, rng=np.random.default_rng(seed), **settings)


def photos_of(n=16, shape=(48, 64), seed=0):
    """White photos; those labelled 1 have a dark spot of 8 px at a place of its own."""
    rng = np.random.default_rng(seed)
    photos = rng.integers(200, 256, (n, *shape, 3)).astype(np.uint8)
    labels = np.arange(n) % 2
    places = np.stack([rng.integers(8, length - 16, n) for length in shape], axis=1)
    for photo, (row, col), label in zip(photos, places, labels, strict=True):
        if label:
            photo[row : row + 8, col : col + 8] = 20
    return photos, labels, places


def noise_of(n):
    return np.random.default_rng(0).integers(0, 256, (n, SIDE, SIDE, 3), np.uint8)


def chain():
    """A network without padding whose last layer is a convolution, as the default's."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return nn.Sequential(
            nn.Conv2d(3, 8, 4, stride=4),
            nn.ReLU(),
            nn.Conv2d(8, 5, 2),
            nn.ReLU(),
            nn.Dropout(0.5),
            nn.Conv2d(5, 2, 3),
            nn.AdaptiveAvgPool2d(1),
            nn.Flatten(),
        )


class Forked(nn.Module):
    """A network whose forward is no chain, and whose classes share one linear layer."""

    def __init__(self):
        super().__init__()
        self.one = chain()[:4]
        self.head = nn.Linear(5, 2)

    def forward(self, x):
        return self.head(self.one(x).mean((2, 3)))


def of(module, **options):
    return load_classifier(module, classes=LABELS, input_size=SIDE, **options)


@pytest.fixture(scope="module")
def fitted():
    """Attention over a network, fitted to photos with dark spots."""
    classifier = of(chain())
    photos, labels, _ = photos_of(24)
    pooling = AttentionPooling(classifier, lesion_size=8, hidden=8, epochs=60, verbose=0)
    return pooling.fit(photos, labels)


# --- the pooling ---------------------------------------------------------------------------------


def test_attention_finds_the_key_instance_of_bags_it_never_saw():
    model, record = fit_bags(*bags_of(40)[:2], epochs=25)
    bags, labels, keys = bags_of(20, seed=1)
    pooled = [model(torch.from_numpy(bag)) for bag in bags]
    logits = np.array([float(p.logit) for p in pooled])
    assert ((logits > 0) == labels).all()
    found = np.array([int(p.scores.argmax()) for p in pooled])
    assert (found[labels == 1] == keys[labels == 1]).all()
    assert record["validation"]["auc"] == 1.0
    assert record["validation"]["photos"] + record["photos"] == 40


def test_the_order_of_windows_does_not_matter():
    bags, labels, _ = bags_of()
    model, _ = fit_bags(bags, labels, epochs=3)
    order = np.random.default_rng(0).permutation(len(bags[1]))
    straight, shuffled = (model(torch.from_numpy(bag)) for bag in (bags[1], bags[1][order]))
    assert float(straight.logit) == pytest.approx(float(shuffled.logit), abs=1e-5)
    np.testing.assert_allclose(straight.scores.numpy()[order], shuffled.scores.numpy(), atol=1e-6)


def test_pooling_is_that_of_the_paper():
    model, _ = fit_bags(*bags_of()[:2], epochs=2)
    bag = bags_of(seed=3)[0][0].astype(float)
    weights = {name: t.double().numpy() for name, t in model.state_dict().items()}
    x = (bag - weights["mean"]) / weights["scale"]
    content = np.tanh(x @ weights["content.weight"].T + weights["content.bias"])
    gate = 1 / (1 + np.exp(-(x @ weights["gate.weight"].T + weights["gate.bias"])))
    scores = (content * gate) @ weights["score.weight"][0]
    attention = np.exp(scores) / np.exp(scores).sum()
    logit = attention @ x @ weights["decision.weight"][0] + weights["decision.bias"][0]
    pooled = model(torch.from_numpy(bag.astype(np.float32)))
    np.testing.assert_allclose(pooled.scores.numpy(), scores, atol=1e-5)
    assert float(pooled.logit) == pytest.approx(logit, abs=1e-5)


def test_a_map_of_1_is_the_mean_of_the_training_windows():
    bags, labels, _ = bags_of()
    model, _ = fit_bags(bags, labels, epochs=3, validation=0.0)
    scores = [model(torch.from_numpy(bag)).scores.double() for bag in bags]
    assert float((torch.cat(scores) - model.log_mean).exp().mean()) == pytest.approx(1, abs=1e-5)


def test_a_number_that_never_varies_does_no_harm():
    bags, labels, _ = bags_of()
    bags = [np.hstack([bag, np.full((len(bag), 1), 7, np.float32)]) for bag in bags]
    model, record = fit_bags(bags, labels, epochs=3)
    assert float(model.scale[-1]) == 1
    assert np.isfinite(record["loss"])


def test_the_epoch_that_did_best_on_photos_held_out_is_kept():
    bags, labels, _ = bags_of(20)
    rng = np.random.default_rng(5)
    labels = rng.permutation(labels)  # nothing to learn: the loss held out soon rises
    model, record = fit_bags(bags, labels, epochs=100)
    best = record["validation"]["best_epoch"]
    assert record["epochs"] == best + 10 < 100
    again, _ = fit_bags(bags, labels, epochs=best)
    for name, tensor in model.state_dict().items():
        assert torch.equal(tensor, again.state_dict()[name]), name


@pytest.mark.parametrize(
    ("ones", "zeros", "validation", "held"),
    [(2, 20, 0.2, 5), (5, 95, 0.05, 6), (5, 5, 0.9, 8), (2, 2, 0.2, 2), (20, 2, 0.01, 3)],
)
def test_either_label_is_fitted_and_held_out(ones, zeros, validation, held):
    bags, labels, _ = bags_of(200, length=4)
    order = np.argsort(labels, kind="stable")
    chosen = np.concatenate([order[-ones:], order[:zeros]])
    _, record = fit_bags([bags[i] for i in chosen], labels[chosen], epochs=2, validation=validation)
    assert 0 < record["of_them_labelled_1"] < record["photos"]
    assert record["validation"]["photos"] == held == ones + zeros - record["photos"]
    assert 0 < record["of_them_labelled_1"] < ones
    assert 0 <= record["validation"]["auc"] <= 1


@pytest.mark.parametrize("context", [torch.no_grad, torch.inference_mode])
def test_training_is_the_same_each_time_and_leaves_all_random_state_alone(context):
    bags, labels, _ = bags_of()
    torch.manual_seed(7)
    before, threads = torch.get_rng_state(), torch.get_num_threads()
    numpy_before = str(np.random.get_state())  # noqa: NPY002
    one, _ = fit_bags(bags, labels, epochs=2)
    assert torch.equal(torch.get_rng_state(), before)
    assert str(np.random.get_state()) == numpy_before  # noqa: NPY002
    assert torch.get_num_threads() == threads
    torch.manual_seed(8)
    with context():
        two, _ = fit_bags(bags, labels, epochs=2)
    other, _ = fit_bags(bags, labels, epochs=2, seed=1)
    assert all(torch.equal(a, b) for a, b in zip(one.parameters(), two.parameters(), strict=True))
    assert not torch.equal(one.content.weight, other.content.weight)


# --- what a window's instance is -----------------------------------------------------------------


@pytest.mark.parametrize("make", [chain, Forked, lambda: nn.Sequential(chain(), nn.Softmax(1))])
def test_features_are_what_the_last_layer_is_given(make):
    module = make().train()
    if isinstance(module, nn.Sequential) and len(module) == 2:
        classifier, body = of(module, logits=False), module[0][:5]
    else:
        classifier = of(module)
        body = module.one if isinstance(module, Forked) else module[:5]
    embedding = embed(classifier)
    patches = noise_of(3)
    values = embedding.predict_proba(patches)[None]
    features, probabilities = embedding.split(values)
    with torch.no_grad(), classifier.borrowed():
        wanted = body(classifier.to_input(patches)).mean((2, 3)).numpy()
    np.testing.assert_allclose(features[0], wanted, atol=1e-6)
    np.testing.assert_allclose(probabilities[0], classifier.predict_proba(patches), atol=1e-6)
    assert module.training
    assert all(not part._forward_pre_hooks for part in module.modules())


@pytest.mark.parametrize("k", [1, 2])
def test_flat_features_and_single_logits_are_taken_too(k):
    module = nn.Sequential(nn.Conv2d(3, 2, 8, stride=8), nn.Flatten(), nn.Linear(8, k))
    classifier = of(module)
    embedding = embed(classifier)
    patches = noise_of(3)
    features, probabilities = embedding.split(embedding.predict_proba(patches)[None])
    assert features.shape == (1, 3, 8)
    np.testing.assert_allclose(probabilities[0], classifier.predict_proba(patches), atol=1e-6)


def test_windows_share_their_work_where_that_is_exact():
    classifier = of(chain())
    assert embed(classifier).share(4).saving > 1
    photo = photos_of(1)[0][0]
    pooling = AttentionPooling(classifier, lesion_size=8)
    values = pooling._instances.of(photo).values
    (level,) = pooling.plan(photo.shape).levels
    crops = [photo[r : r + SIDE, c : c + SIDE] for r, c in product(level.tops, level.lefts)]
    alone = embed(classifier).predict_proba(np.stack(crops))
    np.testing.assert_allclose(values[:, :5], alone[:, :5], atol=1e-5)


def test_what_is_no_module_gives_its_probabilities(dark):
    assert embed(dark) is None
    photo = photos_of(1)[0][0]
    pooling = AttentionPooling(dark, lesion_size=8)
    instances = pooling._instances.of(photo)
    flat = slidewin.SlidingWindow(dark, lesion_size=8).probabilities(photo)[0].reshape(-1, 2)
    np.testing.assert_allclose(instances.values, np.hstack([flat, np.log(flat)]), atol=1e-6)
    np.testing.assert_array_equal(instances.probability, flat[:, 1])


def test_features_that_are_no_numbers_are_refused():
    module = chain()
    with torch.no_grad():
        module[2].bias[0] = torch.nan
        module[5].weight[:, 0] = 0
    with pytest.raises(ClassifierError, match="NaN"):
        AttentionPooling(of(module), lesion_size=8)._instances.of(photos_of(1)[0][0])


# --- the localiser -------------------------------------------------------------------------------


def test_photos_are_told_apart_and_spots_found_from_labels_alone(fitted):
    photos, labels, places = photos_of(20, seed=1)
    found = fitted.predict_proba(photos)
    np.testing.assert_allclose(found.sum(axis=1), 1, atol=1e-6)
    assert (found.argmax(axis=1) == labels).mean() >= 0.9
    for photo, (row, col) in zip(photos[1::2], places[1::2], strict=True):
        heat = fitted.localize(photo).to_pixels()
        peak = np.unravel_index(heat.argmax(), heat.shape)
        assert max(abs(peak[0] - row - 3.5), abs(peak[1] - col - 3.5)) <= 8


def test_any_classifier_will_do(dark):
    photos, labels, places = photos_of(24)
    pooling = AttentionPooling(dark, lesion_size=8, verbose=0).fit(photos, labels)
    heat = pooling.localize(photos[1]).to_pixels()
    row, col = places[1] + 4
    assert heat[row, col] > 2 * np.median(heat)


def test_layers_are_those_of_the_sweep(fitted):
    pooling = copy.copy(fitted)
    pooling._instances = AttentionPooling(fitted.classifier, lesion_size=(8, 20))._instances
    photo = photos_of(2)[0][1]
    heat = pooling.localize(photo)
    sweep = slidewin.SlidingWindow(fitted.classifier, lesion_size=(8, 20)).localize(photo)
    assert len(heat.layers) == len(sweep.layers) > 1
    for ours, theirs in zip(heat.layers, sweep.layers, strict=True):
        np.testing.assert_array_equal(ours.rows, theirs.rows)
        np.testing.assert_array_equal(ours.cols, theirs.cols)
        assert ours.values.shape == theirs.values.shape
        assert ours.reach == theirs.reach
    assert heat.unit == "raw"
    assert heat.method == "attention"
    assert pooling.passes(photo.shape) == sum(layer.values.size for layer in heat.layers)


def pooled(k=2):
    """Cells 2 px apart, so that windows between those half a lesion apart, 4 px, are free."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return nn.Sequential(
            nn.Conv2d(3, 8, 4, stride=2),
            nn.ReLU(),
            nn.AdaptiveAvgPool2d(1),
            nn.Flatten(),
            nn.Linear(8, k),
        )


class Wrapped(nn.Module):
    """The same, but what it gives its last layer can only be overheard."""

    def __init__(self):
        super().__init__()
        self.inner = pooled()

    def forward(self, x):
        return self.inner(x)


def test_windows_stand_where_the_sweeps_do(network):
    for classifier, shape, size in (
        (network, (220, 300, 3), (12, 40)),
        (of(pooled()), (48, 64, 3), 8),
    ):
        sweep = slidewin.SlidingWindow(classifier, lesion_size=size)
        grid = AttentionPooling(classifier, lesion_size=size).plan(shape)
        assert grid == sweep.plan(shape)
        assert grid.stride == 0.25
        assert AttentionPooling(classifier, lesion_size=size, stride=0.5).plan(shape).stride == 0.5


def test_windows_that_share_no_work_stand_half_a_lesion_apart():
    photo = photos_of(1)[0][0]
    classifier = of(Wrapped())
    assert slidewin.SlidingWindow(classifier, lesion_size=8).plan(photo.shape).stride == 0.25
    pooling = AttentionPooling(classifier, lesion_size=8)
    assert pooling.plan(photo.shape).stride == 0.5
    assert pooling._instances.of(photo).grid == pooling.plan(photo.shape)


def test_where_sharing_is_given_up_windows_are_those_that_were_asked(monkeypatch):
    from slidewin.saliency import instances

    monkeypatch.setattr(instances, "_TOLERANCE", 1e-12)
    photo = photos_of(1)[0][0]
    pooling = AttentionPooling(of(pooled()), lesion_size=8)
    assert pooling.plan(photo.shape).stride == 0.25
    with pytest.warns(SlidewinWarning, match=r"by itself instead, 0.5 lesions apart"):
        found = pooling._instances.of(photo)
    assert found.grid.stride == 0.5
    assert len(found.values) == len(found.probability) == len(found.grid)


def test_times_score_is_the_product(fitted):
    photo = photos_of(2)[0][1]
    attention = fitted.localize(photo).layers[0].values
    sweep = slidewin.SlidingWindow(fitted.classifier, lesion_size=8)
    score = sweep.localize(photo).layers[0].values
    both = fitted.localize(photo, times_score=True)
    np.testing.assert_allclose(both.layers[0].values, attention * score, rtol=1e-4)
    assert both.method == "attention times score"


def test_the_raw_scale_does_not_depend_on_what_else_a_photo_shows(fitted):
    spot, blank = photos_of(2)[0][[1, 0]]
    beside = np.concatenate([spot, blank, blank], axis=1)
    narrow, wide = (fitted.localize(photo).to_pixels() for photo in (spot, beside))
    assert wide.max() == pytest.approx(narrow.max(), rel=1e-4)


def test_a_scene_with_a_lesion():
    def scene(seed, lesion=True):
        return slidewin.draw_scene((220, 300), lesion_size=24, random_state=seed, lesion=lesion)

    scenes = [scene(i, lesion=i % 2 == 1) for i in range(12)]
    pooling = AttentionPooling(
        slidewin.load_classifier(), lesion_size=24, target="lesion", epochs=15, verbose=0
    ).fit([one.photo for one in scenes], [int(one.mask.any()) for one in scenes])
    unseen = scene(41)
    heat = pooling.localize(unseen.photo, times_score=True).to_pixels()
    row, col = np.unravel_index(heat.argmax(), heat.shape)
    centre = np.argwhere(unseen.mask).mean(axis=0)
    assert np.hypot(row - centre[0], col - centre[1]) <= unseen.lesion_size


def test_nothing_of_the_callers_is_changed(fitted):
    module = chain().train()
    module[0].eval()
    before = copy.deepcopy(module.state_dict())
    photos, labels, _ = photos_of(10)
    hashes = [hash_pixels(photo) for photo in photos]
    photos.flags.writeable = False
    pooling = AttentionPooling(of(module), lesion_size=8, epochs=2, verbose=0)
    pooling.fit(photos, labels).localize(photos[1])
    assert [layer.training for layer in module] == [False] + [True] * 7
    assert all(torch.equal(t, before[name]) for name, t in module.state_dict().items())
    assert all(p.grad is None and p.requires_grad for p in module.parameters())
    assert not any(part._forward_hooks or part._forward_pre_hooks for part in module.modules())
    assert [hash_pixels(photo) for photo in photos] == hashes


def test_paths_are_read_one_at_a_time(fitted, tmp_path):
    photos, labels, _ = photos_of(6)
    paths = []
    for i, photo in enumerate(photos):
        paths.append(tmp_path / f"{i}.png")
        write_png(paths[-1], photo)
    options = {"lesion_size": 8, "hidden": 4, "epochs": 2, "verbose": 0}
    by_path = AttentionPooling(fitted.classifier, **options).fit((p for p in paths), labels)
    by_array = AttentionPooling(fitted.classifier, **options).fit(photos, labels)
    np.testing.assert_array_equal(by_path.predict_proba(paths), by_array.predict_proba(photos))


# --- files, and what is refused ------------------------------------------------------------------


def test_saved_and_loaded_it_is_the_same(fitted, tmp_path):
    path = tmp_path / "attention.safetensors"
    fitted.save(path)
    photo = photos_of(2)[0][1]
    loaded = load_attention(path, fitted.classifier, times_score=True, verbose=0)
    assert loaded.method == "attention times score"
    assert loaded.training_ == fitted.training_
    for pooling in (loaded, pickle.loads(pickle.dumps(fitted))):
        ours = pooling.localize(photo, times_score=False)
        np.testing.assert_array_equal(ours.to_pixels(), fitted.localize(photo).to_pixels())
    with pytest.raises(OutputExistsError):
        fitted.save(path)
    fitted.save(path, overwrite=True)


@pytest.mark.parametrize("stride", [None, 0.5, 0.25])
def test_the_stride_it_was_fitted_with_is_kept(fitted, tmp_path, stride):
    asked = copy.copy(fitted)
    asked.stride = stride  # a number is what files from before the default was free have
    asked.save(tmp_path / "attention.safetensors")
    loaded = load_attention(tmp_path / "attention.safetensors", fitted.classifier)
    assert loaded.stride == stride
    assert loaded.plan((48, 64)).stride == (0.5 if stride is None else stride)


@pytest.mark.parametrize(
    ("size", "stride", "plain"),
    [
        (np.int64(8), np.float32(0.5), (8, 0.5)),
        (np.array([8, 12]), np.float64(0.5), ((8, 12), 0.5)),
        ((np.float64(8.5), 12), None, ((8.5, 12), None)),
    ],
)
def test_numbers_of_numpy_are_saved_too(fitted, tmp_path, size, stride, plain):
    pooling = AttentionPooling(fitted.classifier, lesion_size=size, stride=stride, hidden=8)
    pooling._pooling, pooling.training_ = fitted._pooling, fitted.training_
    pooling.save(tmp_path / "attention.safetensors")
    loaded = load_attention(tmp_path / "attention.safetensors", fitted.classifier)
    assert (loaded.lesion_size, loaded.stride) == (pooling.lesion_size, pooling.stride) == plain


def test_whoever_loads_it_says_how_many_windows_are_too_many(fitted, tmp_path):
    path, photo = tmp_path / "attention.safetensors", photos_of(1)[0][0]
    fitted.save(path)
    n = len(fitted.plan(photo.shape))
    load_attention(path, fitted.classifier, max_windows=n).plan(photo.shape)
    with pytest.raises(ArgumentError, match="max_windows"):
        load_attention(path, fitted.classifier, max_windows=n - 1).plan(photo.shape)


def test_in_a_comparison_the_score_is_that_of_the_target_compared(fitted, tmp_path):
    path = tmp_path / "attention.safetensors"
    fitted.save(path)
    for target in LABELS:
        setup = Setup(fitted.classifier, target=target, attention=path)
        assert setup.make("attention", (48, 64)).method == "attention"
        if target == fitted.target:
            assert setup.make("attention-times-score", (48, 64)).times_score
        else:
            with pytest.raises(ArgumentError, match="'background' is sought; fit it with"):
                setup.make("attention-times-score", (48, 64))


def test_files_of_other_classifiers_or_other_kinds_are_refused(fitted, tmp_path, dark):
    path = tmp_path / "attention.safetensors"
    fitted.save(path)
    with pytest.raises(ArgumentError, match="another classifier"):
        load_attention(path, slidewin.load_classifier())
    with pytest.raises(ArgumentError, match="another classifier"):
        load_attention(path, dark)
    with pytest.raises(ModelFileError, match="no such file"):
        load_attention(tmp_path / "none.safetensors", fitted.classifier)
    with pytest.raises(ModelFileError, match="end in"):
        load_attention(tmp_path / "attention.pt", fitted.classifier)
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(ModelFileError, match="not a whole"):
        load_attention(path, fitted.classifier)
    save_file(slidewin.load_classifier(), path, overwrite=True)
    with pytest.raises(ModelFileError, match="holds no attention"):
        load_attention(path, fitted.classifier)


def test_a_file_whose_weights_do_not_fit_is_refused(fitted, tmp_path):
    wider = copy.copy(fitted)
    wider.hidden = 9
    path = tmp_path / "attention.safetensors"
    wider.save(path)
    with pytest.raises(ModelFileError, match="does not fit"):
        load_attention(path, fitted.classifier)


def test_attention_over_what_has_no_hash_is_not_saved(dark, tmp_path):
    photos, labels, _ = photos_of(6)
    pooling = AttentionPooling(dark, lesion_size=8, epochs=1, verbose=0).fit(photos, labels)
    with pytest.raises(ArgumentError, match="has no hash"):
        pooling.save(tmp_path / "attention.safetensors")


@pytest.mark.parametrize(
    ("labels", "said"),
    [
        ([1] * 6, "6 photos with the target and 0 without"),
        ([0] * 6, "0 photos with the target and 6 without"),
        ([0] * 5 + [1], "at least two of each"),
        ([0, 1, 2, 0, 1, 2], "1 where it shows"),
        (["a"] * 6, "1 where it shows"),
        ([0, 1, 0, 1], "found 4 for 6"),
    ],
)
def test_labels_that_teach_nothing_are_refused(dark, labels, said):
    with pytest.raises(ArgumentError, match=said):
        AttentionPooling(dark, lesion_size=8, verbose=0).fit(photos_of(6)[0], labels)


def test_what_is_not_fitted_or_no_photos_is_refused(dark, fitted):
    photos = photos_of(2)[0]
    with pytest.raises(ArgumentError, match="call fit"):
        AttentionPooling(dark, lesion_size=8).localize(photos[0])
    with pytest.raises(ArgumentError, match="call fit"):
        AttentionPooling(dark, lesion_size=8).predict_proba(photos)
    with pytest.raises(ArgumentTypeError, match="one photo"):
        fitted.predict_proba(photos[0])
    with pytest.raises(ArgumentError, match="found 4 for 2"):
        AttentionPooling(dark, lesion_size=8, verbose=0).fit(iter(photos), [0, 1, 0, 1])


@pytest.mark.parametrize(
    "options", [{"hidden": 0}, {"epochs": 1.5}, {"validation": 1.0}, {"target": "nevus"}]
)
def test_options_that_cannot_be_are_refused(dark, options):
    with pytest.raises(ArgumentError):
        AttentionPooling(dark, **options)


def test_torch_is_not_imported_before_it_is_needed():
    code = "import sys, slidewin.saliency; print('torch' in sys.modules)"
    run = [sys.executable, "-W", "error", "-c", code]
    assert subprocess.run(run, capture_output=True, text=True, check=True).stdout == "False\n"


def test_weights_that_are_to_be_loaded_are_not_drawn():
    before = torch.get_rng_state()
    GatedAttention(3, 2)
    assert torch.equal(torch.get_rng_state(), before)
