"""Writes tiny random checkpoints of all families that llama.cpp has, with sizes that it can run.

    python make_models.py OUT

OUT/NAME is a checkpoint in the published layout of transformers. The models are those of
`fixtures/generate/make_hybrids.py`, except for what llama.cpp does not have: keys and values of different widths in the gated
delta rule, perceptrons among experts in Qwen3-Next, another scale of scores in Gemma 3, and a head that is tied to the embedding
but has another multiplier in Falcon-H1. Needs transformers.
"""

import json
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[3] / "fixtures/generate"))
import make_hybrids as hybrids  # noqa: E402

WIDTHS = {"linear_key_head_dim": 16, "linear_value_head_dim": 16}
CHANGES = {
    "qwen3_5": WIDTHS,
    "qwen3_5_moe": WIDTHS,
    "qwen3_next": WIDTHS | {"mlp_only_layers": []},
    "gemma3": {"query_pre_attn_scalar": 16},
    "gemma3_small": {"query_pre_attn_scalar": 8},
    "falcon_h1_norm": {"tie_word_embeddings": False},
}
# llama.cpp has no OLMo Hybrid, and no windows in Qwen 2. Sextant has no Kimi-Linear.
LEFT_OUT = ["olmo_hybrid", "olmo_hybrid_small", "qwen2_small", "kimi_linear"]


def changed(make, changes: dict):
    def configuration():
        result = make()
        for key, value in changes.items():
            setattr(result, key, value)
        return result

    return configuration


def main() -> None:
    for name, spec in hybrids.SPECS.items():
        if name in LEFT_OUT:
            continue
        spec = dict(spec, cfg=changed(spec["cfg"], CHANGES.get(name, {})))
        model = spec["cls"](spec["cfg"]())
        norm = type(hybrids.final_norm(model)).__name__
        zero_centred = norm in ("Qwen3_5RMSNorm", "Qwen3_5MoeRMSNorm", "Qwen3NextRMSNorm", "Gemma3RMSNorm")
        weights = hybrids.parameters(model, spec["seed"], zero_centred, spec.get("gain", 1.4))
        folder = Path(sys.argv[1]) / name
        tensors = hybrids.published_tensors(spec, weights, str(folder))
        saved = json.loads((folder / "config.json").read_text())
        hybrids.write(str(folder), tensors, None)
        hybrids.write_json(str(folder / "config.json"), spec["published"](saved) | {"dtype": "float32"})
        print(name, flush=True)


if __name__ == "__main__":
    main()
