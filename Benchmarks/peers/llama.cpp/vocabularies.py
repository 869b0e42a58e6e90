"""Compares the tokenizers that Sextant reads from GGUF with llama.cpp's own tests of published vocabularies.

    python vocabularies.py path/to/sextant path/to/llama.cpp [NAME …]

llama.cpp's sources have vocabularies without weights (`models/ggml-vocab-NAME.gguf`), and texts with the ids that
the models' own tokenizers give. Each vocabulary is combined with a random model, which Sextant converts. The script
prints for how many texts the ids are equal. By default, it runs the vocabularies whose tokenizers Sextant reads.

Needs numpy, safetensors, gguf, sentencepiece and tokenizers.
"""

import sys
import tempfile
from pathlib import Path

import gguf
from safetensors.numpy import load_file
from tokens import ids_of, random_llama, run

NAMES = ["llama-spm", "phi-3", "llama-bpe", "gpt-2", "mpt", "starcoder", "refact", "command-r"]
SEPARATOR = "\n__ggml_vocab_test__\n"


def write_model(vocabulary: Path, weights: Path, target: Path) -> None:
    """A GGUF file with the metadata of one file and the tensors of another."""
    writer = gguf.GGUFWriter(target, "none")
    for key, field in gguf.GGUFReader(vocabulary).fields.items():
        if key.startswith("tokenizer."):
            kind = field.types[0]
            inner = field.types[-1] if kind == gguf.GGUFValueType.ARRAY else None
            writer.add_key_value(key, field.contents(), kind, inner)
    for name, value in load_file(weights).items():
        writer.add_tensor(name, value)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def compare(sextant: Path, vocabulary: Path, work: Path) -> str:
    size = len(gguf.GGUFReader(vocabulary).fields["tokenizer.ggml.tokens"].data)
    source = random_llama(work / "source", size)
    write_model(vocabulary, source / "model.safetensors", work / "model.gguf")
    run(sextant, "convert", work / "model.gguf", "--config", source / "config.json", "-o",
        work / "model.sxt")  # fmt: skip
    texts = vocabulary.with_name(vocabulary.name + ".inp").read_text("utf-8").split(SEPARATOR)
    lines = vocabulary.with_name(vocabulary.name + ".out").read_text("utf-8").split("\n")
    cases = [(text, [int(word) for word in line.split()]) for text, line in zip(texts, lines) if text]
    found = ids_of(sextant, work / "model.sxt", work, [text for text, _ in cases])
    equal = sum(ids == expected for ids, (_, expected) in zip(found, cases, strict=True))
    return f"{equal} of {len(cases)} texts"


def main() -> None:
    sextant, llama = (Path(word).resolve() for word in sys.argv[1:3])
    for name in sys.argv[3:] or NAMES:
        with tempfile.TemporaryDirectory() as work:
            vocabulary = llama / f"models/ggml-vocab-{name}.gguf"
            print(f"{name}: {compare(sextant, vocabulary, Path(work))}", flush=True)


if __name__ == "__main__":
    main()
