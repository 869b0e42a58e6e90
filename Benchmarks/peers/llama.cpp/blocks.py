"""Compares greedy texts of a GGUF file with quantised weights in Sextant and in llama.cpp.

    python blocks.py path/to/sextant path/to/llama-logits MODEL.gguf [PROMPT …]

Sextant keeps the blocks of the file. For each prompt and precision, prints how many of 64 greedy
tokens of llama.cpp are also Sextant's most probable ones before the first that differs. llama.cpp
rounds activations to 8 bits in blocks, as `--precision fast` does, and adds up in another order.
Needs numpy and safetensors.
"""

import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
from safetensors.numpy import load_file

PROMPTS = [
    "The capital of France is",
    "Once upon a time, there was a little girl who",
    "Water boils at a temperature of",
]
WANTED = 64


def run(*command: object) -> str:
    return subprocess.run(
        [str(word) for word in command], check=True, capture_output=True, text=True
    ).stdout


def main() -> None:
    sextant, llama, source = (Path(word).resolve() for word in sys.argv[1:4])
    with tempfile.TemporaryDirectory() as folder:
        work = Path(folder)
        store, out = work / "model.sxt", work / "out.safetensors"
        print(run(sextant, "convert", source, "-o", store).strip())
        for prompt in sys.argv[4:] or PROMPTS:
            run(sextant, "capture", "-m", store, "--prompt", prompt, "--sites", "logits", "-o", out)
            tokens = load_file(out)["tokens"].reshape(-1).tolist()
            ids = ",".join(map(str, tokens))
            said = run(llama, source, work / "logits.f32", ids, WANTED)
            theirs = [int(word) for word in said.split(",") if word.strip()]
            for precision in ["exact", "fast"]:
                run(
                    sextant, "capture", "-m", store, "--tokens",
                    ",".join(map(str, tokens + theirs[:-1])), "--sites", "logits", "-o", out,
                    "--force", "--precision", precision,
                )  # fmt: skip
                logits = load_file(out)["logits"].reshape(-1, load_file(out)["logits"].shape[-1])
                best = logits[len(tokens) - 1 :].argmax(axis=1)
                agree = next((i for i, token in enumerate(theirs) if best[i] != token), len(theirs))
                note = ""
                if agree < len(theirs):
                    row = np.sort(logits[len(tokens) - 1 + agree])
                    own = logits[len(tokens) - 1 + agree][theirs[agree]]
                    note = f"; llama.cpp's token is {row[-1] - own:.3f} below Sextant's"
                print(f"{prompt!r}, {precision}: {agree} of {len(theirs)} agree{note}", flush=True)
            out.unlink()


if __name__ == "__main__":
    main()
