"""Makes the tasks of lm_eval and the figures that the server must give: python make.py

The figures come from the float64 reference of the demo model, and from nothing of Sextant. Needs numpy, safetensors and
tokenizers (fixtures/generate/requirements.txt).
"""

import json
import math
import random
import sys
from pathlib import Path

import numpy as np
from safetensors.numpy import load_file
from tokenizers import Tokenizer

here = Path(__file__).parent
fixtures = here.parent.parent / "fixtures"
sys.path.insert(0, str(fixtures / "generate"))
import mamba_reference  # noqa: E402

folder = fixtures / "demo-model"
weights = {name: value.astype(np.float64) for name, value in load_file(folder / "model.safetensors").items()}
config = json.loads((folder / "config.json").read_text())
tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
END = config["eos_token_id"]

TEXTS = [
    "The second part is slower than the first, and it is also the better one.",
    "My neighbour laughed twice; I counted.",
    "Good light, bad sound, and a door that nobody ever opens.",
    "Ça, c'était très drôle – für alle, die müde waren. 🎬",
]


def sums(count: int, seed: int) -> list[dict]:
    """Statements that Alice judges by the truth, and Bob by the true sum with 1 added to its first digit."""
    chance = random.Random(seed)
    rows = []
    for number in range(count):
        a, b = chance.randrange(10, 80), chance.randrange(10, 80)
        true = a + b
        raised = true + 10 ** (len(str(true)) - 1)
        who = chance.choice(["Alice", "Bob"])
        shown = chance.choice([true, raised])
        label = int(shown == (true if who == "Alice" else raised))
        rows.append(
            {"id": str(number), "statement": f"{a} + {b} = {shown}. {who}:", "choices": [" False", " True"], "label": label}
        )
    return rows


def encode(text: str) -> list[int]:
    return tokenizer.encode(text, add_special_tokens=False).ids


def rows_of(ids: list[int]) -> np.ndarray:
    """Log-probabilities after each token, [T, V]."""
    logits = mamba_reference.run(weights, config, np.array(ids)).logits
    logits = logits - logits.max(-1, keepdims=True)
    return logits - np.log(np.exp(logits).sum(-1, keepdims=True))


def log_likelihood(context: list[int], continuation: list[int]) -> float:
    ids = context + continuation
    rows = rows_of(ids)
    return float(sum(rows[place - 1, ids[place]] for place in range(len(context), len(ids))))


statements = sums(40, 20261130)
(here / "sums.jsonl").write_text("".join(json.dumps(row) + "\n" for row in statements))
(here / "texts.jsonl").write_text(
    "".join(json.dumps({"id": str(n), "text": text}, ensure_ascii=False) + "\n" for n, text in enumerate(TEXTS))
)

expected = {"sums": [], "texts": []}
right = 0
for row in statements:
    context = encode(row["statement"])
    values = [log_likelihood(context, encode(choice)) for choice in row["choices"]]
    right += int(np.argmax(values)) == row["label"]
    expected["sums"].append([round(value, 5) for value in values])
expected["acc"] = right / len(statements)
for text in TEXTS:
    expected["texts"].append(round(log_likelihood([END], encode(text)), 5))
size = sum(len(text.encode()) for text in TEXTS)
expected["bits_per_byte"] = round(-sum(expected["texts"]) / size / math.log(2), 6)
(here / "expected.json").write_text(json.dumps(expected) + "\n")
print(expected["acc"], expected["bits_per_byte"])
