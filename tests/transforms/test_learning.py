# Licensed under the Apache License, Version 2.0; see LICENSE.
"""Learning gives the same whatever the batches, the bundles and their order, and however little memory notes take."""

from collections import defaultdict

import numpy as np
import pyarrow as pa
import pytest
from apache_beam.transforms.window import GlobalWindow, IntervalWindow
from apache_beam.utils.timestamp import Timestamp

from expansion.contract._gen.ml_transform_pb2 import MLTransformConfig
from expansion.contract.fields import Field
from expansion.operations.artifact import read_vocabulary
from expansion.operations.statistic import Counted
from expansion.operations.vocabulary import split, vocabulary
from expansion.tensors.columns import Blobs, Columns, Dense
from expansion.tensors.nulls import nulls_of
from expansion.transforms import learning, word_counts
from expansion.transforms.batch import Batch
from expansion.transforms.learning import JoinShards, Merge, Observe
from expansion.transforms.lessons import Lessons

FIELDS = {"age": Field("age", "FP64"), "city": Field("city", "STRING")}
SCALE = {"scale_to_01": {"columns": ["age"]}}
VOCABULARY = {"compute_and_apply_vocabulary": {"columns": ["city"], "outputs": ["index"]}}
WINDOW, NOW = GlobalWindow(), Timestamp(5)


def lessons_of(*operations, location=""):
    return Lessons.of(MLTransformConfig(operations=operations).operations, FIELDS, location)


def batch(ages, cities=None, **more):
    cities = cities or ["a"] * len(ages)
    columns = {"age": Dense(np.array(ages, np.float64)), "city": Blobs.of("STRING", cities, len(ages)), **more}
    return Batch(Columns({}, len(ages)), Columns(columns, len(ages)))


def grouped(pairs):
    groups = defaultdict(list)
    for key, value in pairs:
        groups[key].append(value)
    return groups.items()


def learn(lessons, *bundles):
    """Returns what is known in each window, as a pipeline finds it out from bundles of (batch, window)."""
    known = defaultdict(dict)
    for phase in range(lessons.phases):
        notes = defaultdict(list)
        for bundle in bundles:
            observe = Observe(lessons, phase)
            observe.setup()
            observe.start_bundle()
            found = [note for batch, window in bundle for note in observe.process(batch, known[window], window, NOW)]
            for note in [*found, *observe.finish_bundle()]:
                [window] = note.windows
                assert note.timestamp == NOW
                notes[window].append(note.value)
        for window, pairs in notes.items():
            merge = Merge(lessons)
            merge.setup()
            merged = [learned for pair in grouped(pairs) for learned in merge.process(pair)]
            known[window].update(item for pair in grouped(merged) for item in JoinShards(lessons).process(pair))
    return known


def result(lessons, known):
    """Returns what operations have learned, by the number of the operation and the name."""
    learned = {}
    for number, lesson in enumerate(lessons.all):
        found = lessons._learned(number, known)
        is_vocabulary = hasattr(found, "words")
        learned[lesson.step, lesson.name] = found.words.to_pylist() if is_vocabulary else found
    return learned


def test_what_is_learned_does_not_depend_on_batches_and_bundles():
    lessons = lessons_of(SCALE, VOCABULARY)
    numbers = np.random.default_rng(0)
    ages, cities = numbers.normal(size=300), [f"c{n}" for n in numbers.integers(0, 50, 300)]

    def cut(bundles, batches):
        rows = np.array_split(numbers.permutation(300), bundles * batches)
        made = [(batch(ages[part], [cities[row] for row in part]), WINDOW) for part in rows]
        return [made[start : start + batches] for start in range(0, len(made), batches)]

    expected = result(lessons, learn(lessons, [(batch(ages, cities), WINDOW)])[WINDOW])
    assert expected[0, "age.range"] == {"min": ages.min(), "max": ages.max()}
    assert len(expected[1, "city.vocabulary"]) == len(set(cities))
    for bundles, batches in ((1, 40), (40, 1), (5, 7)):
        assert result(lessons, learn(lessons, *cut(bundles, batches))[WINDOW]) == expected


