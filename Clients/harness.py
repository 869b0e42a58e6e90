"""Evaluates the demo model with lm_eval over the server: python harness.py ADDRESS SEXTANT FOLDER

The figures must be those of `tasks/expected.json`, which a float64 reference computed. Then a task runs under a model name
with steering, and its log-likelihoods must be those of `sextant steer eval` with the same vector.
"""

import json
import math
import subprocess
import sys
import tempfile
import urllib.request
from pathlib import Path

address, sextant, folder = sys.argv[1].rstrip("/"), sys.argv[2], Path(sys.argv[3])
tasks = Path(__file__).parent / "tasks"
expected = json.loads((tasks / "expected.json").read_text())
sums = [json.loads(line) for line in (tasks / "sums.jsonl").read_text().splitlines()]


def evaluate(model: str, names: list[str], extra: str = "") -> tuple[dict, dict]:
    """The results and the samples of each task."""
    with tempfile.TemporaryDirectory() as out:
        command = [
            # Not by its script, which names the folder that it was installed in.
            sys.executable, "-m", "lm_eval", "run", "--include_path", ".", "--model", "local-completions",
            "--model_args", f"model={model},base_url={address}/v1/completions,max_length=100000{extra}",
            "--tasks", ",".join(names), "--log_samples", "--output_path", out, "--batch_size", "4",
        ]
        done = subprocess.run(command, cwd=tasks, capture_output=True, text=True)
        assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-4000:]
        results = json.loads(next(Path(out).rglob("results_*.json")).read_text())["results"]
        samples = {}
        for name in names:
            file = next(Path(out).rglob(f"samples_{name}_*.jsonl"))
            rows = [json.loads(line) for line in file.read_text().splitlines()]
            samples[name] = sorted(rows, key=lambda row: row["doc_id"])
        return results, samples


def likelihoods(rows: list[dict]) -> list[list[float]]:
    return [[float(choice[0]) for choice in row["filtered_resps"]] for row in rows]


def largest_difference(a: list[list[float]], b: list[list[float]]) -> float:
    return max(abs(x - y) for one, other in zip(a, b, strict=True) for x, y in zip(one, other, strict=True))


results, samples = evaluate("demo", ["sextant_sums_choice", "sextant_sums_generate", "sextant_texts_rolling"])
accuracy = results["sextant_sums_choice"]["acc,none"]
match = results["sextant_sums_generate"]["exact_match,none"]
bits = results["sextant_texts_rolling"]["bits_per_byte,none"]
difference = largest_difference(likelihoods(samples["sextant_sums_choice"]), expected["sums"])
print(f"acc {accuracy}, exact_match {match}, bits per byte {bits:.5f}; log-likelihoods within {difference:.1e}")
assert accuracy == expected["acc"] and match == 1.0
assert abs(bits - expected["bits_per_byte"]) < 1e-5
assert difference < 1e-4

# Several requests at once, which lm_eval sends as lists and side by side.
again, _ = evaluate("demo", ["sextant_sums_choice"], ",num_concurrent=4")
assert again["sextant_sums_choice"]["acc,none"] == accuracy


def by_command(positions: str) -> float:
    """The mean of p(first) / (p(first) + p(second)) over all sums, under joy:2, as `steer eval` computes it."""
    with tempfile.TemporaryDirectory() as out:
        pairs = Path(out) / "pairs.jsonl"
        pairs.write_text("".join(
            json.dumps({"prompt": row["statement"], "matching": row["choices"][0], "other": row["choices"][1]}) + "\n" for row in sums))
        found = subprocess.run(
            [sextant, "steer", "eval", "-m", folder / "demo.sxt", "--apply", folder / "artifacts/joy.safetensors", "--pairs", pairs,
             "--positions", positions, "--multipliers", "2", "--controls", "0", "--json"], check=True, capture_output=True, text=True)
    return json.loads(found.stdout)["rows"][0]["matching"]


def mean(scores: list[list[float]]) -> float:
    return sum(1 / (1 + math.exp(second - first)) for first, second in scores) / len(scores)


# lm_eval does not tell where the answer begins: the vector acts on all tokens.
_, steered = evaluate("demo+joy:2", ["sextant_sums_choice"])
scores = likelihoods(steered["sextant_sums_choice"])
moved = largest_difference(scores, expected["sums"])
assert moved > 0.01, "the vector changes nothing"
assert abs(mean(scores) - by_command("all")) < 1e-5, (mean(scores), by_command("all"))


def ask(path: str, body: dict) -> dict:
    request = urllib.request.Request(f"{address}{path}", json.dumps(body).encode(), {"Content-Type": "application/json"})
    return json.loads(urllib.request.urlopen(request).read())


def ids(text: str) -> list[int]:
    return ask("/tokenize", {"prompt": text, "add_special_tokens": False})["tokens"]


# A client that tells it gets what `steer eval` computes for the vector's own positions.
told = []
for row in sums:
    context = ids(row["statement"])
    prompts = [context + ids(choice) for choice in row["choices"]]
    found = ask("/v1/completions", {
        "model": "demo+joy:2", "prompt": prompts, "max_tokens": 0, "echo": True, "logprobs": 0, "context_tokens": len(context)})
    told.append([sum(choice["logprobs"]["token_logprobs"][len(context):]) for choice in found["choices"]])
assert abs(mean(told) - by_command("last,generated")) < 1e-5, (mean(told), by_command("last,generated"))
assert abs(mean(told) - mean(scores)) > 1e-5
print(f"demo+joy:2: log-likelihoods differ by up to {moved:.2f} from demo's, and are those of `steer eval`")
