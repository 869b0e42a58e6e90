"""Compares the tokenizers that Sextant exports to GGUF, and reads from GGUF, with their own packages and llama.cpp.

    python tokens.py path/to/sextant path/to/llama-tokens

Each tokenizer goes into a random model of one block, which is exported to GGUF. Then it prints for how many texts of
`fixtures/tokenizer/lines.jsonl` the ids are those of the package (`sentencepiece`, `tokenizers`):

  sextant    the model's own tokenizer;
  from GGUF  what Sextant reads from the file without the copy of the tokenizer's own file;
  back       that, written as `tokenizer.model` or `tokenizer.json` and loaded by the package;
  llama.cpp  the exported file in llama.cpp, and of how many texts in which neither finds a special token.

Needs numpy, safetensors, gguf, sentencepiece and tokenizers. If llama-tokens is missing, it reports this and exits
with status 0.
"""

import json
import struct
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

import gguf
import numpy as np
import sentencepiece
import tokenizers
from agreement import ROOT, run
from safetensors.numpy import load_file, save_file

TOKENIZERS = [
    "tokenizer/llama-tiny.model",
    "tokenizer/llama-tiny.json",
    "tokenizer/llama3-tiny.json",
    "demo-model/tokenizer.json",
]
LINES = ROOT / "fixtures/tokenizer/lines.jsonl"
WIDTH, INNER, HEADS, FILLERS = 8, 16, 2, 5
SPECIAL = {gguf.TokenType.UNKNOWN, gguf.TokenType.CONTROL, gguf.TokenType.USER_DEFINED}


def package(path: Path) -> tuple[int, Callable[[str], list[int]]]:
    """The size of a tokenizer's vocabulary, and the function that encodes a text."""
    if path.suffix == ".model":
        model = sentencepiece.SentencePieceProcessor(model_file=str(path))
        return model.get_piece_size(), model.encode
    model = tokenizers.Tokenizer.from_file(str(path))
    return model.get_vocab_size(), lambda text: model.encode(text, add_special_tokens=False).ids


def random_llama(folder: Path, rows: int) -> Path:
    """A model of one block, in the layout of transformers."""
    numbers = np.random.default_rng(1)
    shapes = {"model.embed_tokens.weight": (rows, WIDTH), "lm_head.weight": (rows, WIDTH)}
    block = "model.layers.0."
    for part in "qkvo":
        shapes[f"{block}self_attn.{part}_proj.weight"] = (WIDTH, WIDTH)
    for part, shape in [("gate", (INNER, WIDTH)), ("up", (INNER, WIDTH)), ("down", (WIDTH, INNER))]:
        shapes[f"{block}mlp.{part}_proj.weight"] = shape
    for name in ["input_layernorm", "post_attention_layernorm"]:
        shapes[f"{block}{name}.weight"] = (WIDTH,)
    shapes["model.norm.weight"] = (WIDTH,)
    folder.mkdir()
    save_file(
        {name: numbers.normal(size=shape).astype("<f4") for name, shape in shapes.items()},
        folder / "model.safetensors",
    )
    config = {
        "model_type": "llama", "hidden_size": WIDTH, "intermediate_size": INNER,
        "num_hidden_layers": 1, "num_attention_heads": HEADS, "vocab_size": rows,
        "max_position_embeddings": 8192,
    }  # fmt: skip
    (folder / "config.json").write_text(json.dumps(config))
    return folder


def without(source: Path, target: Path, key: str) -> Path:
    """A copy of a GGUF file that lacks one value."""
    reader = gguf.GGUFReader(source)
    writer = gguf.GGUFWriter(target, "llama")
    for name, field in reader.fields.items():
        if name.startswith("GGUF.") or name in ("general.architecture", key):
            continue
        kind = field.types[0]
        inner = field.types[-1] if kind == gguf.GGUFValueType.ARRAY else None
        writer.add_key_value(name, field.contents(), kind, inner)
    for tensor in reader.tensors:
        writer.add_tensor(tensor.name, tensor.data)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return target


def ids_of(sextant: Path, store: Path, work: Path, texts: list[str]) -> list[list[int]]:
    prompts, out = work / "texts.jsonl", work / "texts.safetensors"
    prompts.write_text("".join(json.dumps(text) + "\n" for text in texts))
    run(sextant, "capture", "-m", store, "--prompts", prompts, "--sites", "embedding", "-o", out,
        "--force")  # fmt: skip
    capture = load_file(out)
    ids: list[list[int]] = [[] for _ in texts]
    for row, token in zip(capture["row.prompt"], capture["tokens"], strict=True):
        ids[row].append(int(token))
    return ids


def compare(sextant: Path, llama: Path, path: Path, work: Path) -> str:
    size, encode = package(path)
    texts = [json.loads(line) for line in LINES.read_text().splitlines()]
    texts = [text for text in texts if encode(text) and len(text) < 2000]
    expected = [encode(text) for text in texts]
    store, back, file = work / "a.sxt", work / "b.sxt", work / "a.gguf"
    source = random_llama(work / "source", size + FILLERS)
    run(sextant, "convert", source, "--tokenizer", path, "-o", store)
    said = json.loads(run(sextant, "export", store, "-o", file, "--json"))
    bare = without(file, work / "bare.gguf", "sextant.tokenizer")
    run(sextant, "convert", bare, "-o", back)
    run(sextant, "export", back, "-o", work / "back")
    _, encode_back = package(next((work / "back").glob("tokenizer.[mj]*")))

    def equal(ids: list[list[int]]) -> str:
        return f"{sum(a == b for a, b in zip(ids, expected, strict=True))}"

    packed = b"".join(
        struct.pack("<I", len(data)) + data for data in (text.encode() for text in texts)
    )
    lines = run(llama, file, text=packed).splitlines()
    theirs = [[int(word) for word in line.split("|")[0].split()] for line in lines]
    kinds = gguf.GGUFReader(file).fields["tokenizer.ggml.token_type"].contents()
    special = {i for i, kind in enumerate(kinds) if kind in SPECIAL}
    plain = [
        a == b for a, b in zip(theirs, expected, strict=True) if special.isdisjoint([*a, *b])
    ]
    for text, a, b in zip(texts, theirs, expected, strict=True):
        if a != b and "--differences" in sys.argv:
            print(repr(text), a, b, sep="\n    ")
    return "\n".join(
        [
            f"{path.name}: {len(texts)} texts; sextant {equal(ids_of(sextant, store, work, texts))}, "
            f"from GGUF {equal(ids_of(sextant, back, work, texts))}, "
            f"back {equal([encode_back(text) for text in texts])}, "
            f"llama.cpp {equal(theirs)} ({sum(plain)} of {len(plain)})",
            *(f"    {note}" for note in said["notes"]),
        ]
    )


def main() -> None:
    words = [word for word in sys.argv[1:] if not word.startswith("--")]
    if len(words) < 2 or not Path(words[1]).exists():
        print("no llama-tokens: Benchmarks/README.md explains how to build it")
        return
    sextant, llama = (Path(word).resolve() for word in words[:2])
    for name in TOKENIZERS:
        with tempfile.TemporaryDirectory() as work:
            print(compare(sextant, llama, ROOT / "fixtures" / name, Path(work)), flush=True)


if __name__ == "__main__":
    main()