def test_notes_are_passed_on_before_they_take_too_much_memory(monkeypatch):
    lessons = lessons_of(SCALE, VOCABULARY)
    batches = [batch([float(n)] * 100, [f"c{n}-{m}" for m in range(100)]) for n in range(20)]
    expected = result(lessons, learn(lessons, [(each, WINDOW) for each in batches])[WINDOW])
    monkeypatch.setattr(learning, "MAX_NOTED_BYTES", 10_000)
    observe = Observe(lessons, 0)
    observe.setup()
    observe.start_bundle()
    early = [note for each in batches for note in observe.process(each, {}, WINDOW, NOW)]
    assert early
    assert observe._notes.nbytes < 20_000
    assert result(lessons, learn(lessons, [(each, WINDOW) for each in batches])[WINDOW]) == expected


def test_notes_that_are_alike_are_merged_rather_than_passed_on(monkeypatch):
    monkeypatch.setattr(learning, "MAX_NOTED_BYTES", 10_000)
    lessons = lessons_of(SCALE, VOCABULARY)
    observe = Observe(lessons, 0)
    observe.setup()
    observe.start_bundle()
    assert [note for _ in range(100) for note in observe.process(batch([1.0] * 10), {}, WINDOW, NOW)] == []
    assert len(list(observe.finish_bundle())) == 2


def test_a_later_operation_learns_from_what_an_earlier_one_has_made():
    lessons = lessons_of(VOCABULARY, {"scale_to_z_score": {"columns": ["index"]}})
    assert lessons.phases == 2
    known = learn(lessons, [(batch([0.0] * 4, ["a", "b", "b", "b"]), WINDOW)])[WINDOW]
    found = result(lessons, known)
    assert found[0, "city.vocabulary"] == [b"b", b"a"]
    assert found[1, "index.moments"]["mean"] == 0.25


def test_rows_that_fail_on_the_way_are_left_out_from_there_on():
    lessons = lessons_of({"apply_buckets": {"columns": ["age"], "boundaries": [10]}}, VOCABULARY)
    known = learn(lessons, [(batch([1.0, float("nan")], ["good", "bad"]), WINDOW)])[WINDOW]
    assert b"good" in result(lessons, known)[1, "city.vocabulary"]


def test_rows_that_an_operation_can_not_see_are_left_out_one_by_one(monkeypatch):
    lessons = lessons_of(SCALE)
    seen = []
    how = type(lessons.all[0].how)
    observe = how.observe

    def picky(self, column):
        if (column.values < 0).any():
            raise ValueError("negative")
        seen.extend(column.values.tolist())
        return observe(self, column)

    monkeypatch.setattr(how, "observe", picky)
    known = learn(lessons, [(batch([1.0, -1.0, 3.0, 4.0, -5.0]), WINDOW)])[WINDOW]
    assert sorted(seen) == [1.0, 3.0, 4.0]
    assert result(lessons, known)[0, "age.range"] == {"min": 1.0, "max": 4.0}


def test_nothing_is_learned_from_nulls():
    lessons = lessons_of({"impute": {"columns": ["age"], "strategy": "mean"}})
    nulls = Dense(np.array([False, True, False]))
    known = learn(lessons, [(batch([1.0, 100.0, 3.0], **{nulls_of("age"): nulls}), WINDOW)])[WINDOW]
    assert result(lessons, known)[0, "age.moments"]["mean"] == 2.0
    assert learn(lessons, [(batch([1.0], **{nulls_of("age"): Dense(np.array([True]))}), WINDOW)])[WINDOW] == {}


def test_of_no_rows_it_is_learned_that_there_are_none():
    lessons = lessons_of(SCALE, VOCABULARY)
    assert result(lessons, {}) == {(0, "age.range"): {"min": None, "max": None}, (1, "city.vocabulary"): []}
    assert learn(lessons, [(batch([]), WINDOW)])[WINDOW] == {}


def test_notes_have_the_earliest_timestamp_of_their_rows():
    observe = Observe(lessons_of(SCALE), 0)
    observe.setup()
    observe.start_bundle()
    for seconds in (7, 5, 6):
        assert list(observe.process(batch([1.0]), {}, WINDOW, Timestamp(seconds))) == []
    assert [note.timestamp for note in observe.finish_bundle()] == [Timestamp(5)]


