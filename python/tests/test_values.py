"""Numbers equal those of the command line, of NumPy and of transformers."""

import json
import unittest

import numpy as np
from support import COMMAND, FIXTURES, FOLDER, LABELS, PAIRS, PROMPT, TEXTS, command, model, safetensors

import sextant

SITES = ["logits", "embedding", "residual", "final_norm", "state", "blocks.*.input"]
# A Mamba, a transformer with keys and values, and an RWKV-4, whose state has exponents.
MODELS = ["demo-model", "demo-llama"]


class ValuesTests(unittest.TestCase):
    def test_recordings_are_those_of_capture_bit_for_bit(self):
        for name in MODELS:
            own, path = model(name), FOLDER / f"{name}.capture.safetensors"
            command("capture", "-m", own.path, "-p", PROMPT, "--sites", ",".join(SITES), "-o", path)
            captured = safetensors(path)
            seen = own.record(PROMPT, SITES)
            self.assertEqual(seen.tokens.tolist(), captured.pop("tokens").tolist())
            self.assertEqual(sorted(seen), sorted(captured))
            for site, values in seen.items():
                self.assertEqual(values.shape, captured[site].shape)
                self.assertEqual(values.tobytes(), captured[site].tobytes(), site)

    def test_texts_are_those_of_generate(self):
        for name in MODELS:
            own = model(name)
            for options in ({"temperature": 0}, {"seed": 3}, {"seed": 1, "top_k": 5, "repetition_penalty": 1.2}):
                arguments = {"temperature": "--temp", "seed": "--seed", "top_k": "--top-k", "repetition_penalty": "--repetition-penalty"}
                flags = [word for key, value in options.items() for word in (arguments[key], value)]
                report = json.loads(command("generate", "-m", own.path, "-p", PROMPT, "-n", 20, "--json", *flags))
                run = own.generate(PROMPT, count=20, **options)
                pieces = "".join(token.text for token in run)
                self.assertEqual(pieces, run.text())
                self.assertIn(json.dumps(pieces, ensure_ascii=False), json.dumps(report, ensure_ascii=False))

    def test_artifacts_have_the_bytes_of_the_command_line(self):
        own = model()
        pairs, vector = FOLDER / "pairs.jsonl", FOLDER / "python.steer.safetensors"
        pairs.write_text("".join('{"positive":%s,"negative":%s}\n' % tuple(map(json.dumps, pair)) for pair in PAIRS))
        command("steer", "train", "-m", own.path, "--pairs", pairs, "--layers", "2-3", "-o", FOLDER / "command.steer.safetensors")
        sextant.SteeringVector.train(own, PAIRS, layers=range(2, 4)).save(vector)
        ours, theirs = safetensors(vector), safetensors(FOLDER / "command.steer.safetensors")
        self.assertEqual({k: v.tobytes() for k, v in ours.items()}, {k: v.tobytes() for k, v in theirs.items()})
        self.assertEqual(list(ours), ["blocks.2.output", "blocks.3.output"])
        command("verify", vector)
        loaded = sextant.SteeringVector.load(vector)
        for site in ours:
            self.assertEqual(loaded[site].tobytes(), ours[site].tobytes())

    def test_a_tap_that_adds_a_vector_is_the_applied_vector(self):
        own, site = model(), "blocks.3.output"
        vector = sextant.SteeringVector.train(own, PAIRS, layers=3)
        vector.save(FOLDER / "tap.steer.safetensors", replace=True)
        path = FOLDER / "steered.capture.safetensors"
        applied = f"{FOLDER / 'tap.steer.safetensors'}:2"
        command("capture", "-m", own.path, "-p", PROMPT, "--sites", "all", "--apply", applied, "-o", path)
        last = len(own.encode(PROMPT)) - 1

        def add(values, visit):
            if last in visit.positions:
                values[last - visit.positions.start] += 2 * vector[site]

        with own.tap(site, add):
            tapped = own.record(PROMPT, "all")
        plain = own.record(PROMPT, "all")
        for name, values in safetensors(path).items():
            if name != "tokens":
                np.testing.assert_allclose(tapped[name], values, rtol=1e-5, atol=1e-5)
        self.assertGreater(np.abs(tapped["blocks.5.output"] - plain["blocks.5.output"]).max(), 0.1)
        # The same vector in every way in which it can be applied.
        texts = {
            own.generate(PROMPT, count=8, temperature=0, apply=apply).text()
            for apply in ([vector.at(2)], [applied], [sextant.Add(site, vector[site], 2)], vector.at("2", layers="3"))
        }
        self.assertEqual(len(texts), 1)

    def test_a_tap_that_returns_an_array_and_taps_of_states(self):
        own, state = model(), "blocks.3.state.ssm"
        seen = []

        def clear(values, visit):
            seen.append((visit.site, visit.positions))
            return np.zeros_like(values)

        with own.tap(state, clear):
            tapped = own.record([5, 6, 7], ["blocks.3.mixer", state])
        self.assertEqual(seen, [(state, range(place, place + 1)) for place in range(3)])
        # A state that is cleared before each token is that of this token alone.
        convolution = own.record([5, 6, 7], "blocks.3.state.conv")
        self.assertEqual(tapped[state].shape, (384, 16))
        self.assertNotEqual(tapped[state].tobytes(), own.record([5, 6, 7], state)[state].tobytes())
        self.assertEqual(convolution["blocks.3.state.conv"].ndim, 2)

    def test_recordings_continue_from_states(self):
        for name in MODELS:
            own = model(name)
            ids = own.encode(PROMPT)
            whole = own.record(ids, ["residual", "state"])
            rest = own.record(ids[1:], ["residual", "state"], start=own.read(ids[:1]))
            for site, values in rest.items():
                expected = whole[site] if ".state." in site else whole[site][1:]
                self.assertEqual(values.tobytes(), expected.tobytes(), site)
            self.assertEqual(rest.state.position, len(ids))

    def test_states_are_values(self):
        own, site = model(), "blocks.2.state.ssm"
        state = own.read(PROMPT)
        text = own.generate(" good", start=state, count=6, temperature=0).text()
        fork = state.fork()
        fork[site] = 2 * fork[site]
        np.testing.assert_array_equal(fork[site], 2 * state[site])
        other = own.read("Nothing was")
        mixed = state + 0.5 * (other - state)
        np.testing.assert_allclose(mixed[site], state[site] + 0.5 * (other[site] - state[site]), rtol=1e-5, atol=1e-6)
        np.testing.assert_array_equal((-state / 2)[site], -state[site] / 2)
        self.assertEqual(own.generate(" good", start=state, count=6, temperature=0).text(), text)
        state.save(FOLDER / "python.state.safetensors", replace=True)
        again = own.load_state(FOLDER / "python.state.safetensors")
        self.assertEqual(again.position, state.position)
        for site in state.sites:
            self.assertEqual(again[site].tobytes(), state[site].tobytes())
        report = command(
            "generate", "-m", own.path, "-p", " good", "-n", 6, "--temp", 0, "--load-state", FOLDER / "python.state.safetensors"
        )
        self.assertEqual(report.removesuffix("\n"), text)

    def test_probes_and_lenses(self):
        own = model()
        probe = sextant.Probe.train(own, TEXTS, LABELS, layers=3, method="mean-diff")
        (row,) = probe.evaluate(own, TEXTS, LABELS).rows
        # The figures, from the recordings.
        scores = [own.record(text, "blocks.3.output")["blocks.3.output"][-1] @ probe["blocks.3.output.mean-diff.direction"] for text in TEXTS]
        positive = [score for score, label in zip(scores, LABELS) if label]
        negative = [score for score, label in zip(scores, LABELS) if not label]
        area = np.mean([[(a > b) + (a == b) / 2 for b in negative] for a in positive])
        self.assertAlmostEqual(row["auroc"], area)
        token = next(own.generate(PROMPT, count=1, apply=probe))
        self.assertIn("blocks.3.output.mean-diff", token.reports[0]["report"]["scores"])
        grid = own.lens(PROMPT, guesses=2)
        self.assertEqual(len(grid.json["tokens"]), 3)
        logits = own.record(PROMPT, "logits")["logits"]
        last = grid.json["views"][0]["layers"][-1]["cells"]
        self.assertEqual(last[-1]["top"][0]["token"], int(logits[-1].argmax()))
        for shown in (grid, own, probe, own.read(PROMPT), own.record(PROMPT, "residual"), probe.evaluate(own, TEXTS, LABELS)):
            self.assertTrue(shown._repr_html_().startswith("<"))

    def test_transformers_with_hooks(self):
        try:
            import torch
            from transformers import AutoModelForCausalLM
        except ImportError as error:
            self.skipTest(f"needs torch and transformers: {error}")
        for name, blocks in (("demo-model", "backbone"), ("demo-llama", "model")):
            own = model(name)
            theirs = AutoModelForCausalLM.from_pretrained(FIXTURES / name, dtype=torch.float32).eval()
            ids = own.encode(PROMPT)
            outputs = {}

            def hook(layer):
                def keep(module, inputs, output):
                    output = output[0] if isinstance(output, tuple) else output
                    if layer == 3:
                        output = output + 0.25
                    outputs[f"blocks.{layer}.output"] = output[0].detach().numpy()
                    return output

                return keep

            for layer, block in enumerate(getattr(theirs, blocks).layers):
                block.register_forward_hook(hook(layer))
            with torch.no_grad():
                logits = theirs(torch.tensor(ids)[None]).logits[0].numpy()

            def add(values, visit):
                values += 0.25

            with own.tap("blocks.3.output", add):
                seen = own.record(ids, ["residual", "logits"])
            np.testing.assert_allclose(seen["logits"], logits, rtol=1e-4, atol=1e-4)
            for site, values in outputs.items():
                np.testing.assert_allclose(seen[site], values, rtol=1e-4, atol=1e-4)


if __name__ == "__main__":
    unittest.main()
