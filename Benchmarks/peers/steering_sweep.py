"""A sweep of steering strengths: `sextant steer eval` compared with a loop of full forward passes in transformers.

    python steering_sweep.py --sextant ../../.build/release/sextant [--context] [--threads 1]

Both sides do the same: every prompt, block and strength of a grid, the residual stream steered at the
last token, the probability of the matching continuations. The loop runs the whole prompt through the
whole model for each cell, as the published code of arXiv 2404.05971 does for Mamba; Sextant shares the work that
cells have in common. The figures of both are compared, cell by cell, so that the same work is timed.
"""

import argparse
import json
import subprocess
import tempfile
import time
from pathlib import Path

import torch
from safetensors.torch import load_file
from tokenizers import Tokenizer
from transformers import AutoModelForCausalLM

DEMO = Path(__file__).resolve().parents[2] / "fixtures/demo-model"
MULTIPLIERS = [-3.0, -1.5, -1.0, -0.5, 0.0, 0.5, 1.0, 1.5, 3.0]


def sextant(binary: str, threads: int, *arguments: str) -> str:
    command = [binary, *arguments, "--threads", str(threads)]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


def items(context: bool) -> list[dict]:
    """The demo's test; with a review before each prompt, the prompts have the length of the paper's."""
    lines = [json.loads(line) for line in (DEMO / "sentiment_test.jsonl").read_text().splitlines()]
    if context:
        review = (DEMO / "reviews.txt").read_text().split("\n\n")[0].replace("\n", " ")
        for line in lines:
            opening = line["prompt"].removeprefix("<|endoftext|>")
            line["prompt"] = f"<|endoftext|>{review} {opening}"
    return lines


def loop(test: list[dict], vectors: dict[int, torch.Tensor], tokenizer: Tokenizer) -> tuple:
    """Mean matching by (block, strength), forwards, mean prompt length, seconds."""
    model = AutoModelForCausalLM.from_pretrained(DEMO, dtype=torch.float32).eval()
    prepared = []
    for item in test:
        ids = tokenizer.encode(item["prompt"]).ids
        sides = [
            [tokenizer.encode(item["prompt"] + word).ids[len(ids)] for word in item[side]]
            for side in ("matching", "other")
        ]
        prepared.append((torch.tensor([ids]), *sides))
    edit = {"vector": None}

    def hook(_module, _inputs, output):  # noqa: ANN001, ANN202
        hidden = output[0] if isinstance(output, tuple) else output
        hidden[:, -1] += edit["vector"]

    result, count = {}, 0
    with torch.inference_mode():
        model(prepared[0][0])
        start = time.perf_counter()
        for block, vector in sorted(vectors.items()):
            handle = model.backbone.layers[block].register_forward_hook(hook)
            for multiplier in MULTIPLIERS:
                edit["vector"] = multiplier * vector
                total = 0.0
                for ids, matching, other in prepared:
                    p = model(ids, use_cache=False).logits[0, -1].double().softmax(0)
                    a, b = p[matching].sum(), p[other].sum()
                    total += float(a / (a + b))
                    count += 1
                result[block, multiplier] = total / len(prepared)
            handle.remove()
        seconds = time.perf_counter() - start
    length = sum(len(ids[0]) for ids, _, _ in prepared) / len(prepared)
    return result, count, length, seconds


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--sextant", required=True)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--rounds", type=int, default=3, help="of Sextant; the best counts")
    parser.add_argument("--context", action="store_true")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    test = items(options.context)
    with tempfile.TemporaryDirectory() as folder:
        model, vector, pairs = (f"{folder}/{n}" for n in ("m.sxt", "v.safetensors", "t.jsonl"))
        Path(pairs).write_text("".join(json.dumps(item) + "\n" for item in test))
        run = [options.sextant, options.threads]
        subprocess.run(
            [options.sextant, "convert", str(DEMO / "model.safetensors"), "-o", model],
            check=True, capture_output=True,
        )
        sextant(
            *run, "steer", "train", "-m", model, "-o", vector,
            "--pairs", str(DEMO / "sentiment_pairs.jsonl"),
        )
        multipliers = ",".join(str(m) for m in MULTIPLIERS)
        best, found = float("inf"), {}
        for _ in range(options.rounds):
            found = json.loads(
                sextant(
                    *run, "steer", "eval", "-m", model, "--apply", vector, "--pairs", pairs,
                    f"--multipliers={multipliers}", "--sites", "residual", "--controls", "0", "--json",
                )
            )
            best = min(best, found["sweep_seconds"])
        vectors = {int(k.split(".")[1]): v for k, v in load_file(vector).items()}
        tokenizer = Tokenizer.from_file(str(DEMO / "tokenizer.json"))
        expected, count, length, seconds = loop(test, vectors, tokenizer)
    ours = {(row["layer"], row["multiplier"]): row["matching"] for row in found["rows"]}
    ours |= {(block, 0.0): found["baseline"]["matching"] for block in vectors}
    worst = max(abs(ours[cell] - value) for cell, value in expected.items())
    print(f"{count} cells: {len(test)} prompts of {length:.0f} tokens on average, "
          f"{len(vectors)} blocks, {len(MULTIPLIERS)} strengths; {options.threads} thread(s)")
    print(f"transformers on torch {torch.__version__}: {seconds:.2f} s")
    print(f"sextant steer eval: {best:.3f} s (the sweep, from opening the model on)")
    print(f"{seconds / best:.0f} times faster; mean matching differs by up to {worst:.1e}")


if __name__ == "__main__":
    main()