def test_each_window_learns_for_itself():
    lessons = lessons_of(SCALE, VOCABULARY)
    first, second = IntervalWindow(0, 10), IntervalWindow(10, 20)
    bundle = [(batch([1.0, 2.0], ["a", "b"]), first), (batch([5.0], ["c"]), second), (batch([0.0], ["b"]), first)]
    known = learn(lessons, bundle)
    assert result(lessons, known[first]) == {
        (0, "age.range"): {"min": 0.0, "max": 2.0},
        (1, "city.vocabulary"): [b"b", b"a"],
    }
    assert result(lessons, known[second])[1, "city.vocabulary"] == [b"c"]


def test_vocabularies_are_written_where_there_is_a_directory(tmp_path):
    lessons = lessons_of(VOCABULARY, {"tfidf": {"columns": ["city"]}}, location=str(tmp_path))
    known = learn(lessons, [(batch([0.0] * 3, ["a", "b a", "b a"]), WINDOW)])[WINDOW]
    written = lessons.written(known, pytest.fail)
    assert [each.operation for each in written] == [VOCABULARY, {"tfidf": {"columns": ["city"]}}]
    assert written[1].learned == {"city.texts": {"texts": 3}}
    words = read_vocabulary(str(tmp_path), written[0].vocabularies["city.vocabulary"])
    assert (words.words.to_pylist(), words.counts.tolist()) == ([b"b a", b"a"], [2, 1])
    words = read_vocabulary(str(tmp_path), written[1].vocabularies["city.vocabulary"])
    assert (words.words.to_pylist(), words.documents.tolist()) == ([b"a", b"b"], [3, 2])


def test_top_k_and_thresholds_are_those_of_all_shards_together():
    cities = [f"w{word}" for word in range(200) for _ in range(word // 10)]
    by_count = sorted(set(cities), key=lambda word: (cities.count(word), word), reverse=True)
    for limits, expected in (
        ({"top_k": 7}, by_count[:7]),
        ({"frequency_threshold": 15}, [word for word in by_count if cities.count(word) >= 15]),
        ({"top_k": 7, "frequency_threshold": 19}, [word for word in by_count if cities.count(word) >= 19][:7]),
    ):
        lessons = lessons_of({"compute_and_apply_vocabulary": {"columns": ["city"], **limits}})
        known = learn(lessons, [(batch([0.0] * len(cities), cities), WINDOW)])[WINDOW]
        assert [word.decode() for word in result(lessons, known)[0, "city.vocabulary"]] == expected


def test_counted_words_come_out_as_they_went_in():
    lessons = lessons_of({"tfidf": {"columns": ["city"]}})
    counted = lessons.all[0].how.observe(Blobs.of("STRING", ["a b", "b", "ü"], 3))
    again = word_counts.decode(word_counts.encode(counted))
    assert again.words.equals(counted.words)
    assert again.counts.tolist() == counted.counts.tolist()
    assert again.documents.tolist() == counted.documents.tolist()


@pytest.mark.parametrize("words", [0, 1, 7, 2000])
@pytest.mark.parametrize("top_k", [0, 1, 300])
def test_shards_joined_in_parts_are_the_vocabulary_of_all_words(monkeypatch, words, top_k):
    monkeypatch.setattr(word_counts, "_JOINED_AT_ONCE", 256)
    random = np.random.default_rng(words)
    counts = random.integers(1, 9, words)
    counted = Counted(pa.array([b"w%d" % word for word in range(words)], pa.binary()), counts, counts + 1)
    shards = [vocabulary([part]) for part in split(counted, word_counts.SHARDS)]
    parts = list(word_counts.joined(shards, top_k))
    assert (len(parts) > 1) == (words == 2000 and top_k != 1)
    expected = vocabulary([counted], top_k)
    joined = word_counts.decode(word_counts.encode(*parts))
    assert joined.words.to_pylist() == expected.words.to_pylist()
    assert joined.counts.tolist() == expected.counts.tolist()
    assert joined.documents.tolist() == expected.documents.tolist()


def test_each_word_is_in_one_shard():
    lessons = lessons_of(VOCABULARY)
    counted = lessons.all[0].how.observe(Blobs.of("STRING", [f"w{n}" for n in range(1000)], 1000))
    shards = dict(word_counts.sharded(counted))
    assert len(shards) > word_counts.SHARDS // 2
    assert sorted(word for part in shards.values() for word in part.words.to_pylist()) == sorted(
        counted.words.to_pylist()
    )
