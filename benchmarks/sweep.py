"""Measure the sweep against its peers: the same photo, network, windows and threads.

    python benchmarks/sweep.py --json sweep.json

needs ``pip install -e '.[bench]'`` and, for all figures, 16 GiB of memory and a quarter of an hour.
The photo is drawn, 3000 x 4000, and swept for lesions of 32 px with the embedded network: one level
of 12 megapixels, a window every 16 px. In every round each way takes its turn, so that a machine
which others use slows all of them alike; a figure is the median over rounds, and its spread is the
smallest and the largest.

Peers: windows unfolded and classified 256 at a time, channels last (a careful user); one at a time
(a beginner; 1000 windows, scaled up); MONAI's ``PatchInferer``; torchcam's Grad-CAM over the whole
photo, which is one forward and one backward pass.
"""

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch.utils.flop_counter import FlopCounterMode

import slidewin
from slidewin.sweep.tiles import cut_tiles
from slidewin.workers import spread

SIDE, STRIDE = 64, 16
LESION = 32.0  # px: at this size the level is the photo itself
BATCH = 256
ALONE = 1000  # windows that the beginner's loop classifies
PHOTOS = 16


class Figure(NamedTuple):
    """A figure that is asked for."""

    key: str
    words: str
    asked: float
    at_most: bool = False

    def line(self, values: list[float]) -> str:
        """Its row of the table."""
        value = float(np.median(values))
        reached = value <= self.asked if self.at_most else value >= self.asked
        bound = f"at {'most' if self.at_most else 'least'} {self.asked:g}"
        return (
            f"| {self.words} | {value:.3g} | {min(values):.3g} to {max(values):.3g} | {bound} | "
            f"{'yes' if reached else '**no**'} |"
        )


