"""Misuse is an exception with a code, Ctrl-C ends a run, threads run side by side, and nothing leaks."""

import gc
import os
import signal
import subprocess
import sys
import threading
import unittest
from pathlib import Path

import numpy as np
from support import FIXTURES, FOLDER, LABELS, PAIRS, PROMPT, ROOT, TEXTS, model

import sextant

SITE, STATE = "blocks.3.output", "blocks.3.state.ssm"


class MisuseTests(unittest.TestCase):
    def refused(self, code, function, *arguments, **named):
        with self.assertRaises(sextant.SextantError) as caught:
            function(*arguments, **named)
        error = caught.exception
        self.assertEqual(error.code, code)
        self.assertTrue(error.message and error.remedy)
        self.assertIn(error.remedy, str(error))

    def test_files(self):
        self.refused("file.missing", sextant.Model, "missing.sxt")
        self.refused("store.magic", sextant.Model, __file__)
        self.refused("file.missing", sextant.load, "missing.safetensors")
        self.refused("file.missing", sextant.convert, "missing", FOLDER / "unused.sxt")
        self.refused("file.exists", sextant.convert, FIXTURES / "demo-model", model().path)
        vector = sextant.SteeringVector.train(model(), PAIRS, layers=3)
        vector.save(FOLDER / "kind.safetensors", replace=True)
        self.refused("file.exists", vector.save, FOLDER / "kind.safetensors")
        self.refused("artifact.kind", sextant.Probe.load, FOLDER / "kind.safetensors")
        self.refused("artifact.kind", sextant.Probe.evaluate, vector, model(), TEXTS, LABELS)

    def test_arguments(self):
        own = model()
        self.refused("usage.option", sextant.Model, 3)
        self.refused("usage.option", sextant.Model, "a\0b")
        self.refused("usage.option", own.generate, "a\ud800")
        self.refused("usage.option", own.generate, "")
        for count in (-1, 1.5, True, 1 << 64):
            self.refused("usage.option", own.generate, PROMPT, count=count)
        self.refused("usage.option", own.generate, PROMPT, temperature=-1)
        self.refused("usage.option", own.generate, PROMPT, temperature=float("nan"))
        self.refused("usage.option", own.generate, PROMPT, seed=-1)
        self.refused("usage.option", own.generate, PROMPT, apply=[3])
        self.refused("usage.option", own.generate, PROMPT, start=3)
        self.refused("usage.option", own.generate, PROMPT, stops="one text")
        self.refused("data.record", own.read, [])
        self.refused("model.token", own.read, [own.vocabulary])
        self.refused("model.token", own.read, [-1])
        self.refused("usage.option", own.read, [1.5])
        self.refused("usage.option", own.read, [[1, 2]])
        self.refused("usage.option", own.read, np.array([1 << 63], dtype=np.uint64))
        self.refused("artifact.site", own.record, PROMPT, "blocks.9.output")
        self.refused("artifact.empty", own.record, PROMPT, [])
        self.refused("usage.option", own.record, PROMPT, SITE, layers="x")
        self.refused("usage.option", own.record, PROMPT, SITE, layers=range(3, 3))
        self.refused("usage.option", own.record, PROMPT, SITE, layers=9)
        self.refused("usage.option", own.lens, PROMPT, guesses=0)
        self.refused("usage.option", sextant.Probe.train, own, TEXTS, LABELS[1:])
        self.refused("usage.option", sextant.Probe.train, own, TEXTS, LABELS, method="unheard-of")
        self.refused("data.empty", sextant.SteeringVector.train, own, [])
        self.refused("data.empty", sextant.Lens.train, own, ["short"])

    def test_shapes_and_types(self):
        own = model()
        state = own.read(PROMPT)
        shape = state[STATE].shape
        self.refused("model.state", state.__setitem__, STATE, np.zeros(shape[::-1]))
        self.refused("model.state", state.__setitem__, STATE, 0)
        self.refused("model.state", state.__setitem__, SITE, np.zeros(shape))
        self.refused("model.state", state.__getitem__, "blocks.9.state.ssm")
        for wrong in (np.zeros(shape, complex), np.zeros(shape, object), np.full(shape, "x"), np.zeros(shape, bool)):
            self.refused("usage.option", state.__setitem__, STATE, wrong)
        self.refused("artifact.width", own.read, PROMPT, apply=[sextant.Add(SITE, [1, 2])])
        self.refused("artifact.nonfinite", own.read, PROMPT, apply=[sextant.Add(SITE, [np.nan] * own.width)])
        self.refused("artifact.site", own.read, PROMPT, apply=[sextant.Add("nowhere", [1])])
        for wrong in (lambda values, visit: values[:, :1], lambda values, visit: 1):
            with own.tap(SITE, wrong):
                self.refused("model.state", own.read, PROMPT)
        for wrong in (lambda values, visit: values * 1j, lambda values, visit: "x"):
            with own.tap(SITE, wrong):
                self.refused("usage.option", own.read, PROMPT)
        with own.tap("blocks.9.output", print):
            self.refused("artifact.site", own.read, PROMPT)
        with self.assertRaises(ValueError):
            state[STATE][0] = 1
        with self.assertRaises(ValueError):
            own.record(PROMPT, SITE)[SITE][0] = 1

    def test_closed_models_and_states_of_other_models(self):
        own, other = sextant.Model(model().path), model("demo-llama")
        state, seen, run = own.read(PROMPT), own.record(PROMPT, SITE), own.generate(PROMPT)
        values = seen[SITE].copy()
        own.close()
        for call in (own.read, own.encode, own.generate, own.lens):
            self.refused("usage.handle", call, PROMPT)
        self.refused("usage.handle", own.record, PROMPT, SITE)
        self.refused("usage.handle", own.decode, [1])
        self.refused("usage.handle", own.load_state, "x")
        self.refused("usage.handle", state.save, FOLDER / "x.safetensors")
        self.refused("usage.handle", lambda: state + state)
        self.refused("usage.handle", own.close)
        # What the model made stays.
        np.testing.assert_array_equal(seen[SITE], values)
        self.assertEqual(state.position, 3)
        self.assertTrue(next(run).text)
        self.refused("model.state", other.read, PROMPT, start=state)
        self.refused("model.state", other.generate, PROMPT, start=state)
        self.refused("model.state", lambda: other.read(PROMPT) + state)
        vector = sextant.SteeringVector.train(model(), PAIRS, layers=3)
        self.refused("artifact.model-digest", other.generate, PROMPT, apply=vector)

    def test_a_handle_of_another_kind(self):
        own = model()
        state = own.read(PROMPT)
        state._handle, kept = own._handle, state._handle
        self.refused("usage.handle", own.read, PROMPT, start=state)
        self.refused("usage.handle", lambda: state[STATE])
        state._handle = kept

    def test_an_exception_of_a_tap_ends_the_run(self):
        own = model()

        def fail(values, visit):
            raise KeyError("of the tap")

        with own.tap(SITE, fail):
            for call in (own.read, lambda text: own.record(text, SITE), lambda text: own.generate(text).text()):
                with self.assertRaises(KeyError):
                    call(PROMPT)
        self.assertTrue(own.generate(PROMPT, count=2).text())

    def test_a_run_inside_its_own_tap(self):
        own = model()
        codes = []

        def again(values, visit):
            try:
                next(run)
            except sextant.SextantError as error:
                codes.append(error.code)
            own.read("Another run of the model is fine.")

        with own.tap(SITE, again):
            run = own.generate(PROMPT, count=1)
        next(run)
        self.assertEqual(set(codes), {"usage.handle"})

    def test_arrays_of_a_tap_may_be_kept(self):
        own, kept = model(), []
        with own.tap(SITE, lambda values, visit: kept.append(values)):
            seen = own.record([5, 6, 7], SITE)
        np.testing.assert_array_equal(np.concatenate(kept), seen[SITE])


