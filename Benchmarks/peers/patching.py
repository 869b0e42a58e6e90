"""Activation patching: `sextant patch` compared with one full forward pass per cell in transformers.

    python patching.py --sextant ../../.build/release/sextant [--tokens 30] [--threads 1] [--model FOLDER]

Both sides patch every place of the residual stream and of the parts of blocks, at every token of a pair of prompts
that differ at the first of its last tokens. The loop runs the whole prompt through the whole model for each cell, with
a hook that replaces one row, as the examples of most tools do. Sextant shares what cells have in common. The cells
of both are compared, so that the same work is timed. `--state` adds the components of the state, which only Sextant
patches here. Times are those of the clock and of the processor; the processor time of Sextant is that of the whole
command, and counts on a machine that other programs use.
"""

import argparse
import json
import resource
import subprocess
import tempfile
import time
from pathlib import Path

import torch
from tokenizers import Tokenizer
from transformers import AutoModelForCausalLM

DEMO = Path(__file__).resolve().parents[2] / "fixtures/demo-model"


def prompts(tokenizer: Tokenizer, count: int, everywhere: bool) -> tuple[str, str]:
    """Two prompts of `count` tokens, which differ in the name before the colon, or in the first word, too."""
    ends = ("20 + 62 = 92. Alice:", "20 + 62 = 92. Bob:")
    starts = ("The", "A") if everywhere else ("The", "The")
    filler = " film was good."
    words = (filler * count).split(" ")
    for size in range(len(words) + 1):
        texts = tuple(f"{s}{' '.join(words[:size])} {e}" for s, e in zip(starts, ends, strict=True))
        lengths = [len(tokenizer.encode(text).ids) for text in texts]
        if lengths[0] == lengths[1] >= count:
            return texts
    raise SystemExit("no prompts of this length")


def child_seconds() -> float:
    """Processor time of the commands that have ended."""
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


def first(output):  # noqa: ANN001, ANN201
    return output[0] if isinstance(output, tuple) else output


def sites(model: torch.nn.Module) -> dict[str, torch.nn.Module]:
    """The modules whose output is the value at a site."""
    found = {"embedding": model.get_input_embeddings()}
    body = getattr(model, "backbone", None) or model.model
    for block, layer in enumerate(body.layers):
        for name, site in (("mixer", "mixer"), ("self_attn", "attention"), ("mlp", "mlp")):
            if hasattr(layer, name):
                found[f"blocks.{block}.{site}"] = getattr(layer, name)
        found[f"blocks.{block}.output"] = layer
    return found


def loop(
    model: torch.nn.Module,
    clean: list[int],
    corrupted: list[int],
    answers: tuple[int, int],
    limit: int | None,
) -> tuple[dict, float, float]:
    """The logit difference of each cell, seconds of the clock, and of the processor."""
    modules, values, cells = sites(model), {}, {}
    keep = [
        m.register_forward_hook(lambda _m, _i, o, n=n: values.__setitem__(n, first(o).clone()))
        for n, m in modules.items()
    ]
    with torch.inference_mode():
        model(torch.tensor([clean]), use_cache=False)
        for handle in keep:
            handle.remove()
        ids = torch.tensor([corrupted])
        model(ids, use_cache=False)
        places = [(name, token) for name in modules for token in range(len(clean))]
        step = 1 if limit is None else max(1, len(places) // limit)
        start, cpu = time.perf_counter(), time.process_time()
        for name, token in places[::step]:

            def hook(_module, _inputs, output, name=name, token=token):  # noqa: ANN001, ANN202
                value = first(output).clone()
                value[:, token] = values[name][:, token]
                return (value, *output[1:]) if isinstance(output, tuple) else value

            handle = modules[name].register_forward_hook(hook)
            logits = model(ids, use_cache=False).logits[0, -1]
            handle.remove()
            cells[name, token] = float(logits[answers[0]] - logits[answers[1]])
    return cells, time.perf_counter() - start, time.process_time() - cpu


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--sextant", required=True)
    parser.add_argument(
        "--model", type=Path, default=DEMO, help="a folder with model and tokenizer.json"
    )
    parser.add_argument("--tokens", type=int, default=30)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--rounds", type=int, default=3, help="of Sextant; the best counts")
    parser.add_argument("--state", action="store_true")
    parser.add_argument(
        "--everywhere", action="store_true", help="the prompts differ from the first token on"
    )
    parser.add_argument(
        "--limit", type=int, help="cells of transformers, evenly chosen; the time is scaled up"
    )
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    tokenizer = Tokenizer.from_file(str(options.model / "tokenizer.json"))
    clean, corrupted = prompts(tokenizer, options.tokens, options.everywhere)
    ids = [tokenizer.encode(text).ids for text in (clean, corrupted)]
    answers = tuple(tokenizer.encode(clean + word).ids[len(ids[0])] for word in (" False", " True"))
    with tempfile.TemporaryDirectory() as folder:
        model = f"{folder}/m.sxt"
        subprocess.run(
            [options.sextant, "convert", str(options.model), "-o", model],
            check=True,
            capture_output=True,
        )
        command = [
            options.sextant,
            "patch",
            "-m",
            model,
            "--clean",
            clean,
            "--corrupted",
            corrupted,
            "--answer",
            " False",
            "--against",
            " True",
            "--json",
            "--threads",
            str(options.threads),
            "--sites",
            "all" if options.state else "stream,parts",
        ]
        best, cpu, found = float("inf"), float("inf"), {}
        for _ in range(options.rounds):
            before = child_seconds()
            run = subprocess.run(command, check=True, capture_output=True, text=True).stdout
            found = json.loads(run)
            best, cpu = min(best, found["seconds"]), min(cpu, child_seconds() - before)
    loaded = AutoModelForCausalLM.from_pretrained(options.model, dtype=torch.float32).eval()
    expected, *seconds = loop(loaded, *ids, answers, options.limit)
    ours = {(cell["site"], cell["column"]): cell["difference"] for cell in found["cells"]}
    worst = max(abs(ours[cell] - value) for cell, value in expected.items())
    theirs = [1000 * value / len(expected) for value in seconds]
    own = [1000 * value / len(ours) for value in (best, cpu)]
    differs = next(i for i, (a, b) in enumerate(zip(*ids, strict=True)) if a != b)
    print(
        f"{len(ours)} cells: {len(ids[0])} tokens, which differ from token {differs} on; "
        f"{options.threads} thread(s)"
    )
    print(
        f"transformers on torch {torch.__version__}, {len(expected)} cells: "
        f"{theirs[0]:.2f} ms per cell, {theirs[1]:.2f} ms of the processor"
    )
    print(
        f"sextant patch: {own[0]:.4f} ms per cell, {own[1]:.4f} ms of the processor ({best:.3f} s, {cpu:.3f} s)"
    )
    print(
        f"{theirs[0] / own[0]:.0f} times faster, {theirs[1] / own[1]:.0f} times less processor time; "
        f"logit differences differ by up to {worst:.1e}"
    )


if __name__ == "__main__":
    main()
