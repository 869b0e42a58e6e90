"""Train a steering vector, apply it at several strengths, and plot what it does to two words. Argument: a model file."""

import sys

import matplotlib
import numpy as np
import sextant

matplotlib.use("Agg")
import matplotlib.pyplot as plt

model = sextant.Model(sys.argv[1])
nouns = ["film", "acting", "story", "music", "ending", "cast"]
pairs = [(f"The {noun} was superb.", f"The {noun} was boring.") for noun in nouns]
joy = sextant.SteeringVector.train(model, pairs, layers=3)

strengths = np.linspace(-3, 3, 13)
words = {word: model.encode(word, continues=True)[0] for word in (" great", " bad")}
probabilities = {word: [] for word in words}
for strength in strengths:
    logits = model.record("I think the plot is", "logits", apply=[joy.at(strength)])["logits"][-1]  # [V]
    odds = np.exp(logits - logits.max())
    for word, token in words.items():
        probabilities[word].append(odds[token] / odds.sum())

for word, values in probabilities.items():
    plt.semilogy(strengths, values, label=word)
plt.xlabel("strength of the vector in block 3")
plt.ylabel("probability after “I think the plot is”")
plt.legend()
plt.savefig("steering.png")
print("steering.png:", {word: f"{values[0]:.2g} to {values[-1]:.2g}" for word, values in probabilities.items()})
