"""Whole conversations with programs that use the package."""

import tempfile
import unittest
from pathlib import Path
from typing import BinaryIO, cast

from cambrian_evaluator._proto import evaluator_pb2, types_pb2
from conversation import FAULTY, PATIENCE, ROOT, Conversation, assignment

PERCEPTRON = ROOT / "examples/plain_perceptron.py"


class Greeting(unittest.TestCase):
    def test_the_first_message_offers_evaluators_with_the_sources_of_their_metrics(self) -> None:
        with Conversation(FAULTY, "--device", "cpu", "--threads", "3", "--of-its-own", "x") as faulty:
            hello = faulty.hear().hello
        self.assertEqual(hello.protocol, 1)
        capabilities = hello.capabilities
        self.assertRegex(capabilities.device_class, r"^cpu:.+:3t$")
        self.assertEqual(list(capabilities.datasets), ["digits"])
        [dataset] = capabilities.dataset_offers
        self.assertEqual((dataset.name, dataset.fingerprint), ("digits", "5f3a"))
        self.assertEqual(capabilities.unavailable["letters"], "not fetched")
        (offer,) = capabilities.evaluators
        self.assertEqual((offer.name, offer.version), ("custom/faulty", "3"))
        self.assertEqual(offer.metrics["accuracy"], types_pb2.Provenance(source="trained"))
        clock = types_pb2.Provenance(source="clock", device_class=capabilities.device_class)
        self.assertEqual(offer.metrics["latency"], clock)

    def test_it_can_be_looked_at_without_a_worker(self) -> None:
        with Conversation(FAULTY, "--check") as faulty:
            words = cast(BinaryIO, faulty.process.stdout).read().decode()
            self.assertEqual(faulty.close(), 0)
        self.assertIn("custom/faulty (version 3)", words)
        self.assertIn("letters: not fetched", words)


