# Licensed under the Apache License, Version 2.0; see LICENSE.
import pytest

from expansion import catalogue
from expansion.page.texts import FieldText, example, field_text, prose


@pytest.mark.parametrize(
    ("doc", "expected"),
    [
        ("Rows in a batch, at most. Default: 1024. Example: 32.", ("Rows in a batch, at most.", "1024", "32", False)),
        ('A column. Required. Example: "a".', ("A column.", "", '"a"', True)),
        ("A column. Default: `column` itself. Example: 1.5.", ("A column.", "`column` itself", "1.5", False)),
        ("Default: 0.5. More of it.", ("More of it.", "0.5", "", False)),
        ("A. Required, unless there are others.", ("A. Required, unless there are others.", "", "", False)),
        ("", ("", "", "", False)),
    ],
)
def test_a_comment_is_taken_apart_into_what_it_is_default_and_example(doc, expected):
    assert field_text(doc) == FieldText(*expected)


def test_no_comment_of_the_contract_keeps_a_default_or_an_example_in_its_text():
    def fields(among):
        for field in among:
            yield field
            yield from fields(field.fields)

    docs = {field.doc for entry in catalogue.entries() for field in fields(entry.fields)}
    assert len(docs) > 200
    for doc in docs:
        said = field_text(doc)
        assert ("Default: " in doc, "Example: " in doc) == (bool(said.default), bool(said.example)), doc
        assert "Default: " not in said.text
        assert "Example: " not in said.text


def test_text_stays_text_whatever_it_looks_like():
    assert prose("<b>x</b> & `<i>`\nnext\n\n- one <script>\n- two") == (
        "<p>&lt;b&gt;x&lt;/b&gt; &amp; <code>&lt;i&gt;</code><br>next</p>"
        "<ul><li>one &lt;script&gt;</li><li>two</li></ul>"
    )


def test_an_example_is_code_unless_it_goes_on_to_say_what_it_is_of():
    assert example('["a", "b"]') == "<code>[&#34;a&#34;, &#34;b&#34;]</code>"
    assert example("[18, 65] makes 0, 1 and 2 of ages") == "[18, 65] makes 0, 1 and 2 of ages"
