"""The search of a dose: `sextant steer search` compared with random search and with Optuna's TPE.

    python steering_search.py --sextant ../../.build/release/sextant --model demo.sxt --vector all.steer.safetensors \\
        --pairs ../../fixtures/demo-model/sentiment_test.jsonl [--evaluations 200] [--methods random,tpe]

The two other methods choose a band of blocks, sites, tokens and a strength, and measure each choice in full: one call of
`sextant steer search --strengths`, which measures one cell on both halves of the data. Random search draws the choices. TPE
(`pip install optuna`) maximises the effect and minimises the divergence at the same time. Each method then has a front: the
choices within the budget that no other one surpasses in both, on the half that is chosen on. Fronts are compared by their
hypervolume, the area under the front from divergence 0 to the budget and from effect 0, on that half and on the other one.
Processor time is that of all processes that a method starts. For the other methods it includes the start of a process for each
choice, which the table also shows, measured with `--version`.
"""

import argparse
import json
import math
import random
import resource
import subprocess
import tempfile
from pathlib import Path

STRENGTHS = (0.03, 30.0)
POSITIONS = ["last,generated", "all"]


def processor_seconds() -> float:
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


class Bench:
    def __init__(self, arguments: argparse.Namespace, folder: Path) -> None:
        self.arguments, self.folder = arguments, folder

    def search(self, *options: str) -> dict | None:
        """The result of a search, or None if it finds no effect."""
        a = self.arguments
        command = [
            a.sextant, "steer", "search", "-m", a.model, "--apply", a.vector, "--pairs", a.pairs, "--controls", "0",
            "-o", str(self.folder / "out.steer.safetensors"), "--force", "--json", "--threads", str(a.threads),
            "--seed", str(a.seed), *options,
        ]  # fmt: skip
        run = subprocess.run(command, capture_output=True, text=True)
        if run.returncode == 0:
            return json.loads(run.stdout)
        if "[artifact.scale]" in run.stderr:
            return None
        raise SystemExit(f"{' '.join(command)}\n{run.stderr}")

    def cell(self, first: int, last: int, sites: str, positions: str, strength: float) -> list[tuple]:
        """A choice, measured: (divergence, effect) on the half that is chosen on, and on the other half."""
        found = self.search(
            "--layers", f"{first}-{last}", "--widths", str(last - first + 1), "--sites", sites, "--positions", positions,
            f"--strengths={strength}", "--budget", "1e9", "--nonsense-budget", "1e9",
        )  # fmt: skip
        return [point(one) for one in found["front"]] if found else []


def point(cell: dict) -> tuple:
    reported = cell["reported"]
    return (cell["kl"], cell["effect"]), (reported["kl"]["value"], reported["effect"]["value"])


def front(cells: list[tuple], budget: float) -> list[tuple]:
    """The cells within the budget that no other one surpasses, by the first half."""
    best, found = 0.0, []
    for cell in sorted(cells, key=lambda cell: (cell[0][0], -cell[0][1])):
        if cell[0][0] <= budget and cell[0][1] > best:
            best = cell[0][1]
            found.append(cell)
    return found


def hypervolume(points: list[tuple], budget: float) -> float:
    """The area between a front and the corner (budget, effect 0), as a share of budget times 1."""
    area, height = 0.0, 0.0
    points = sorted((kl, effect) for kl, effect in points if kl <= budget)
    for (kl, effect), following in zip(points, [*points[1:], (budget, 0.0)]):
        height = max(height, effect)
        area += (following[0] - kl) * height
    return area / budget


def random_search(bench: Bench, blocks: int, sites: list[str], count: int) -> list[tuple]:
    draw = random.Random(bench.arguments.seed)
    cells = []
    for _ in range(count):
        first = draw.randrange(blocks)
        last = draw.randrange(first, blocks)
        strength = math.exp(draw.uniform(*map(math.log, STRENGTHS)))
        cells += bench.cell(first, last, draw.choice(sites), draw.choice(POSITIONS), strength)
    return cells


def tpe(bench: Bench, blocks: int, sites: list[str], count: int) -> list[tuple]:
    import optuna

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    cells = []

    def objective(trial: "optuna.Trial") -> tuple:
        first = trial.suggest_int("first", 0, blocks - 1)
        width = trial.suggest_int("width", 1, blocks)
        found = bench.cell(
            first, min(first + width, blocks) - 1, trial.suggest_categorical("sites", sites),
            trial.suggest_categorical("positions", POSITIONS), trial.suggest_float("strength", *STRENGTHS, log=True),
        )  # fmt: skip
        cells.extend(found)
        # A choice without an effect is as bad as one with an infinite divergence.
        return (found[0][0][1], math.log(found[0][0][0] + 1e-9)) if found else (0.0, 10.0)

    sampler = optuna.samplers.TPESampler(seed=bench.arguments.seed)
    study = optuna.create_study(directions=["maximize", "minimize"], sampler=sampler)
    study.optimize(objective, n_trials=count)
    return cells


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sextant", required=True)
    parser.add_argument("--model", required=True)
    parser.add_argument("--vector", required=True)
    parser.add_argument("--pairs", required=True)
    parser.add_argument("--evaluations", type=int, default=200)
    parser.add_argument("--methods", default="random,tpe")
    parser.add_argument("--budget", type=float, default=0.1)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()

    with tempfile.TemporaryDirectory() as folder:
        bench = Bench(arguments, Path(folder))
        start = processor_seconds()
        for _ in range(5):
            subprocess.run([arguments.sextant, "--version"], check=True, capture_output=True)
        process = (processor_seconds() - start) / 5
        start = processor_seconds()
        found = bench.search("--budget", str(arguments.budget))
        if not found:
            raise SystemExit("the search found no effect")
        own = processor_seconds() - start
        cells = [point(cell) for cell in found["front"]]
        blocks = found["model"]["layers"]
        sites = sorted({cell["sites"] for cell in found["tried"]})
        rows = [("sextant steer search", len(found["tried"]), cells, own)]
        for name in filter(None, arguments.methods.split(",")):
            method = {"random": random_search, "tpe": tpe}[name]
            start = processor_seconds()
            cells = method(bench, blocks, sites, arguments.evaluations)
            rows.append((name, arguments.evaluations, cells, processor_seconds() - start))
        print(f"budget {arguments.budget} nats per token; a process alone takes {process:.3f} s")
        print(f"{'method':24}{'cells':>7}{'processor s':>13}{'volume':>9}{'other half':>12}{'best effect':>13}{'other half':>12}")
        for name, count, cells, seconds in rows:
            best = front(cells, arguments.budget)
            volumes = [hypervolume([cell[half] for cell in best], arguments.budget) for half in (0, 1)]
            top = best[-1] if best else ((0, 0), (0, 0))
            print(
                f"{name:24}{count:7}{seconds:13.2f}{volumes[0]:9.4f}{volumes[1]:12.4f}"
                f"{top[0][1]:13.4f}{top[1][1]:12.4f}"
            )


if __name__ == "__main__":
    main()
