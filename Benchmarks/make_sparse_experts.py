"""Writes a native model of the shape of Qwen3.5-35B-A3B as a sparse file, to measure the memory of experts.

    python make_sparse_experts.py MODEL.sxt [--random-rows 1000]
    /usr/bin/time -v sextant capture -m MODEL.sxt --tokens 1,2,3 --sites final_norm -o experts.capture.safetensors

The routers and some rows of the embedding are random, so that tokens choose different experts. The other weights are holes, which
read as zeros and take no space on most file systems. The digests of the tensors are not those of the data: `sextant verify`
refuses the file. The resident memory of the process shows which part of the file was read.
It needs NumPy.
"""

import argparse
import hashlib
import json
import struct

import numpy as np

WIDTH, LAYERS, VOCABULARY, EXPERTS, CHOSEN, INNER = 2048, 40, 248320, 256, 8, 512
HEADS, KEY_HEADS, HEAD_WIDTH = 16, 2, 256
DELTA_KEY_HEADS, DELTA_VALUE_HEADS, DELTA_WIDTH, TAPS = 16, 32, 128, 4


def configuration() -> dict:
    kinds = ["attention" if (block + 1) % 4 == 0 else "delta" for block in range(LAYERS)]
    return {
        "d_model": WIDTH, "layers": kinds, "vocab_size": VOCABULARY, "n_head": HEADS,
        "n_kv_head": KEY_HEADS, "head_dim": HEAD_WIDTH, "n_delta_key_head": DELTA_KEY_HEADS,
        "n_delta_value_head": DELTA_VALUE_HEADS, "delta_key_dim": DELTA_WIDTH,
        "delta_value_dim": DELTA_WIDTH, "d_conv": TAPS, "context_length": 262144,
        "norm_eps": 1e-06, "tie_embeddings": False, "rope_theta": 10000000.0,
        "rotary_dim": HEAD_WIDTH // 4, "rope_scaling": None,
        "feed_forward": ["experts"] * LAYERS, "n_expert": EXPERTS, "n_expert_used": CHOSEN,
        "d_expert": INNER, "d_shared_expert": INNER, "d_expert_latent": None,
        "n_expert_group": 1, "n_expert_group_used": 1, "expert_bias": False,
        "expert_weights_norm": True, "expert_weights_scale": 1.0,
    }  # fmt: skip


def shapes() -> dict[str, list[int]]:
    tensors = {name: [VOCABULARY, WIDTH] for name in ("embedding.weight", "head.weight")}
    tensors["final_norm.weight"] = [WIDTH]
    keys, values = DELTA_KEY_HEADS * DELTA_WIDTH, DELTA_VALUE_HEADS * DELTA_WIDTH
    for block, kind in enumerate(configuration()["layers"]):
        if kind == "delta":
            own = {"q_proj": keys, "k_proj": keys, "v_proj": values, "z_proj": values}
            own |= {"b_proj": DELTA_VALUE_HEADS, "a_proj": DELTA_VALUE_HEADS}
            part = {f"{name}.weight": [rows, WIDTH] for name, rows in own.items()}
            part |= {"conv1d.weight": [2 * keys + values, TAPS], "norm.weight": [DELTA_WIDTH]}
            part |= {"A_log": [DELTA_VALUE_HEADS], "dt_bias": [DELTA_VALUE_HEADS]}
            part |= {"out_proj.weight": [WIDTH, values]}
            mixer = {f"linear_attn.{name}": shape for name, shape in part.items()}
        else:
            own = {"q_proj": HEADS, "gate_proj": HEADS, "k_proj": KEY_HEADS, "v_proj": KEY_HEADS}
            part = {f"{name}.weight": [rows * HEAD_WIDTH, WIDTH] for name, rows in own.items()}
            part |= {"o_proj.weight": [WIDTH, HEADS * HEAD_WIDTH]}
            part |= {"q_norm.weight": [HEAD_WIDTH], "k_norm.weight": [HEAD_WIDTH]}
            mixer = {f"self_attn.{name}": shape for name, shape in part.items()}
        mixer |= {name: [WIDTH] for name in ("input_layernorm.weight", "post_attention_layernorm.weight")}
        mixer |= {"mlp.router.weight": [EXPERTS, WIDTH], "mlp.shared_gate.weight": [WIDTH]}
        for name, shape in (("gate", [INNER, WIDTH]), ("up", [INNER, WIDTH]), ("down", [WIDTH, INNER])):
            mixer[f"mlp.experts.{name}_proj.weight"] = [EXPERTS, *shape]
            mixer[f"mlp.shared.{name}_proj.weight"] = shape
        tensors |= {f"blocks.{block}.{name}": shape for name, shape in mixer.items()}
    return tensors


def aligned(number: int) -> int:
    return (number + 63) // 64 * 64


def header(tensors: dict[str, list[int]], start: int) -> tuple[bytes, dict[str, int], int]:
    """The header's text, the offset of each tensor, and the end of the data, if they begin at `start`."""
    entries, places, offset = [], {}, start
    for name in sorted(tensors):
        size = 2 * int(np.prod(tensors[name]))
        places[name] = offset
        entries.append({
            "name": name, "dtype": "BF16", "shape": tensors[name], "offset": offset, "bytes": size,
            "sha256": "0" * 64,
        })  # fmt: skip
        offset = aligned(offset + size)
    model = {"architecture": "qwen3.5", "configuration": configuration()}
    rows = [[entry[key] for key in ("name", "dtype", "shape", "sha256")] for entry in entries]
    identity = hashlib.sha256(canonical(model | {"tensors": rows})).hexdigest()
    text = canonical(model | {
        "format": "sextant-model", "version": 1, "requires": [], "layout": "row-major",
        "identity": identity, "weights": "source", "tensors": entries, "attachments": [],
    })  # fmt: skip
    return text, places, offset


def canonical(value: dict) -> bytes:
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()


def bf16(values: np.ndarray) -> bytes:
    return (values.astype(np.float32).view(np.uint32) >> 16).astype(np.uint16).tobytes()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("path")
    parser.add_argument("--random-rows", type=int, default=1000)
    arguments = parser.parse_args()
    tensors, start = shapes(), 64
    while True:
        text, places, end = header(tensors, start)
        if aligned(32 + len(text)) == start:
            break
        start = aligned(32 + len(text))
    length = end + 64
    random = np.random.default_rng(0)
    with open(arguments.path, "wb") as file:
        head = b"SEXTANT\0" + struct.pack("<IIQQ", 1, 0x01020304, len(text), length) + text
        head += bytes(start - len(head))
        file.write(head)
        for name, rows in [("embedding.weight", arguments.random_rows)] + [
            (f"blocks.{block}.mlp.router.weight", EXPERTS) for block in range(LAYERS)
        ]:
            file.seek(places[name])
            file.write(bf16(random.standard_normal((rows, WIDTH)) / 45))
        file.seek(length - 64)
        file.write(b"SXTEND\0\0" + hashlib.sha256(head).digest() + struct.pack("<QQQ", length, 0, 0))


if __name__ == "__main__":
    main()