FIGURES = (
    Figure("speedup_over_batched", "shared against windows unfolded, 256 at a time", 8),
    Figure("speedup_over_monai", "against MONAI's PatchInferer", 10),
    Figure("speedup_over_loop", "against one window at a time", 60),
    Figure("dense_cost", "a window every 8 px against every 16 px", 1.1, at_most=True),
    Figure("cost_over_gradcam", "against torchcam's Grad-CAM, time", 0.6, at_most=True),
    Figure("flop_share", "share of the measured matrix rate, float32", 0.85),
    Figure("bf16_speedup", "bfloat16 against float32", 1.6),
    Figure("max_abs_difference", "largest difference to per window", 1e-5, at_most=True),
    Figure("parallel_efficiency", "two workers against one, 16 photos", 0.9),
    Figure("gigapixel_peak_gib", "32000 x 32000 zarr: peak memory, GiB", 1.0, at_most=True),
    Figure("gigapixel_cost", "the same: time a megapixel against 12 MP's", 1.2, at_most=True),
)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--json", type=Path, metavar="FILE")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--shape", type=int, nargs=2, default=(3000, 4000))
    parser.add_argument("--gigapixel", type=int, default=32000, metavar="SIDE", help="0 for none")
    parser.add_argument("--only-gigapixel", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.only_gigapixel is not None:
        print(json.dumps(sweep_file(options.only_gigapixel, tuple(options.shape))))
        return
    classifier = slidewin.load_classifier()
    photo = draw(tuple(options.shape))
    print(
        f"photo {photo.shape[0]} x {photo.shape[1]}, {torch.get_num_threads()} threads, torch "
        f"{torch.__version__}, classifier {classifier.fingerprint()[:12]}, {options.rounds} rounds"
    )
    measured: dict[str, list[float]] = {}
    with classifier.borrowed():
        for _ in range(options.rounds):
            for key, value in one_round(classifier, photo).items():
                measured.setdefault(key, []).append(value)
    if options.gigapixel:
        measured |= gigapixel(options.gigapixel, photo.shape[:2])
    print("| figure | measured | over rounds | asked | reached |\n| --- | --- | --- | --- | --- |")
    for figure in FIGURES:
        if figure.key in measured:
            print(figure.line(measured[figure.key]))
    print("\n| beside | median | over rounds |\n| --- | --- | --- |")
    known = {figure.key for figure in FIGURES}
    for key, values in measured.items():
        if key not in known:
            print(f"| {key} | {np.median(values):.4g} | {min(values):.4g} to {max(values):.4g} |")
    if options.json is not None:
        options.json.write_text(json.dumps(summary(measured), indent=2) + "\n")


def summary(measured: dict[str, list[float]]) -> dict[str, Any]:
    """Median of every figure under its key, and all that was measured."""
    medians = {f.key: float(np.median(measured[f.key])) for f in FIGURES if f.key in measured}
    return {**medians, "rounds": measured, "threads": torch.get_num_threads()}


def draw(shape: tuple[int, int]) -> NDArray[np.uint8]:
    """A scene, drawn small and laid out like tiles: what it shows costs nothing and no time."""
    scene = slidewin.draw_scene((500, 500), lesion_size=60, random_state=0).photo
    times = [-(-length // 500) for length in shape]
    return np.ascontiguousarray(np.tile(scene, (*times, 1))[: shape[0], : shape[1]])


def one_round(classifier: slidewin.Classifier, photo: NDArray[np.uint8]) -> dict[str, float]:
    """Every way once."""
    sweep = sweeper(classifier)
    seconds: dict[str, float] = {}
    found: dict[str, Any] = {}

    def timed(name: str, work: Callable[[], Any], share: float = 1.0) -> None:
        start = time.perf_counter()
        found[name] = work()
        seconds[name] = (time.perf_counter() - start) / share

    rate = matrix_rate()
    timed("shared", lambda: sweep.localize(photo))
    timed("dense", lambda: sweeper(classifier, stride=0.25).localize(photo))
    half = sweeper(classifier, precision="auto", tolerance=0.1)
    timed("half", lambda: half.localize(photo))
    timed("batched", lambda: batched(classifier, photo))
    windows = found["batched"].size
    n = min(ALONE, windows)
    timed("loop", lambda: one_at_a_time(classifier, photo, n), share=n / windows)
    timed("monai", lambda: monai(classifier, photo), share=monai_windows(photo) / windows)
    timed("gradcam", lambda: gradcam(classifier, photo))
    photos = [photo[: len(photo) // 2, : photo.shape[1] // 2]] * PHOTOS
    alone = sweeper(classifier, n_jobs=1).localize
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    timed("one worker", lambda: list(spread(alone, photos, n_jobs=1)))
    torch.set_num_threads(threads)
    timed("two workers", lambda: list(spread(alone, photos, n_jobs=2)))
    timed("one worker, all threads", lambda: list(spread(alone, photos, n_jobs=1)))
    heat = found["shared"]
    engines = {name: found[name].settings["engine"] for name in ("shared", "dense", "half")}
    figures = {
        "speedup_over_batched": seconds["batched"] / seconds["shared"],
        "speedup_over_monai": seconds["monai"] / seconds["shared"],
        "speedup_over_loop": seconds["loop"] / seconds["shared"],
        "dense_cost": seconds["dense"] / seconds["shared"],
        "cost_over_gradcam": seconds["shared"] / seconds["gradcam"],
        "flop_share": flops(classifier, photo) / seconds["shared"] / rate,
        "max_abs_difference": float(np.abs(heat.layers[0].values - found["batched"]).max()),
        "parallel_efficiency": seconds["one worker"] / 2 / seconds["two workers"],
    }
    if engines["half"]["precision"] != engines["shared"]["precision"]:
        figures["bf16_speedup"] = seconds["shared"] / seconds["half"]
        figures["half precision: largest difference"] = engines["half"]["largest_difference"]
    figures["matrix rate, GFLOP/s"] = rate / 1e9
    figures["arithmetic, GFLOP"] = flops(classifier, photo) / 1e9
    figures["level MB read"] = photo.nbytes / 1e6
    return figures | {f"seconds {name}": value for name, value in seconds.items()}


def sweeper(
    classifier: slidewin.Classifier, *, stride: float = STRIDE / LESION, **options: Any
) -> slidewin.SlidingWindow:
    return slidewin.SlidingWindow(
        classifier, lesion_size=LESION, target="lesion", stride=stride, verbose=0, **options
    )


def matrix_rate() -> float:
    """Operations a second of a float32 matrix product, the best of several sizes."""
    best = 0.0
    for n in (1024, 2048, 3072):
        a, b = torch.rand(n, n), torch.rand(n, n)
        for _ in range(5):
            start = time.perf_counter()
            torch.mm(a, b)
            best = max(best, 2 * n**3 / (time.perf_counter() - start))
    return best


def flops(classifier: slidewin.Classifier, photo: NDArray[np.uint8]) -> float:
    """Operations of the shared passes over a photo, what tiles do twice included."""
    grid = sweeper(classifier).plan(photo.shape)
    shared: Any = classifier.share(grid.levels[0].stride)
    known: dict[tuple[int, ...], int] = {}
    total = 0
    for tile in cut_tiles(photo, grid, shared=True, checked=[[]]):
        if tile.image.shape not in known:
            with FlopCounterMode(display=False) as counter:
                shared.predict(tile.image, tile.tops, tile.lefts)
            known[tile.image.shape] = counter.get_total_flops()
        total += known[tile.image.shape]
    return float(total)


def inputs_of(classifier: Any, photo: NDArray[np.uint8]) -> torch.Tensor:
    return classifier.to_input(photo[None])


def lesion_probability(scores: torch.Tensor, classifier: Any) -> NDArray[np.float32]:
    probabilities = classifier.to_probabilities(scores.numpy())
    return classifier.target_probability(probabilities.astype(np.float32), "lesion")


def origins(length: int) -> list[int]:
    last = length - SIDE
    return [*range(0, last, STRIDE), last]


def batched(classifier: Any, photo: NDArray[np.uint8]) -> NDArray[np.float32]:
    """The map as a careful user makes it."""
    network = classifier.module.to(memory_format=torch.channels_last)
    x = inputs_of(classifier, photo)[0]
    rows, cols = origins(photo.shape[0]), origins(photo.shape[1])
    corners = [(row, col) for row in rows for col in cols]
    windows = x.unfold(1, SIDE, 1).unfold(2, SIDE, 1)  # a view: (3, h, w, S, S)
    scores = []
    with torch.inference_mode():
        for start in range(0, len(corners), BATCH):
            at = torch.tensor(corners[start : start + BATCH])
            batch = windows[:, at[:, 0], at[:, 1]].transpose(0, 1)
            scores.append(network(batch.contiguous(memory_format=torch.channels_last)))
    heat = lesion_probability(torch.cat(scores), classifier)
    classifier.module.to(memory_format=torch.contiguous_format)
    return heat.reshape(len(rows), len(cols))


def one_at_a_time(classifier: Any, photo: NDArray[np.uint8], n: int) -> list[float]:
    """Windows as a beginner classifies them."""
    rng = np.random.default_rng(0)
    heat = []
    with torch.no_grad():
        for _ in range(n):
            top, left = (int(rng.integers(length - SIDE)) for length in photo.shape[:2])
            window = photo[top : top + SIDE, left : left + SIDE]
            x = torch.from_numpy(window.copy()).permute(2, 0, 1)[None].float() / 255
            x = (x - classifier.mean[0]) / classifier.std[0]
            heat.append(float(1 - torch.softmax(classifier.module(x), 1)[0, 0]))
    return heat


def monai_windows(photo: NDArray[np.uint8]) -> int:
    """Windows that MONAI classifies: those at the border that do not fit are dropped."""
    return int(np.prod([(length - SIDE) // STRIDE + 1 for length in photo.shape[:2]]))


def monai(classifier: Any, photo: NDArray[np.uint8]) -> torch.Tensor:
    """The map by PatchInferer, merged as cheaply as can be: written to its place."""
    from monai.inferers import Merger, PatchInferer, SlidingWindowSplitter

    class Place(Merger):
        def __init__(self, merged_shape: Any, cropped_shape: Any = None) -> None:
            super().__init__(merged_shape, cropped_shape)
            self.values = torch.empty(tuple(merged_shape))

        def aggregate(self, values: torch.Tensor, location: Any) -> None:
            row, col = location
            self.values[0, :, row // STRIDE, col // STRIDE] = values[0, :, 0, 0]

        def finalize(self) -> torch.Tensor:
            return self.values

    shape = [(length - SIDE) // STRIDE + 1 for length in photo.shape[:2]]
    inferer = PatchInferer(
        SlidingWindowSplitter((SIDE, SIDE), overlap=1 - STRIDE / SIDE, pad_mode=None),
        merger_cls=Place,
        batch_size=BATCH,
        match_spatial_shape=False,
        merged_shape=(1, len(classifier.classes_), *shape),
    )
    network = classifier.module.to(memory_format=torch.channels_last)

    def classify(batch: torch.Tensor) -> torch.Tensor:
        # As wide as the window, so that a patch's place is told in the photo's own pixels.
        scores = network(batch.contiguous(memory_format=torch.channels_last))
        return scores[:, :, None, None].expand(-1, -1, SIDE, SIDE)

    with torch.inference_mode():
        heat = inferer(inputs_of(classifier, photo), classify)
    classifier.module.to(memory_format=torch.contiguous_format)
    return heat


def gradcam(classifier: Any, photo: NDArray[np.uint8]) -> torch.Tensor:
    from torchcam.methods import GradCAM

    layers = [name for name, layer in classifier.module.named_children() if "Conv" in repr(layer)]
    with GradCAM(classifier.module, layers[-2]) as extractor:
        scores = classifier.module(inputs_of(classifier, photo))
        (cam,) = extractor(1, scores)
    classifier.module.zero_grad()
    return cam


def gigapixel(side: int, shape: tuple[int, ...]) -> dict[str, list[float]]:
    """A photo larger than memory, in a process of its own."""
    import zarr

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "photo.zarr"
        store = zarr.create_array(path, shape=(side, side, 3), chunks=(500, 2000, 3), dtype="uint8")
        rows = draw((500, side))
        for top in range(0, side, 500):
            store[top : top + 500] = rows[: min(500, side - top)]
        size = [str(length) for length in shape]
        command = [sys.executable, __file__, "--only-gigapixel", str(path), "--shape", *size]
        result = subprocess.run(command, check=True, capture_output=True, text=True)
    found = json.loads(result.stdout)
    return {
        "gigapixel_peak_gib": [found["peak_gib"]],
        "gigapixel_cost": [found["seconds"] / (side**2 / 1e6) / found["seconds_a_megapixel"]],
        "gigapixel: memory of the process before, GiB": [found["before_gib"]],
        "gigapixel: seconds": [found["seconds"]],
    }


def sweep_file(path: Path, shape: tuple[int, int]) -> dict[str, float]:
    """Sweep a zarr array, and say what it took; and what a photo takes, before it and after."""
    import zarr

    classifier = slidewin.load_classifier()
    sweep = sweeper(classifier)
    sweep.localize(draw((300, 300)))  # torch is there, and warm
    before = peak_gib()

    def timed(photo: Any) -> float:
        start = time.perf_counter()
        sweep.localize(photo)
        return time.perf_counter() - start

    photo = draw(shape)
    seconds = [timed(photo) for _ in range(3)]
    whole = timed(zarr.open_array(path, mode="r"))
    seconds += [timed(photo) for _ in range(3)]
    return {
        "seconds": whole,
        "seconds_a_megapixel": float(np.median(seconds)) / (shape[0] * shape[1] / 1e6),
        "peak_gib": peak_gib(),
        "before_gib": before,
    }


def peak_gib() -> float:
    """Largest resident memory of this process."""
    status = Path("/proc/self/status")
    if status.exists():  # getrusage would count that of the process that started this one
        words = next(x for x in status.read_text().splitlines() if x.startswith("VmHWM")).split()
        return int(words[1]) / 2**20
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 2**30


if __name__ == "__main__":
    main()
