# Licensed under the Apache License, Version 2.0; see LICENSE.
"""Names of the user's own, imported by workers."""

import sys

import pytest

from expansion import imports
from expansion.errors import SystemicError


@pytest.fixture
def package(tmp_path, monkeypatch):
    """A package of a user's, with a module that needs another package."""
    folder = tmp_path / "own_package"
    folder.mkdir()
    (folder / "__init__.py").write_text("")
    (folder / "good.py").write_text("class Outer:\n    class Inner:\n        pass\n")
    (folder / "needy.py").write_text("import not_installed_anywhere\n")
    (folder / "broken.py").write_text("1 / 0\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    yield
    for name in [name for name in sys.modules if name.startswith("own_package")]:
        del sys.modules[name]


def test_a_class_and_a_class_within_it_are_found(package):
    assert imports.import_name("own_package.good.Outer").__name__ == "Outer"
    assert imports.import_name("own_package.good.Outer.Inner").__name__ == "Inner"


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        (
            "no_such_package.Model",
            "there is no module 'no_such_package' on this worker; install the package that has it on",
        ),
        ("own_package.absent.Model", "own_package has no absent.Model on this worker"),
        ("own_package.good.Model", "own_package.good has no Model on this worker"),
        (
            "own_package.needy.Model",
            "No module named 'not_installed_anywhere'; install what it needs on the workers, or have",
        ),
        ("own_package.broken.Model", "can't import own_package.broken: ZeroDivisionError"),
    ],
)
def test_what_can_not_be_imported_is_systemic_and_says_why(package, name, reason):
    with pytest.raises(SystemicError, match=reason):
        imports.import_name(name)


@pytest.mark.parametrize("name", ["no_such_package.Model", "own_package.needy.Model"])
def test_what_is_not_installed_on_a_worker_can_be_brought_by_the_service(package, name):
    with pytest.raises(SystemicError, match=r"or have the service bring its wheel: serve --worker-package FILE\.whl$"):
        imports.import_name(name)


def test_arguments_are_json():
    problems = {p.path for p in imports.check_arguments("a", {"x": "1", "y": "text", "not a name": "2"})}
    assert problems == {"a.y", "a.not a name"}
    assert imports.construct("builtins.dict", {"x": "[1, null]"}, y=2) == {"x": [1, None], "y": 2}


def test_a_constructor_that_raises_is_systemic():
    with pytest.raises(SystemicError, match=r"builtins.int\(…\) raised TypeError"):
        imports.construct("builtins.int", {"x": "1"})


@pytest.mark.parametrize("name", ["", "Model", "a..b", "a.b()", "1.x", "a-b.c"])
def test_a_name_that_is_not_dotted_is_a_problem(name):
    assert len(list(imports.check_name("p", name))) == 1


def test_a_dotted_name_is_no_problem():
    assert list(imports.check_name("p", "a.b.C")) == []


@pytest.mark.parametrize("text", ["[" * 100_000, "9" * 10_000, '{"a":' * 100_000], ids=["deep", "digits", "object"])
def test_json_that_is_too_deep_or_has_too_many_digits_is_a_problem_as_any_other(text):
    (problem,) = imports.check_arguments("arguments", {"x": text})
    assert problem.path == "arguments.x"
    assert "expected JSON" in problem.message
