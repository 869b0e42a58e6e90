"""Converts a GGUF file of the shape of Llama 7B in Q4_K, runs it, and prints the memory for that.

    python check_large_blocks.py path/to/sextant FOLDER

The file is sparse: its blocks are holes, which read as zeros and take no space. The store takes
3.8 GB in FOLDER. Both are removed in the end. The status is 1 if the conversion takes 100 MB or
more, or if running takes 5 GB or more.
"""

import os
import struct
import subprocess
import sys
import time
from pathlib import Path

WIDTH, INNER, LAYERS, HEADS, VOCABULARY = 4096, 11008, 32, 32, 32000
F32, Q4_K = 0, 12


def text(word: str) -> bytes:
    return struct.pack("<Q", len(word)) + word.encode()


def metadata() -> list[bytes]:
    numbers = {
        "block_count": LAYERS, "context_length": 4096, "embedding_length": WIDTH,
        "feed_forward_length": INNER, "attention.head_count": HEADS,
        "attention.head_count_kv": HEADS, "rope.dimension_count": WIDTH // HEADS,
    }  # fmt: skip
    values = [text("general.architecture") + struct.pack("<I", 8) + text("llama")]
    values += [
        text(f"llama.{key}") + struct.pack("<II", 4, value) for key, value in numbers.items()
    ]
    epsilon = text("llama.attention.layer_norm_rms_epsilon") + struct.pack("<If", 6, 1e-5)
    return [*values, epsilon]


def shapes() -> dict[str, list[int]]:
    tensors = {name: [VOCABULARY, WIDTH] for name in ("token_embd.weight", "output.weight")}
    tensors["output_norm.weight"] = [WIDTH]
    for block in range(LAYERS):
        own = {name: [WIDTH, WIDTH] for name in ("attn_q", "attn_k", "attn_v", "attn_output")}
        own |= {"ffn_gate": [INNER, WIDTH], "ffn_up": [INNER, WIDTH], "ffn_down": [WIDTH, INNER]}
        own |= {"attn_norm": [WIDTH], "ffn_norm": [WIDTH]}
        tensors |= {f"blk.{block}.{name}.weight": shape for name, shape in own.items()}
    return tensors


def write(path: Path) -> None:
    """The file: its header, and holes up to its end."""
    table, offset = b"", 0
    for name, shape in shapes().items():
        kind, count = (F32, shape[0]) if len(shape) == 1 else (Q4_K, shape[0] * shape[1])
        table += text(name) + struct.pack("<I", len(shape))
        table += b"".join(struct.pack("<Q", size) for size in reversed(shape))
        table += struct.pack("<IQ", kind, offset)
        offset += (count * 4 if kind == F32 else count // 256 * 144) + 31 & ~31
    values = metadata()
    header = b"GGUF" + struct.pack("<IQQ", 3, len(shapes()), len(values)) + b"".join(values) + table
    with path.open("wb") as file:
        file.write(header)
        file.truncate((len(header) + 31 & ~31) + offset)


def measured(*command: object) -> tuple[float, float]:
    """The largest resident memory of a command in MB, and its seconds."""
    start = time.monotonic()
    process = subprocess.Popen([str(word) for word in command], stdout=subprocess.DEVNULL)
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode != 0:
        sys.exit(f"{command[1]} failed")
    return usage.ru_maxrss / 1000, time.monotonic() - start


def main() -> None:
    sextant, folder = Path(sys.argv[1]).resolve(), Path(sys.argv[2])
    source, store = folder / "large-q4_k.gguf", folder / "large-q4_k.sxt"
    try:
        write(source)
        memory, seconds = measured(sextant, "convert", source, "-o", store, "--force")
        sizes = f"{source.stat().st_size / 1e9:.2f} GB to {store.stat().st_size / 1e9:.2f} GB"
        print(f"convert: {sizes}, {memory:.0f} MB, {seconds:.0f} s", flush=True)
        ran, seconds = measured(
            sextant, "capture", "-m", store, "--tokens", "1,2,3", "--sites", "final_norm", "-o",
            folder / "large.capture.safetensors", "--force")  # fmt: skip
        print(f"run: {ran:.0f} MB, {seconds:.0f} s")
    finally:
        for path in (source, store, folder / "large.capture.safetensors"):
            path.unlink(missing_ok=True)
    sys.exit(memory >= 100 or ran >= 5000)


if __name__ == "__main__":
    main()
