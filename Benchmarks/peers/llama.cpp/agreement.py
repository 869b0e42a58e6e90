"""Holds Sextant's logits against llama.cpp's, for models and control vectors that Sextant exports.

    python agreement.py path/to/sextant path/to/llama-logits [MODEL …]

MODEL is anything that `sextant convert` reads; by default the tiny models of the fixtures and the demo
model. For each: the largest difference of the logits of a prompt, the greedy tokens that follow it, and
how a steering vector at each block from 1 on moves the logits: the cosine between the two movements,
beside that of a vector written one block too late, the mistake that the format invites.

Needs numpy and safetensors. Says so and ends well where llama-logits is missing.
"""

import json
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
from safetensors.numpy import load_file

ROOT = Path(__file__).resolve().parents[3]
MODELS = [
    "demo-model/model.safetensors",
    "mamba-tiny/huggingface",
    "mamba2-tiny/huggingface",
    "rwkv-tiny/rwkv6/blinkdl",
    "rwkv-tiny/rwkv7/blinkdl",
    "llama-tiny/huggingface",
    "gpt-neox-tiny/huggingface",
]
PROMPT, GREEDY = 24, 64
STRENGTH = 2.0


def run(*command: object) -> str:
    done = subprocess.run([str(part) for part in command], capture_output=True, text=True)
    if done.returncode != 0:
        raise SystemExit(f"{' '.join(map(str, command))}\n{done.stderr}")
    return done.stdout


class Pair:
    """One model in both programs."""

    def __init__(self, sextant: Path, llama: Path, source: Path, work: Path) -> None:
        self.sextant, self.llama, self.work = sextant, llama, work
        self.store, self.gguf = work / "model.sxt", work / "model.gguf"
        run(sextant, "convert", source, "-o", self.store, "--force")
        run(sextant, "export", self.store, "-o", self.gguf, "--force")
        facts = json.loads(run(sextant, "inspect", self.store, "--json"))
        self.vocabulary = self.rows("token_embd.weight")
        self.facts = facts
        self.tokens = [(7 * i + 11) % self.vocabulary for i in range(PROMPT)]

    def rows(self, name: str) -> int:
        tensors = json.loads(run(self.sextant, "inspect", self.gguf, "--json", "--tensors"))["tensors"]
        return next(t["shape"][0] for t in tensors if t["name"] == name)

    def ids(self) -> str:
        return ",".join(map(str, self.tokens))

    def ours(self, *options: object) -> np.ndarray:
        out = self.work / "ours.safetensors"
        run(self.sextant, "capture", "-m", self.store, "--tokens", self.ids(), "--sites", "logits",
            "-o", out, "--force", *options)
        return load_file(out)["logits"]

    def theirs(self, *options: object) -> np.ndarray:
        out = self.work / "theirs.f32"
        self.said = run(self.llama, self.gguf, out, self.ids(), *options)
        return np.fromfile(out, "<f4").reshape(PROMPT, self.vocabulary)

    def greedy(self) -> list[int]:
        """Ours, one prompt at a time."""
        tokens = list(self.tokens)
        answer = run(self.sextant, "generate", "-m", self.store, "--tokens", self.ids(), "-n", GREEDY,
                     "--temp", 0, "--json")
        return json.loads(answer)["tokens"]


def main() -> None:
    if len(sys.argv) < 3 or not Path(sys.argv[2]).exists():
        print("no llama-logits: see Benchmarks/README.md for how it is built")
        return
    sextant, llama = Path(sys.argv[1]).resolve(), Path(sys.argv[2]).resolve()
    sources = [Path(p) for p in sys.argv[3:]] or [ROOT / "fixtures" / name for name in MODELS]
    for source in sources:
        with tempfile.TemporaryDirectory() as work:
            pair = Pair(sextant, llama, source, Path(work))
            ours, theirs = pair.ours(), pair.theirs(GREEDY)
            print(source, float(np.abs(ours - theirs).max()))


if __name__ == "__main__":
    main()