class Evaluating(unittest.TestCase):
    def outcome(self, way: str, *measures: str) -> types_pb2.Outcome:
        with Conversation(FAULTY) as faulty:
            faulty.hear()
            faulty.evaluate(assignment(f'{{"way": "{way}"}}', measures=measures or ("accuracy",)))
            outcome = faulty.outcome()
            # Whatever happened, the process goes on.
            faulty.evaluate(assignment('{"way": "fine"}', task=2))
            self.assertTrue(faulty.outcome().HasField("measured"))
            self.assertEqual(faulty.close(), 0)
        return outcome

    def failure(self, way: str) -> tuple[str, str]:
        failed = self.outcome(way).failed
        kind = types_pb2.FailureKind.Name(failed.kind)
        return kind.removeprefix("FAILURE_KIND_").lower(), failed.message

    def test_what_was_asked_for_is_delivered_in_order_with_source_and_spread(self) -> None:
        first, second = self.outcome("fine", "latency", "accuracy").measured.measurements
        self.assertEqual((first.metric, first.value, first.spread), ("latency", 2.5, 0.5))
        self.assertEqual((second.metric, second.value), ("accuracy", 1.0))
        self.assertFalse(second.HasField("spread"))
        self.assertEqual(second.provenance, types_pb2.Provenance(source="trained"))
        self.assertTrue(first.provenance.device_class)

    def test_a_stage_goes_on_where_another_has_ended(self) -> None:
        with tempfile.TemporaryDirectory() as folder, Conversation(FAULTY) as conversation:
            conversation.hear()
            first = assignment('{"way": "continues"}')
            first.checkpoint_path = str(Path(folder) / "state")
            conversation.evaluate(first)
            outcome = conversation.outcome()
            self.assertEqual(outcome.measured.measurements[0].value, 1.0)
            self.assertTrue(outcome.note.startswith("it began anew"))
            self.assertLessEqual(len(outcome.note.encode()), 1024)
            second = assignment('{"way": "continues"}', task=2)
            second.resume_path = first.checkpoint_path
            conversation.evaluate(second)
            outcome = conversation.outcome()
            self.assertEqual((outcome.measured.measurements[0].value, outcome.note), (2.0, ""))

    def test_a_stopped_evaluation_leaves_its_state_where_that_is_wanted(self) -> None:
        for wanted in (True, False):
            with (
                self.subTest(wanted=wanted),
                tempfile.TemporaryDirectory() as folder,
                Conversation(FAULTY) as conversation,
            ):
                self.assertTrue(conversation.hear().hello.capabilities.evaluators[0].yields)
                path = Path(folder) / "left"
                first = assignment('{"way": "yields"}')
                first.yield_path = str(path)
                conversation.evaluate(first)
                conversation.hear()
                conversation.stop(1, keep_state=wanted)
                outcome = conversation.outcome()
                self.assertEqual(outcome.failed.kind, types_pb2.FAILURE_KIND_PREEMPTED)
                self.assertEqual(path.exists(), wanted)
                self.assertEqual(outcome.step > 0, wanted)
                if wanted:
                    second = assignment('{"way": "yields"}', task=2)
                    second.resume_path = str(path)
                    conversation.evaluate(second)
                    (measured,) = conversation.outcome().measured.measurements
                    self.assertEqual(measured.value, outcome.step)

    def test_the_state_is_written_on_the_way_once_for_each_time_it_is_asked_for(self) -> None:
        with tempfile.TemporaryDirectory() as folder, Conversation(FAULTY) as conversation:
            conversation.hear()
            conversation.evaluate(assignment('{"way": "yields"}'))
            steps = []
            for name in ["first", "second"]:
                path = Path(folder) / name
                # One of an attempt that is over is passed over.
                conversation.write_state(77, str(path))
                conversation.write_state(1, str(path))
                while not (message := conversation.hear()).HasField("state_written"):
                    self.assertTrue(message.HasField("progress"))
                self.assertEqual(path.read_text(), str(message.state_written.step))
                steps.append(message.state_written.step)
            self.assertLess(steps[0], steps[1])
            for _ in range(5):
                self.assertTrue(conversation.hear().HasField("progress"))
            conversation.stop(1)
            self.assertEqual(conversation.outcome().failed.kind, types_pb2.FAILURE_KIND_PREEMPTED)

    def test_errors_become_failures_of_their_kind(self) -> None:
        for way, kind, words in [
            ("bad_node", "bad_node", "no data here"),
            ("invalid", "invalid", "no such optimizer"),
            ("out_of_memory", "out_of_memory", "12 GiB"),
            ("memory_error", "out_of_memory", "MemoryError"),
            ("allocator", "out_of_memory", "can't allocate memory"),
            ("diverges", "non_finite", "the loss is nan"),
            ("floating_point", "non_finite", "overflow"),
            ("raises", "crash", "IndexError: list index out of range"),
            ("nan", "non_finite", "accuracy is nan"),
            ("spread", "non_finite", "the spread of accuracy is inf"),
            ("negative_spread", "crash", "the spread of accuracy is -0.5; a spread is 0 or more"),
            ("missing", "crash", "no accuracy; it returned: latency"),
            ("text", "crash", "accuracy is '1.0', which is no number"),
            ("nothing", "crash", "NoneType instead of a mapping"),
            ("unknown", "crash", "KeyError: 'unknown'"),
        ]:
            with self.subTest(way):
                found, message = self.failure(way)
                self.assertEqual(found, kind)
                self.assertIn(words, message)

    def test_an_error_names_its_place(self) -> None:
        self.assertRegex(self.failure("raises")[1], r"faulty_evaluator\.py, line \d+, in raises\)$")

    def test_long_errors_lose_their_middle(self) -> None:
        message = self.failure("long")[1]
        self.assertLessEqual(len(message.encode()), 4096)
        self.assertTrue(message.startswith("ValueError: ü") and "the end" in message)

    def test_what_is_printed_does_not_get_among_the_messages(self) -> None:
        with Conversation(FAULTY, "--talkative") as faulty:
            faulty.hear()
            faulty.evaluate(assignment('{"way": "prints"}'))
            (measured,) = faulty.outcome().measured.measurements
            self.assertEqual(measured.value, 1.5)
            self.assertEqual(faulty.close(), 0)
            for words in ["before it serves", "printed", "written", "by a child", "not flushed"]:
                self.assertIn(words, faulty.log())

    def test_what_is_not_offered_is_invalid(self) -> None:
        with Conversation(FAULTY) as faulty:
            faulty.hear()
            faulty.evaluate(assignment("{}", evaluator="custom/other"))
            self.assertIn("there is custom/faulty", faulty.outcome().failed.message)
            faulty.evaluate(assignment("{}", measures=("accuracy", "speed")))
            failed = faulty.outcome().failed
            self.assertEqual(failed.kind, types_pb2.FAILURE_KIND_INVALID)
            self.assertIn("does not measure speed", failed.message)
            faulty.evaluate(assignment("[]"))
            self.assertIn("no JSON object", faulty.outcome().failed.message)


