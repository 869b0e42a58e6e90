"""Compares Sextant with llama.cpp, for models and control vectors that Sextant exports.

    python agreement.py path/to/sextant path/to/llama-logits [MODEL …]

MODEL is anything that `sextant convert` reads; by default the demo model, models of the fixtures, and a random
RWKV-7 with heads of 64, because llama.cpp computes only these correctly. The checkpoints of all families come from
`fixtures/generate/make_hybrids.py OUT`: give OUT/checkpoints/*. Prints a table with a row for each model:

  logits     the largest difference of the logits of a prompt, and their largest absolute value;
  greedy     how many of 64 greedy tokens after the prompt agree before the first that differs; then how much lower
             llama.cpp's token is than Sextant's in Sextant's logits (a tie if about as small as the difference of logits);
  vector     what a random control vector at each block from 1 on does to the logits: the smallest
             cosine, over blocks, of our movement and theirs, when both apply the exported file; and the
             blocks whose vectors llama.cpp ignores (those of Nemotron-H without perceptron or experts);
  early      the largest such cosine when ours is applied one block too early, the mistake that the format invites.

A model that one side refuses has the reason in its row. With --no-vectors, the last two columns are left out.
Needs numpy, safetensors and gguf. If llama-logits is missing, it reports this and exits with status 0.
"""

import json
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
from safetensors.numpy import load_file, save_file

ROOT = Path(__file__).resolve().parents[3]
MODELS = [
    "demo-model/model.safetensors",
    "mamba-tiny/huggingface",
    "mamba2-tiny/huggingface",
    "rwkv-tiny/rwkv6/blinkdl",
    "llama-tiny/huggingface",
    "llama-tiny/llama3",
    "gpt-neox-tiny/huggingface",
    "hybrids/checkpoints/granite_h",
    "hybrids/checkpoints/granite_attention",
    "hybrids/checkpoints/granite_h_moe-bf16",
    "hybrids/checkpoints/falcon_h1-bf16",
    "hybrids/checkpoints/falcon_mamba",
    "hybrids/checkpoints/nemotron_h",
    "hybrids/checkpoints/lfm2",
    "hybrids/checkpoints/jamba",
    "hybrids/checkpoints/qwen2_small",
    "hybrids/checkpoints/qwen3_small",
    "hybrids/checkpoints/gemma3_small",
    "hybrids/checkpoints/olmo3_small",
]
PROMPT, GREEDY = 24, 64


