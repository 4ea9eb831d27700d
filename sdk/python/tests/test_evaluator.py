"""Declaring evaluators, and functions called without a worker."""

import os
import unittest
from unittest import mock

from cambrian_evaluator import Evaluation, Results, Source, Stopped, evaluator, serve
from cambrian_evaluator.machine import Slot, cpu_name, limit_threads
from conversation import ROOT, assignment


def nothing(evaluation: Evaluation) -> Results:
    """Delivers nothing."""
    return {}


class Declaring(unittest.TestCase):
    def test_a_function_becomes_an_evaluator_and_stays_one_to_call(self) -> None:
        @evaluator("mine", version="2", metrics={"accuracy": "trained", "latency": Source("clock", True)})
        def mine(evaluation: Evaluation) -> Results:
            return {"accuracy": len(evaluation.graph.nodes), "latency": evaluation.settings["ms"]}

        offer = mine.offer("cpu:x:1t")
        self.assertEqual((offer.name, offer.version), ("custom/mine", "2"))
        self.assertEqual(offer.metrics["latency"].device_class, "cpu:x:1t")
        self.assertEqual(mine(Evaluation(assignment('{"ms": 3}'))), {"accuracy": 4, "latency": 3})

    def test_names_that_no_campaign_could_write_are_refused(self) -> None:
        for name, version, metrics in [
            ("", "1", {"accuracy": "x"}),
            ("custom/mine", "1", {"accuracy": "x"}),
            ("a" * 65, "1", {"accuracy": "x"}),
            ("mine", "", {"accuracy": "x"}),
            ("mine", "1", {}),
            ("mine", "1", {"top-1": "x"}),
            ("mine", "1", {"accuracy": ""}),
        ]:
            with self.subTest(name=name, version=version, metrics=metrics), self.assertRaises(ValueError):
                evaluator(name, version=version, metrics=metrics)(nothing)

    def test_evaluators_of_one_name_cannot_be_served_together(self) -> None:
        one = evaluator("mine", metrics={"accuracy": "trained"})(nothing)
        for served in [(), (one, one)]:
            with self.assertRaisesRegex(ValueError, "a name of its own"):
                serve(*served)


class Evaluating(unittest.TestCase):
    def test_what_is_asked_for_is_at_hand(self) -> None:
        asked = assignment('{"a": [1]}', measures=("accuracy", "latency"))
        evaluation = Evaluation(asked)
        self.assertEqual((evaluation.candidate, evaluation.genotype), ("2/3", "x"))
        self.assertEqual((evaluation.stage, evaluation.attempt), ("own", 1))
        self.assertEqual(evaluation.measures, ("accuracy", "latency"))
        self.assertEqual((evaluation.seed, evaluation.timeout_seconds), (2**64 - 1, 60))
        self.assertEqual((evaluation.settings, evaluation.dataset), ({"a": [1]}, None))

    def test_progress_is_reported_without_values_that_are_not_finite(self) -> None:
        heard: list[tuple[int, int, dict[str, float]]] = []
        evaluation = Evaluation(assignment("{}"), report=lambda *report: heard.append(report))
        evaluation.progress(1, 2, accuracy=1, loss=float("nan"))
        self.assertEqual(heard, [(1, 2, {"accuracy": 1.0})])
        for step, steps in [(3, 2), (-1, 2), (0, 2**32)]:
            with self.assertRaises(ValueError):
                evaluation.progress(step, steps)

    def test_energy_adds_up_and_is_unknown_until_it_is_stated(self) -> None:
        evaluation = Evaluation(assignment("{}"))
        self.assertIsNone(evaluation.energy_joules)
        evaluation.used_energy(1.5)
        evaluation.used_energy(2)
        self.assertEqual(evaluation.energy_joules, 3.5)
        for amount in (-1, float("nan"), float("inf")):
            with self.assertRaises(ValueError):
                evaluation.used_energy(amount)

    def test_a_stop_is_no_error_that_a_training_loop_would_catch(self) -> None:
        evaluation = Evaluation(assignment("{}"), is_stopped=lambda: True)
        self.assertTrue(evaluation.stopped)
        with self.assertRaises(Stopped):
            evaluation.check()
        with self.assertRaises(Stopped):
            evaluation.progress(1, 2)
        self.assertFalse(issubclass(Stopped, Exception))


class Machine(unittest.TestCase):
    def test_the_workers_flags_are_read_and_others_left_alone(self) -> None:
        flags = ["--mine", "x", "--device", "cuda:0", "--threads", "4", "--data", "d", "--gate-dir", "g"]
        slot = Slot.from_command_line(flags)
        self.assertEqual((slot.device, slot.threads), ("cuda:0", 4))
        self.assertEqual((str(slot.data), str(slot.gate_dir)), ("d", "g"))
        self.assertEqual(Slot.from_command_line([]), Slot())

    def test_threads_are_those_of_the_slot_whatever_the_environment_says(self) -> None:
        with mock.patch.dict(os.environ, {"MKL_NUM_THREADS": "9"}):
            os.environ.pop("OMP_NUM_THREADS", None)
            limit_threads(3)
            self.assertEqual((os.environ["OMP_NUM_THREADS"], os.environ["MKL_NUM_THREADS"]), ("3", "3"))

    def test_processors_have_the_names_that_the_projects_own_evaluator_gives_them(self) -> None:
        samples = sorted((ROOT.parents[1] / "worker/evaluator/src/device/processors").iterdir())
        self.assertGreater(len(samples), 5)
        for sample in samples:
            with self.subTest(sample.name):
                file = sample / "device-tree-model"
                board = file.read_text() if file.exists() else ""
                found = cpu_name((sample / "cpuinfo").read_text(), board)
                self.assertEqual(found, (sample / "name").read_text().strip())
        self.assertIsNone(cpu_name("processor : 0\nmodel name :\n", "\0"))


if __name__ == "__main__":
    unittest.main()
