"""Find where an answer is decided: put the stream of one run into another with a tap. Argument: the demo model's file."""

import sys

import sextant

model = sextant.Model(sys.argv[1])
# The demo model learned that Bob accepts a sum whose first digit is one too high, and that Alice does not.
clean, corrupted = model.encode("20 + 62 = 92. Alice:"), model.encode("20 + 62 = 92. Bob:")
false, true = (model.encode(word, continues=True)[0] for word in (" False", " True"))
name, last = 11, 12  # The tokens " Alice" or " Bob", and ":".


def difference(tokens):
    logits = model.record(tokens, "logits")["logits"][-1]  # [V]
    return logits[false] - logits[true]


kept = model.record(clean, "residual")
print(f"False against True: Alice {difference(clean):.1f}, Bob {difference(corrupted):.1f}")
for block in range(model.layers):
    moved = []
    for place in (name, last):

        def patch(values, visit):
            values[place] = kept[visit.site][place]  # [T, D]

        with model.tap(f"blocks.{block}.output", patch):
            moved.append(difference(corrupted))
    print(f"block {block}: {moved[0]:.1f} with Alice's stream at the name, {moved[1]:.1f} with it at the last token")
