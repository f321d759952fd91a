"""Measure what could run the shared pass: layouts, folding, precision, compilers.

    python benchmarks/backends.py

One tile of 768 x 768 pixels through the embedded network, ways taking turns; the median over rounds
of the time, as a ratio to the way that the sweep takes. ONNX Runtime needs
``pip install -e '.[onnx,export]'``, torch.compile a C++ compiler; ways that cannot run say why.
"""

import argparse
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch

import slidewin
from slidewin.classifier.lattice import half_precision
from slidewin.classifier.shared import share

PIXELS, SIDE, STRIDE = 768, 64, 16
CHOSEN = "folded, channels last"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=15)
    options = parser.parse_args()
    seconds: dict[str, list[float]] = {}
    with torch.inference_mode():
        ways = all_ways()
        for run in ways.values():
            run()  # what is compiled or laid out at first use
        for _ in range(options.rounds):
            for name, run in ways.items():
                start = time.perf_counter()
                run()
                seconds.setdefault(name, []).append(time.perf_counter() - start)
    print(f"{torch.get_num_threads()} threads, torch {torch.__version__}")
    print("| way | ms | time over the chosen one's |\n| --- | --- | --- |")
    chosen = np.array(seconds[CHOSEN])
    for name, values in seconds.items():
        ratio = np.median(np.array(values) / chosen)
        print(f"| {name} | {1e3 * np.median(values):.1f} | {ratio:.2f} |")


def all_ways() -> dict[str, Callable[[], Any]]:
    classifier: Any = slidewin.load_classifier()
    photo = slidewin.draw_scene((PIXELS, PIXELS), lesion_size=60, random_state=0).photo
    pixels = torch.from_numpy(photo)[None].permute(0, 3, 1, 2)
    plain, normalised = classifier.module.eval(), classifier.to_input(photo[None])
    last = normalised.contiguous(memory_format=torch.channels_last)
    body = plain[:-2].eval()  # pooling would make one answer of a whole tile
    ways: dict[str, Callable[[], Any]] = {"as it is": lambda: body(normalised)}

    def folded() -> Any:
        return share(plain, SIDE, stride=STRIDE, mean=classifier.mean, std=classifier.std).network

    in_order, network = folded(), folded().to(memory_format=torch.channels_last)
    body_last = slidewin.load_classifier().module[:-2].eval().to(memory_format=torch.channels_last)
    ways["as it is, channels last"] = lambda: body_last(last)
    ways["folded"] = lambda: in_order(pixels.float().contiguous())
    ways[CHOSEN] = lambda: network(pixels.float())
    if (half := half_precision(torch.device("cpu"))) is not None:
        rough = folded().to(half).to(memory_format=torch.channels_last)
        ways[f"the same in {str(half).removeprefix('torch.')}"] = lambda: rough(pixels.to(half))
    attempt(ways, "torch.compile of the chosen one", lambda: compiled(network, pixels))
    attempt(ways, "ONNX Runtime", lambda: in_onnx(folded(), pixels))
    return ways


def attempt(
    ways: dict[str, Callable[[], Any]], name: str, make: Callable[[], Callable[[], Any]]
) -> None:
    """Add a way if it can be made."""
    try:
        run = make()
        run()
    except Exception as error:  # noqa: BLE001 - whatever a compiler lacks
        print(f"{name}: {type(error).__name__}: {str(error).strip().splitlines()[0][:120]}")
        return
    ways[name] = run


def compiled(network: Any, pixels: torch.Tensor) -> Callable[[], Any]:
    run = torch.compile(network)
    return lambda: run(pixels.float())


def in_onnx(network: Any, pixels: torch.Tensor) -> Callable[[], Any]:
    import onnxruntime

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "folded.onnx"
        torch.onnx.export(network, (pixels.float(),), path, dynamo=True, verbose=False)
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = torch.get_num_threads()
        session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    name = session.get_inputs()[0].name
    return lambda: session.run(None, {name: pixels.float().contiguous().numpy()})


if __name__ == "__main__":
    main()