class Stopping(unittest.TestCase):
    def test_a_stop_reaches_the_next_report(self) -> None:
        for way in ["reports", "swallows"]:
            with self.subTest(way), Conversation(FAULTY) as faulty:
                faulty.hear()
                faulty.evaluate(assignment(f'{{"way": "{way}"}}'))
                progress = faulty.hear().progress
                self.assertEqual((progress.attempt.task, progress.step), (1, 1))
                faulty.stop(task=77)
                faulty.stop(task=1, attempt=2)
                faulty.stop(task=1)
                failed = faulty.outcome().failed
                self.assertEqual(failed.kind, types_pb2.FAILURE_KIND_PREEMPTED)
                faulty.evaluate(assignment('{"way": "fine"}', task=2))
                self.assertTrue(faulty.outcome().HasField("measured"))

    def test_a_stop_that_comes_before_the_evaluation_begins_counts(self) -> None:
        with Conversation(FAULTY) as faulty:
            faulty.hear()
            faulty.evaluate(assignment('{"way": "reports"}', task=1))
            faulty.evaluate(assignment('{"way": "reports"}', task=2))
            faulty.stop(task=2)
            faulty.stop(task=1)
            for _ in range(2):
                self.assertEqual(faulty.outcome().failed.kind, types_pb2.FAILURE_KIND_PREEMPTED)

    def test_the_end_of_its_input_ends_it(self) -> None:
        for way, code in [("fine", 0), ("reports", 0), ("hangs", 2)]:
            with self.subTest(way), Conversation(FAULTY) as faulty:
                faulty.hear()
                faulty.evaluate(assignment(f'{{"way": "{way}"}}'))
                faulty.hear()
                self.assertEqual(faulty.close(), code)

    def test_the_end_of_its_output_ends_it(self) -> None:
        with Conversation(FAULTY) as faulty:
            faulty.hear()
            faulty.evaluate(assignment('{"way": "reports"}'))
            faulty.hear()
            cast(BinaryIO, faulty.process.stdout).close()
            cast(BinaryIO, faulty.process.stdin).close()
            self.assertEqual(faulty.process.wait(PATIENCE), 0)

    def test_an_exit_is_an_exit(self) -> None:
        for way, code in [("exits", 7), ("killed", -9)]:
            with self.subTest(way), Conversation(FAULTY) as faulty:
                faulty.hear()
                faulty.evaluate(assignment(f'{{"way": "{way}"}}'))
                self.assertTrue(faulty.hear().HasField("progress"))
                self.assertEqual(faulty.process.wait(PATIENCE), code)
                self.assertNotIn("Fatal", faulty.log())

    def test_what_is_no_message_ends_it(self) -> None:
        with Conversation(FAULTY) as faulty:
            faulty.hear()
            stdin = cast(BinaryIO, faulty.process.stdin)
            stdin.write(b"\xff" * 16)
            stdin.flush()
            self.assertEqual(faulty.process.wait(PATIENCE), 2)
            self.assertIn("varint", faulty.log())

    def test_a_message_from_a_later_release_is_passed_over(self) -> None:
        with Conversation(FAULTY) as faulty:
            faulty.hear()
            faulty.say(evaluator_pb2.SupervisorMessage())
            faulty.evaluate(assignment('{"way": "fine"}'))
            self.assertTrue(faulty.outcome().HasField("measured"))


class Examples(unittest.TestCase):
    def perceptron(self, settings: str) -> tuple[list[tuple[int, int]], types_pb2.Outcome]:
        with Conversation(PERCEPTRON) as perceptron:
            perceptron.hear()
            asked = ("accuracy", "weights")
            perceptron.evaluate(assignment(settings, evaluator="custom/perceptron", measures=asked))
            steps = []
            while not (message := perceptron.hear()).HasField("ended"):
                steps.append((message.progress.step, message.progress.steps))
            return steps, message.ended.outcome

    def test_the_perceptron_learns_and_says_how_far_it_is(self) -> None:
        steps, outcome = self.perceptron('{"epochs": 30}')
        self.assertEqual(steps, [(step, 30) for step in range(1, 31)])
        accuracy, weights = outcome.measured.measurements
        self.assertGreater(accuracy.value, 90)
        self.assertEqual(weights.value, 8 * 16 + 16 + 16 * 10)
        # The seed decides everything.
        self.assertEqual(self.perceptron('{"epochs": 30}')[1], outcome)

    def test_a_setting_that_makes_no_sense_is_invalid(self) -> None:
        failed = self.perceptron('{"epochs": "many"}')[1].failed
        self.assertEqual(failed.kind, types_pb2.FAILURE_KIND_INVALID)
        self.assertIn("'many'", failed.message)


if __name__ == "__main__":
    unittest.main()
