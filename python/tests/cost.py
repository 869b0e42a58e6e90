"""What a token costs through Python, against the command line. Arguments: a model file, and the number of tokens (128).

    SEXTANT_COMMAND=.build/release/sextant SEXTANT_LIBRARY=.build/release/libsextant.so PYTHONPATH=python python3 python/tests/cost.py mamba.sxt

The three ways run in turn, so that a change of the machine's speed meets all of them. The figures are medians of the ratios of each turn.
"""

import json
import os
import statistics
import subprocess
import sys
import time

import sextant

path, count = sys.argv[1], int(sys.argv[2]) if len(sys.argv) > 2 else 128
model = sextant.Model(path)
site = f"blocks.{model.layers // 2}.output"


def command() -> float:
    """Seconds of a token, after the first."""
    arguments = ["generate", "-m", path, "-p", "The film was", "-n", str(count), "--temp", "0", "--json"]
    run = subprocess.run([os.environ["SEXTANT_COMMAND"], *arguments], capture_output=True, text=True, check=True)
    return 1 / json.loads(run.stdout)["tokens_per_second"]


def python() -> float:
    run = model.generate("The film was", count=count, temperature=0)
    next(run)
    start = time.perf_counter()
    tokens = sum(1 for _ in run)
    return (time.perf_counter() - start) / tokens


def recording() -> float:
    kept = []
    with model.tap(site, lambda values, visit: kept.append(values)):
        return python()


turns = [(command(), python(), recording()) for _ in range(9)]
print(f"Python: {statistics.median(p / c - 1 for c, p, _ in turns):+.1%} of the command line's time per token")
print(f"with {site} recorded: {statistics.median(r / p - 1 for _, p, r in turns):+.1%} of Python's time per token")
