"""Compares Sextant with the tools that make control vectors: llama.cpp's generator and repeng.

    python control_vectors.py path/to/sextant path/to/llama-logits path/to/llama-cvector-generator

Prints

  generator  for each method of llama.cpp's generator, run on the demo model and pairs of prompts: the smallest
             cosine of a direction that `sextant convert --layer-convention llama-generator` put on a block and
             the same estimate from Sextant's captures of that block, and the largest with another block's;
  repeng     the same for repeng on a random Llama; then the cosine of the movements of the logits when repeng
             and Sextant apply its file, and when Sextant counts its blocks as llama.cpp's generator would;
  ours       whether `ControlVector.import_gguf` of repeng reads the same numbers from a file that Sextant
             exported, and the cosines of our movement and repeng's, and of ours and llama.cpp's.

Needs numpy, safetensors, gguf, tokenizers, torch, transformers, scikit-learn and repeng (0.4.0).
"""

import json
import sys
import tempfile
from pathlib import Path

import numpy as np
import torch
from agreement import ROOT, Pair, cosine, run
from safetensors.numpy import load_file
from tokenizers import Tokenizer

sys.path.insert(0, str(ROOT / "fixtures/generate"))
from make_control_vectors import Numbers  # noqa: E402  it makes repeng's import work, too
from repeng import ControlModel, ControlVector, DatasetEntry  # noqa: E402
from transformers import AutoModelForCausalLM  # noqa: E402

COUNT, STRENGTH = 8, 1.5
Rows = dict[int, np.ndarray]


def captured(pair: Pair, tokens: list[int], sites: str = "residual") -> dict[str, np.ndarray]:
    out = pair.work / "capture.safetensors"
    run(pair.sextant, "capture", "-m", pair.store, "--tokens", ",".join(map(str, tokens)),
        "--sites", sites, "-o", out, "--force")  # fmt: skip
    return {name: value.astype(np.float64) for name, value in load_file(out).items()}


def converted(pair: Pair, file: Path, convention: str) -> tuple[Path, Rows]:
    """A steering vector, and its directions by block."""
    out = pair.work / f"{file.stem}-{convention}.steer.safetensors"
    run(pair.sextant, "convert", file, "-m", pair.store, "--layer-convention", convention,
        "-o", out, "--force")  # fmt: skip
    return out, {int(name.split(".")[1]): value for name, value in load_file(out).items()}


def first_component(rows: np.ndarray, centred: bool) -> np.ndarray:
    rows = rows - rows.mean(0) if centred else rows
    return np.linalg.svd(rows, full_matrices=False)[2][0]


def landing(found: Rows, estimates: Rows) -> str:
    right = min(abs(cosine(found[block], estimates[block])) for block in found)
    wrong = max(
        abs(cosine(found[a], estimates[b])) for a in found for b in estimates if a != b
    )
    return f"blocks {min(found)} to {max(found)}, cosine {right:.6f} (another block: {wrong:.3f})"


def check_generator(pair: Pair, generator: Path) -> None:
    lines = (ROOT / "fixtures/demo-model/sentiment_pairs.jsonl").read_text().splitlines()[:COUNT]
    pairs = [json.loads(line) for line in lines]
    tokenizer = Tokenizer.from_file(str(ROOT / "fixtures/demo-model/tokenizer.json"))
    filler = tokenizer.encode(" ").ids[-1]
    rows: dict[int, list[np.ndarray]] = {block: [] for block in range(pair.blocks)}
    for entry in pairs:
        ids = [tokenizer.encode(entry[side]).ids for side in ["positive", "negative"]]
        length = max(map(len, ids))
        a, b = (captured(pair, one + [filler] * (length - len(one))) for one in ids)
        for block, found in rows.items():
            difference = a[f"blocks.{block}.output"] - b[f"blocks.{block}.output"]
            # It leaves out tokens at which the values do not differ, up to rounding.
            found.append(difference[np.abs(difference).max(1) > 1e-4])
    for side in ["positive", "negative"]:
        (pair.work / side).write_text("".join(entry[side] + "\n" for entry in pairs))
    for method in ["mean", "pca"]:
        file = pair.work / f"{method}.gguf"
        # Small batches: the result is wrong if it converges in the middle of a batch.
        run(generator, "-m", pair.gguf, "--positive-file", pair.work / "positive", "--negative-file",
            pair.work / "negative", "--method", method, "--pca-batch", "2", "-t", "2", "-o", file)  # fmt: skip
        estimates = {
            block: np.concatenate(found).mean(0)
            if method == "mean"
            else first_component(np.concatenate(found), centred=False)
            for block, found in rows.items()
        }
        _, found = converted(pair, file, "llama-generator")
        print(f"generator, {method}: {landing(found, estimates)}", flush=True)


