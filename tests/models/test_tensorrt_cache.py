# Licensed under the Apache License, Version 2.0; see LICENSE.
import concurrent.futures
import logging

import pytest

from expansion.models.tensorrt_cache import engine_key, read_engine, write_engine
from expansion.models.tensorrt_settings import Settings

ENGINE = bytes(range(256)) * 100
SETTINGS = Settings((1, 4, 8), {"x": ((1,), (2,), (3,))})
KEY = engine_key(b"model", SETTINGS.as_json(), "10.13.3.9", "NVIDIA L4, compute capability 8.9")


def test_an_engine_comes_back_as_it_was_and_another_key_has_none(tmp_path, caplog):
    directory = str(tmp_path / "not" / "yet" / "there")
    assert read_engine(directory, KEY) is None
    write_engine(directory, KEY, ENGINE)
    assert read_engine(directory, KEY) == ENGINE
    assert read_engine(f"file://{directory}", KEY) == ENGINE
    assert read_engine(directory, KEY[::-1]) is None
    assert caplog.text == ""
    assert [path.name for path in tmp_path.glob("not/yet/there/*")] == [f"{KEY}.engine"]


def test_whatever_makes_another_engine_makes_another_key():
    arguments = (b"model", SETTINGS.as_json(), "10.13.3.9", "NVIDIA L4, compute capability 8.9")
    others = (
        (b"other",),
        (b"model", Settings((1, 4, 9), SETTINGS.ranges).as_json()),
        (b"model", Settings(SETTINGS.rows, {"x": ((1,), (2,), (4,))}).as_json()),
        (b"model", Settings(SETTINGS.rows, SETTINGS.ranges, "FP16").as_json()),
        (b"model", Settings(SETTINGS.rows, SETTINGS.ranges, "", 1 << 30).as_json()),
        (b"model", SETTINGS.as_json(), "10.14"),
        (b"model", SETTINGS.as_json(), "10.13.3.9", "NVIDIA L4, compute capability 9.0"),
    )
    keys = {engine_key(*other, *arguments[len(other) :]) for other in others}
    assert len(keys) == len(others)
    assert KEY not in keys
    assert engine_key(*arguments) == KEY
    # The order in which a client lists ranges makes no difference.
    a, b = ((1,),) * 3, ((2,),) * 3
    one, two = (Settings((1, 1, 1), ranges).as_json() for ranges in ({"a": a, "b": b}, {"b": b, "a": a}))
    assert engine_key(b"", one, "", "") == engine_key(b"", two, "", "")


@pytest.mark.parametrize("position", [0, 40, 110, 170, 5000, -1])
def test_a_file_that_is_damaged_anywhere_is_not_used(position, tmp_path, caplog):
    write_engine(str(tmp_path), KEY, ENGINE)
    path = tmp_path / f"{KEY}.engine"
    content = bytearray(path.read_bytes())
    content[position] ^= 1
    path.write_bytes(content)
    assert read_engine(str(tmp_path), KEY) is None
    assert "is damaged, or is not the engine that its name says; it is built again" in caplog.text
    write_engine(str(tmp_path), KEY, ENGINE)
    assert read_engine(str(tmp_path), KEY) == ENGINE


@pytest.mark.parametrize("content", [b"", b"ftrt" + ENGINE, b"x" * 1000])
def test_a_file_of_something_else_is_not_used(content, tmp_path, caplog):
    (tmp_path / f"{KEY}.engine").write_bytes(content)
    assert read_engine(str(tmp_path), KEY) is None
    assert "is damaged" in caplog.text


def test_a_part_of_a_file_and_a_file_of_another_key_are_not_used(tmp_path, caplog):
    write_engine(str(tmp_path), KEY, ENGINE)
    path = tmp_path / f"{KEY}.engine"
    content = path.read_bytes()
    for length in (1, 100, len(content) - 1):
        path.write_bytes(content[:length])
        assert read_engine(str(tmp_path), KEY) is None
    (tmp_path / f"{KEY[::-1]}.engine").write_bytes(content)
    assert read_engine(str(tmp_path), KEY[::-1]) is None
    assert len(caplog.records) == 4


def test_a_cache_that_can_not_be_used_is_logged_and_does_no_other_harm(tmp_path, caplog):
    (tmp_path / "file").write_text("")
    write_engine(str(tmp_path / "file"), KEY, ENGINE)
    (tmp_path / f"{KEY}.engine").mkdir()
    assert read_engine(str(tmp_path), KEY) is None
    assert read_engine("nosuchscheme://bucket", KEY) is None
    assert [record.levelno for record in caplog.records] == [logging.WARNING] * 3
    assert "can't write to the engine cache" in caplog.records[0].message
    assert "can't read the engine cache, and an engine is built" in caplog.records[1].message


def test_workers_that_write_the_same_engine_at_once_do_not_disturb_each_other(tmp_path):
    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda _: write_engine(str(tmp_path), KEY, ENGINE), range(40)))
    assert read_engine(str(tmp_path), KEY) == ENGINE
    assert [path.name for path in tmp_path.iterdir()] == [f"{KEY}.engine"]
