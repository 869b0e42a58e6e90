"""Evaluates the demo model with lm_eval over the server: python harness.py ADDRESS SEXTANT FOLDER

The figures must be those of `tasks/expected.json`, which a float64 reference computed. Then a task runs under a model name
with steering, and its log-likelihoods must be what the command line computes with `--apply` of the same vector.
"""

import hashlib
import json
import math
import struct
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
            str(Path(sys.executable).parent / "lm_eval"), "run", "--include_path", ".", "--model", "local-completions",
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



def act_on_all_tokens(name: str, new: str) -> None:
    """Writes the vector again, so that it declares all tokens: as trained, it acts on the last token of a prompt and on
    generated ones, and a log-likelihood reads none of them."""
    data = (folder / f"artifacts/{name}.safetensors").read_bytes()
    size = struct.unpack("<Q", data[:8])[0]
    header = json.loads(data[8 : 8 + size])
    manifest = header["__metadata__"]["sextant"].replace('"positions":"last,generated"', '"positions":"all"')
    header["__metadata__"] = {"sextant": manifest, "sextant.sha256": hashlib.sha256(manifest.encode()).hexdigest()}
    text = json.dumps(header, separators=(",", ":"), ensure_ascii=False).encode()
    text += b" " * (-len(text) % 8)
    (folder / f"artifacts/{new}.safetensors").write_bytes(struct.pack("<Q", len(text)) + text + data[8 + size :])


act_on_all_tokens("joy", "joy-all")
request = urllib.request.Request(
    f"{address}/sextant/v1/artifacts", b"{}", {"Content-Type": "application/json"}, method="POST")
rows = json.loads(urllib.request.urlopen(request).read())["data"]
assert any(row["name"] == "joy-all" and row["fits"] for row in rows), rows

_, steered = evaluate("demo+joy-all:2", ["sextant_sums_choice"])
scores = likelihoods(steered["sextant_sums_choice"])
moved = largest_difference(scores, expected["sums"])
assert moved > 0.01, "the vector changes nothing"


def by_command(statement: str) -> dict[str, float]:
    """Log-probabilities of the tokens after a statement, as the report of a lens at the last block."""
    with tempfile.TemporaryDirectory() as out:
        trace = f"{out}/trace.jsonl"
        subprocess.run(
            [sextant, "generate", "-m", folder / "demo.sxt", "-p", statement, "-n", "1", "--temp", "0",
             "--apply", f"{folder}/artifacts/joy-all.safetensors:2", "--apply", folder / "artifacts/ridge.safetensors",
             "--trace", trace], check=True, capture_output=True)
        records = [json.loads(line) for line in Path(trace).read_text().splitlines()]
    last = [record for record in records if record["prompt"]][-1]
    report = next(report for report in last["reports"] if "layers" in report)
    return {guess["text"]: math.log(guess["p"]) for guess in report["layers"][-1]["top"] if guess["p"] > 0}


compared = 0
for row, own in list(zip(sums, scores, strict=True))[:12]:
    found = by_command(row["statement"])
    for choice, value in zip(row["choices"], own, strict=True):
        if choice in found:
            assert abs(found[choice] - value) < 1e-4, (row, choice, found[choice], value)
            compared += 1
(folder / "artifacts/joy-all.safetensors").unlink()
print(f"demo+joy-all:2: {compared} log-likelihoods are those of the command line; they differ by up to {moved:.2f} from demo's")
assert compared >= 12
