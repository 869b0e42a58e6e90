"""Train a steering vector, apply it at several strengths, and plot which words it favours. Argument: a model file."""

import sys

import matplotlib
import numpy as np
import sextant

matplotlib.use("Agg")
import matplotlib.pyplot as plt

model = sextant.Model(sys.argv[1])
nouns = ["film", "acting", "story", "music", "ending", "cast"]
words = [("superb", "boring"), ("enjoyable", "annoying"), ("perfect", "pathetic")]
pairs = [(f"The {noun} was {good}.", f"The {noun} was {bad}.") for noun in nouns for good, bad in words]
joy = sextant.SteeringVector.train(model, pairs, layers=3)

# Words that are not in the pairs; each is one token of the demo model.
praise = [model.encode(word, continues=True)[0] for word in (" great", " good", " wonderful", " excellent")]
blame = [model.encode(word, continues=True)[0] for word in (" bad", " terrible", " awful", " poor")]
strengths, shares = np.linspace(-3, 3, 13), []
for strength in strengths:
    logits = model.record("This movie is", "logits", apply=[joy.at(strength, positions="all")])["logits"][-1]  # [V]
    odds = np.exp(logits - logits.max())
    shares.append(odds[praise].sum() / (odds[praise].sum() + odds[blame].sum()))

plt.plot(strengths, shares)
plt.xlabel("strength of the vector in block 3")
plt.ylabel("praise / (praise + blame) after “This movie is”")
plt.savefig("steering.png")
print(f"steering.png: {shares[0]:.3f} at strength -3, {shares[6]:.3f} unsteered, {shares[-1]:.3f} at strength 3")
