"""Put the stream of one run into another, block by block, with a tap. Argument: a model file."""

import sys

import sextant

model = sextant.Model(sys.argv[1])
clean, corrupted = model.encode("The film was superb. I"), model.encode("The film was boring. I")
answer = model.encode(" loved", continues=True)[0]
other = model.encode(" hated", continues=True)[0]
changed = [place for place, (a, b) in enumerate(zip(clean, corrupted)) if a != b]


def difference(tokens):
    logits = model.record(tokens, "logits")["logits"][-1]  # [V]
    return logits[answer] - logits[other]


kept = model.record(clean, "residual")
print(f"clean {difference(clean):.2f}, corrupted {difference(corrupted):.2f}")
for block in range(model.layers):
    site = f"blocks.{block}.output"

    def patch(values, visit):
        values[changed] = kept[visit.site][changed]  # [T, D]

    with model.tap(site, patch):
        print(f"block {block}: {difference(corrupted):.2f} with the stream at {len(changed)} tokens from the clean run")