class LifetimeTests(unittest.TestCase):
    def test_arrays_outlive_what_they_come_from(self):
        own = sextant.Model(model().path)
        arrays = [own.record(PROMPT, SITE)[SITE], own.read(PROMPT)[STATE], sextant.SteeringVector.train(own, PAIRS, layers=3)[SITE]]
        copies = [array.copy() for array in arrays]
        del own
        gc.collect()
        for _ in range(50):
            model().record(PROMPT, "all")
        for array, copy in zip(arrays, copies):
            self.assertFalse(array.flags.owndata or array.flags.writeable)
            np.testing.assert_array_equal(array, copy)

    def test_ten_thousand_calls_leak_nothing(self):
        own, tiny = model(), model("mamba-tiny/huggingface")
        ids, site = [1, 2, 3], "blocks.0.output"
        start = tiny.read(ids)

        def calls():
            """More than ten calls into the library, of which two fail."""
            own.decode(own.encode("a"))
            own.generate("a", apply=[sextant.Project(SITE, [1] * own.width)])
            with tiny.tap(site, lambda values, visit: values):
                seen = tiny.record(ids, "all")
            state = tiny.read(ids, start=start)
            state[state.sites[0]] = seen[state.sites[0]]
            state + seen.state
            for wrong in (lambda: tiny.read([-1]), lambda: seen._handle.array("nowhere")):
                try:
                    wrong()
                except sextant.SextantError:
                    pass

        def resident():
            gc.collect()
            return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGESIZE")

        for _ in range(200):
            calls()
        before = resident()
        for _ in range(1000):
            calls()
        # A leak of 200 bytes in each of the 10,000 calls would be 2 MB.
        self.assertLess(resident() - before, 2_000_000)


