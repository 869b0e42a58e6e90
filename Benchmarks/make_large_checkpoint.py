"""Writes a checkpoint of the shapes of Llama 2 7B in sparse files, to measure the time and memory of a conversion.

    python make_large_checkpoint.py FOLDER [SHARDS]
    /usr/bin/time -v sextant convert FOLDER -o large.sxt

The 13.5 GB of bf16 zeros take no space on most file systems; the converted model does.
It needs only Python's standard library.
"""

import json
import struct
import sys
from pathlib import Path

WIDTH, LAYERS, INNER, VOCABULARY, HEADS = 4096, 32, 11008, 32000, 32


def shapes() -> dict[str, list[int]]:
    tensors = {"model.embed_tokens.weight": [VOCABULARY, WIDTH]}
    for layer in range(LAYERS):
        prefix = f"model.layers.{layer}."
        for name in "qkvo":
            tensors[f"{prefix}self_attn.{name}_proj.weight"] = [WIDTH, WIDTH]
        for name in ("gate", "up"):
            tensors[f"{prefix}mlp.{name}_proj.weight"] = [INNER, WIDTH]
        tensors[f"{prefix}mlp.down_proj.weight"] = [WIDTH, INNER]
        for name in ("input_layernorm", "post_attention_layernorm"):
            tensors[f"{prefix}{name}.weight"] = [WIDTH]
    return tensors | {"model.norm.weight": [WIDTH], "lm_head.weight": [VOCABULARY, WIDTH]}


def write_shard(path: Path, tensors: dict[str, list[int]]) -> int:
    header, offset = {}, 0
    for name, shape in tensors.items():
        size = 2 * shape[0] * (shape[1] if len(shape) > 1 else 1)
        header[name] = {"dtype": "BF16", "shape": shape, "data_offsets": [offset, offset + size]}
        offset += size
    text = json.dumps(header).encode()
    with path.open("wb") as file:
        file.write(struct.pack("<Q", len(text)) + text)
        file.truncate(8 + len(text) + offset)
    return offset


def main() -> None:
    folder = Path(sys.argv[1])
    count = int(sys.argv[2]) if len(sys.argv) > 2 else 3
    folder.mkdir(parents=True)
    names, total, weight_map = list(shapes()), 0, {}
    for shard in range(count):
        mine = names[shard * len(names) // count : (shard + 1) * len(names) // count]
        file = f"model-{shard + 1:05d}-of-{count:05d}.safetensors"
        total += write_shard(folder / file, {name: shapes()[name] for name in mine})
        weight_map |= dict.fromkeys(mine, file)
    index = {"metadata": {"total_size": total}, "weight_map": weight_map}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index))
    config = {
        "architectures": ["LlamaForCausalLM"],
        "model_type": "llama",
        "vocab_size": VOCABULARY,
        "hidden_size": WIDTH,
        "num_hidden_layers": LAYERS,
        "num_attention_heads": HEADS,
        "num_key_value_heads": HEADS,
        "intermediate_size": INNER,
        "hidden_act": "silu",
        "rms_norm_eps": 1e-05,
        "rope_theta": 10000.0,
        "rope_scaling": None,
        "tie_word_embeddings": False,
    }
    (folder / "config.json").write_text(json.dumps(config))
    print(f"{total / 1e9:.1f} GB in {count} shards")


if __name__ == "__main__":
    main()
