"""Train a classifier of scikit-learn on recurrent states. Argument: a model file."""

import sys

import numpy as np
import sextant
from sklearn.linear_model import LogisticRegression

model = sextant.Model(sys.argv[1])
nouns = ["film", "acting", "story", "music", "ending", "cast", "plot", "dialogue", "camera", "script"]
texts = [f"I {verb} the {noun}." for noun in nouns for verb in ("loved", "hated")]
labels = [verb == "loved" for _ in nouns for verb in ("loved", "hated")]

for block in range(model.layers):
    site = f"blocks.{block}.state.ssm"
    states = np.stack([model.record(text, site)[site].ravel() for text in texts])  # [texts, channels · state]
    probe = LogisticRegression(max_iter=1000).fit(states[:12], labels[:12])
    print(f"block {block}: accuracy {probe.score(states[12:], labels[12:]):.2f} on nouns that it has not seen")
