"""What importing slidewin costs, against importing numpy and cv2.

    python benchmarks/imports.py

Each is imported in fresh processes, by turns; the least time of several rounds is taken, less that
of a process which imports nothing.
"""

import subprocess
import sys
import time

ROUNDS = 9
CODES = {
    "nothing": "pass",
    "numpy, cv2": "import numpy, cv2",
    "slidewin": "import slidewin",
    "slidewin, and reading, sweeping and drawing": "import slidewin; slidewin.locate",
}


def main() -> None:
    best = dict.fromkeys(CODES, float("inf"))
    for _ in range(ROUNDS):
        for name, code in CODES.items():
            start = time.perf_counter()
            subprocess.run([sys.executable, "-c", code], check=True)
            best[name] = min(best[name], time.perf_counter() - start)
    unit = best["numpy, cv2"] - best["nothing"]
    print("| import | ms | times numpy, cv2 |\n| --- | --- | --- |")
    for name in list(CODES)[1:]:
        spent = best[name] - best["nothing"]
        print(f"| {name} | {1000 * spent:.0f} | {spent / unit:.2f} |")


if __name__ == "__main__":
    main()