class Steered:
    """A model of transformers that repeng steers."""

    def __init__(self, folder: Path, layers: int) -> None:
        self.plain = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)
        model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)
        self.model = ControlModel(model, range(1, layers))

    def movement(self, vector: ControlVector, tokens: list[int]) -> np.ndarray:
        ids = torch.tensor([tokens])
        with torch.no_grad():
            self.model.set_control(vector, STRENGTH)
            moved = self.model(ids, use_cache=False).logits - self.plain(ids, use_cache=False).logits
        return moved[0].numpy().astype(np.float64)


def check_repeng(pair: Pair, folder: Path) -> None:
    numbers = np.random.default_rng(3)
    pairs = []
    for _ in range(COUNT):
        start = numbers.integers(3, pair.vocabulary, 6).tolist()
        pairs.append((start + [7], start + [8]))
    steered = Steered(folder, pair.blocks)
    dataset = [DatasetEntry(*(" ".join(map(str, side)) for side in entry)) for entry in pairs]
    vector = ControlVector.train(steered.plain, Numbers(), dataset)
    file = pair.work / "repeng.gguf"
    vector.export_gguf(file)

    estimates: Rows = {}
    captures = [[captured(pair, side, "residual,final_norm") for side in entry] for entry in pairs]
    for block in range(pair.blocks):
        # transformers' last hidden state is taken after the final norm.
        site = "final_norm" if block == pair.blocks - 1 else f"blocks.{block}.output"
        differences = np.stack([a[site][-1] - b[site][-1] for a, b in captures])
        estimates[block] = first_component(differences, centred=True)
    artifact, found = converted(pair, file, "repeng")
    print(f"repeng: {landing(found, estimates)}")

    tokens = [(5 * i + 3) % pair.vocabulary for i in range(24)]
    plain = pair.ours(tokens)

    def ours(artifact: Path) -> np.ndarray:
        return pair.ours(tokens, "--apply", f"{artifact}:{STRENGTH}") - plain

    theirs = steered.movement(vector, tokens)
    wrong, _ = converted(pair, file, "llama-generator")
    print(
        f"repeng, applied: cosine {cosine(ours(artifact), theirs):.7f} "
        f"(counted as llama.cpp's generator does: {cosine(ours(wrong), theirs):.3f})"
    )

    out = pair.work / "ours.gguf"
    run(pair.sextant, "export", artifact, "-o", out)
    back = ControlVector.import_gguf(out)
    same = back.model_type == "llama" and all(
        np.array_equal(back.directions[block], value) for block, value in found.items()
    )
    in_repeng = cosine(ours(artifact), steered.movement(back, tokens))
    moved = pair.theirs(tokens, 0, out, STRENGTH)[0] - pair.theirs(tokens)[0]
    print(
        f"ours: read by repeng {'as it is' if same else 'DIFFERENTLY'}, cosine {in_repeng:.7f}; "
        f"in llama.cpp {cosine(ours(artifact), moved):.7f}"
    )


def main() -> None:
    if len(sys.argv) < 4 or not all(Path(word).exists() for word in sys.argv[2:4]):
        print("no llama-logits or llama-cvector-generator: Benchmarks/README.md explains how to build them")
        return
    sextant, llama, generator = (Path(word).resolve() for word in sys.argv[1:4])
    with tempfile.TemporaryDirectory() as work:
        source = ROOT / "fixtures/demo-model/model.safetensors"
        check_generator(Pair(sextant, llama, source, Path(work)), generator)
    with tempfile.TemporaryDirectory() as work:
        folder = ROOT / "fixtures/llama-tiny/huggingface"
        check_repeng(Pair(sextant, llama, folder, Path(work)), folder)


if __name__ == "__main__":
    main()