def random_rwkv7(path: Path) -> Path:
    """A model of two heads of 64 and three blocks, with BlinkDL's names."""
    numbers = np.random.default_rng(7)
    width, heads, inner, rank, vocabulary = 128, 2, 256, 24, 101
    weights = {}

    def add(name: str, *shape: int, mean: float = 0.0, deviation: float | None = None) -> None:
        scale = 1 / np.sqrt(shape[-1]) if deviation is None else deviation
        weights[name] = (mean + scale * numbers.normal(size=shape)).astype("<f4")

    def norm(name: str) -> None:
        add(f"{name}.weight", width, mean=1.0, deviation=0.1)
        add(f"{name}.bias", width, deviation=0.1)

    add("emb.weight", vocabulary, width, deviation=0.5)
    add("head.weight", vocabulary, width)
    norm("ln_out")
    norm("blocks.0.ln0")
    for i in range(3):
        att, ffn = f"blocks.{i}.att.", f"blocks.{i}.ffn."
        norm(f"blocks.{i}.ln1")
        norm(f"blocks.{i}.ln2")
        norm(att + "ln_x")
        for letter in "rwkvag":
            add(f"{att}x_{letter}", 1, 1, width, mean=0.5, deviation=0.2)
        for letter in "wavg" if i else "wag":
            if letter != "g":
                add(f"{att}{letter}0", 1, 1, width, deviation=0.5)
            add(f"{att}{letter}1", width, rank)
            add(f"{att}{letter}2", rank, width)
        add(att + "k_k", 1, 1, width, mean=0.8, deviation=0.1)
        add(att + "k_a", 1, 1, width, mean=1.0, deviation=0.1)
        add(att + "r_k", heads, width // heads, deviation=0.1)
        for part in ["receptance", "key", "value", "output"]:
            add(f"{att}{part}.weight", width, width)
        add(ffn + "x_k", 1, 1, width, mean=0.5, deviation=0.2)
        add(ffn + "key.weight", inner, width)
        add(ffn + "value.weight", width, inner)
    save_file(weights, path)
    return path


class CommandFailure(SystemExit):
    """A command failed: ends the program if nothing catches it."""

    def __init__(self, command: str, status: int, said: str) -> None:
        super().__init__(f"{command}\n{said}")
        self.status, self.said = status, said


def run(*command: object, text: bytes = b"") -> str:
    """The output of a command that reads a text."""
    done = subprocess.run([str(part) for part in command], capture_output=True, input=text)
    if done.returncode != 0:
        raise CommandFailure(" ".join(map(str, command)), done.returncode, done.stderr.decode())
    return done.stdout.decode()


class Pair:
    """One model in both programs."""

    def __init__(self, sextant: Path, llama: Path, source: Path, work: Path) -> None:
        self.sextant, self.llama, self.work = sextant, llama, work
        self.store, self.gguf = work / "model.sxt", work / "model.gguf"
        run(sextant, "convert", source, "-o", self.store)
        # llama.cpp rounds activations to the type of the weights.
        run(sextant, "export", self.store, "-o", self.gguf, "--dtype", "f32")
        facts = json.loads(run(sextant, "inspect", self.gguf, "--json"))["metadata"]
        name = self.architecture = facts["general.architecture"]
        self.vocabulary = int(facts[f"{name}.vocab_size"])
        self.blocks = int(facts[f"{name}.block_count"])
        self.width = int(facts[f"{name}.embedding_length"])

    def ours(self, tokens: list[int], *options: object) -> np.ndarray:
        out = self.work / "ours.safetensors"
        run(self.sextant, "capture", "-m", self.store, "--tokens", ",".join(map(str, tokens)),
            "--sites", "logits", "-o", out, "--force", *options)
        return load_file(out)["logits"].astype(np.float64)

    def theirs(self, tokens: list[int], *options: object) -> tuple[np.ndarray, list[int]]:
        out = self.work / "theirs.f32"
        said = run(self.llama, self.gguf, out, ",".join(map(str, tokens)), *options)
        logits = np.fromfile(out, "<f4").reshape(len(tokens), self.vocabulary)
        return logits.astype(np.float64), [int(word) for word in said.split(",") if word.strip()]

    def vector(self, block: int) -> Path:
        """A random direction as a GGUF file that Sextant exported, and its artifact."""
        import gguf

        numbers = np.random.default_rng(block).normal(size=self.width).astype("<f4")
        raw = self.work / f"raw-{block}.gguf"
        writer = gguf.GGUFWriter(raw, "controlvector")
        writer.add_string("controlvector.model_hint", "test")
        writer.add_uint32("controlvector.layer_count", 1)
        writer.add_tensor(f"direction.{block}", numbers / np.linalg.norm(numbers))
        writer.write_header_to_file()
        writer.write_kv_data_to_file()
        writer.write_tensors_to_file()
        writer.close()
        for convention, name in [("llama-apply", "right"), ("llama-generator", "early")]:
            run(self.sextant, "convert", raw, "-m", self.store, "--layer-convention", convention,
                "-o", self.work / f"{name}-{block}.steer.safetensors")
        out = self.work / f"vector-{block}.gguf"
        run(self.sextant, "export", self.work / f"right-{block}.steer.safetensors", "-o", out)
        return out


def cosine(a: np.ndarray, b: np.ndarray) -> float:
    return float((a * b).sum() / np.sqrt((a * a).sum() * (b * b).sum()))


def compare(pair: Pair, with_vectors: bool) -> list[str]:
    """The cells of a model's row."""
    tokens = [(7 * i + 11) % pair.vocabulary for i in range(PROMPT)]
    ours = pair.ours(tokens)
    theirs, said = pair.theirs(tokens, GREEDY)
    # The greedy tokens agree as long as each of llama.cpp's tokens is also Sextant's most probable next token.
    logits = pair.ours(tokens + said[:-1])[PROMPT - 1 :]
    agree = next((i for i, row in enumerate(logits) if row.argmax() != said[i]), len(said))
    greedy = f"{agree} of {len(said)}"
    if agree < len(said):
        greedy += f", {logits[agree].max() - logits[agree][said[agree]]:.1e} lower"
    cells = [f"{np.abs(ours - theirs).max():.1e} of {np.abs(ours).max():.1f}", greedy]
    return cells + movements(pair, tokens, ours, theirs) if with_vectors else cells


def movements(
    pair: Pair, tokens: list[int], ours: np.ndarray, theirs: np.ndarray
) -> list[str]:
    """The cosines of the movements of the logits by random control vectors."""
    strength = 3.0
    right, early, ignored = [], [], []
    for block in range(1, pair.blocks):
        file = pair.vector(block)
        moved = pair.theirs(tokens, 0, file, strength)[0] - theirs
        if not moved.any():
            ignored.append(str(block))
            continue
        for name, cosines in [("right", right), ("early", early)]:
            artifact = pair.work / f"{name}-{block}.steer.safetensors"
            cosines.append(
                cosine(pair.ours(tokens, "--apply", f"{artifact}:{strength}") - ours, moved))
    note = f"; blocks {', '.join(ignored)} ignored" if ignored else ""
    return [f"{min(right):.7f}{note}", f"{max(early):.3f}"]


def refusal(failure: CommandFailure) -> str:
    """The first line that a program printed when it failed."""
    if failure.status < 0:
        return f"ends by signal {-failure.status}"
    lines = [line.strip() for line in failure.said.splitlines() if line.strip()]
    return lines[0] if lines else f"status {failure.status}"


def main() -> None:
    words = [word for word in sys.argv[1:] if word != "--no-vectors"]
    with_vectors = "--no-vectors" not in sys.argv
    if len(words) < 2 or not Path(words[1]).exists():
        print("no llama-logits: Benchmarks/README.md explains how to build it")
        return
    sextant, llama = Path(words[0]).resolve(), Path(words[1]).resolve()
    sources = [Path(word).resolve() for word in words[2:]]
    if not sources:
        sources = [ROOT / "fixtures" / name for name in MODELS] + [Path("random RWKV-7")]
    columns = ["model", "GGUF", "logits", "greedy"] + ["vector", "early"] * with_vectors
    print("| " + " | ".join(columns) + " |\n" + "| --- " * len(columns) + "|", flush=True)
    for source in sources:
        name = source.relative_to(ROOT) if source.is_relative_to(ROOT) else source.name
        with tempfile.TemporaryDirectory() as work:
            if source == Path("random RWKV-7"):
                source = random_rwkv7(Path(work) / "random-rwkv7.safetensors")
            cells = [str(name), ""]
            try:
                pair = Pair(sextant, llama, source, Path(work))
                cells[1] = pair.architecture
                cells += compare(pair, with_vectors)
            except CommandFailure as failure:
                cells.append(refusal(failure))
            print("| " + " | ".join(cells) + " |", flush=True)


if __name__ == "__main__":
    main()