class InterruptTests(unittest.TestCase):
    def interrupted(self, call):
        """Ctrl-C, soon after the call has begun."""
        timer = threading.Timer(0.3, os.kill, (os.getpid(), signal.SIGINT))
        with self.assertRaises(KeyboardInterrupt):
            timer.start()
            call()
            timer.join()

    def test_control_c_ends_runs(self):
        own = model()
        many = [5] * 3_000_000  # Minutes of work.
        self.interrupted(lambda: own.read(many))
        self.interrupted(lambda: own.generate("a " * 1_000_000).text())
        self.interrupted(lambda: own.generate(PROMPT, count=10_000_000, ignore_end=True).text())
        self.assertTrue(own.generate(PROMPT, count=2).text())

    def test_control_c_ends_a_tap(self):
        own = model()

        def endless(values, visit):
            while True:
                pass

        with own.tap(SITE, endless):
            self.interrupted(lambda: own.read(PROMPT))
        self.assertEqual(signal.getsignal(signal.SIGINT), signal.default_int_handler)


class ThreadTests(unittest.TestCase):
    def run_in_threads(self, *functions):
        results = [None] * len(functions)

        def run(place):
            try:
                results[place] = functions[place]()
            except Exception as error:
                results[place] = error

        threads = [threading.Thread(target=run, args=(place,)) for place in range(len(functions))]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        return results

    def test_models_run_side_by_side(self):
        own, other = model(), model("demo-llama")

        def text(of, seed):
            return lambda: of.generate(PROMPT, count=12, seed=seed).text()

        def tapped(addition):
            def run():
                with own.tap(SITE, lambda values, visit: values + addition):
                    return own.record(PROMPT, SITE)[SITE].tobytes()

            return run

        work = [text(own, 1), text(own, 2), text(other, 1), tapped(1), tapped(2)]
        self.assertEqual(self.run_in_threads(*work), [call() for call in work])

    def test_one_run_in_two_threads(self):
        run = model().generate(PROMPT, count=200, ignore_end=True)
        expected = model().generate(PROMPT, count=200, ignore_end=True).text()

        def advance():
            codes = set()
            while run.ending is None if not codes else True:
                try:
                    next(run)
                except StopIteration:
                    return codes
                except sextant.SextantError as error:
                    codes.add(error.code)
            return codes

        for codes in self.run_in_threads(advance, advance):
            if isinstance(codes, sextant.SextantError):
                codes = {codes.code}
            self.assertLessEqual(codes, {"usage.handle"})
        self.assertEqual(run.text(), expected)

    def test_a_state_that_another_thread_replaces(self):
        own = model()
        state = own.read(PROMPT)
        zeros = np.zeros(state[STATE].shape, np.float32)

        def write():
            for _ in range(100):
                state[STATE] = zeros

        def read():
            total = 0.0
            for _ in range(100):
                try:
                    total += float(np.abs(state[STATE]).sum())
                except sextant.SextantError as error:
                    self.assertEqual(error.code, "usage.handle")
            return total

        self.assertTrue(all(not isinstance(result, Exception) for result in self.run_in_threads(write, read, read)))


class ExampleTests(unittest.TestCase):
    def run_example(self, name, *modules):
        for module in modules:
            try:
                __import__(module)
            except ImportError:
                self.skipTest(f"needs {module}")
        arguments = [sys.executable, str(ROOT / "python" / "examples" / name), model().path]
        run = subprocess.run(arguments, cwd=FOLDER, capture_output=True, text=True)
        self.assertEqual(run.returncode, 0, run.stderr)
        return run.stdout

    def test_steering_with_a_plot(self):
        self.assertIn("steering.png", self.run_example("steering_plot.py", "matplotlib"))
        self.assertTrue((FOLDER / "steering.png").read_bytes().startswith(b"\x89PNG"))

    def test_a_probe_of_scikit_learn_on_states(self):
        self.assertIn("accuracy", self.run_example("probe_of_states.py", "sklearn"))

    def test_patching_with_a_tap(self):
        self.assertIn("block 5", self.run_example("patching.py"))

    def test_an_artifact_without_sextant(self):
        sextant.SteeringVector.train(model(), PAIRS, layers=3).save(FOLDER / "joy.steer.safetensors", replace=True)
        output = self.run_example("read_artifact.py", "safetensors")
        self.assertIn(SITE, output)

    def test_the_page_shows_the_examples(self):
        page = (ROOT / "docs" / "python.md").read_text()
        for path in (ROOT / "python" / "examples").glob("*.py"):
            self.assertIn(path.read_text().split('"""\n', 1)[1].strip(), page, path.name)


if __name__ == "__main__":
    unittest.main()
