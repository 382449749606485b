# Licensed under the Apache License, Version 2.0; see LICENSE.
"""Texts of the contract as HTML."""

from __future__ import annotations

import re
from dataclasses import dataclass

from markupsafe import Markup, escape

_DEFAULT = re.compile(r"(?:^|(?<=\s))Default: (.+?)\.(?=\s[A-Z]|\n|$)")
_EXAMPLE = re.compile(r"(?:^|(?<=\s))Example: (.+?)(?:\.(?=\s[A-Z])|\.?(?:\n|$))")
_REQUIRED = re.compile(r"(?:^|(?<=\s))Required\.(?=\s|$)")


@dataclass(frozen=True)
class FieldText:
    """What the contract says of a field, in its parts.

    Attributes:
        text: What it is.
        default: What it is where it is not set; empty if that is not said.
        example: A value; empty if there is none.
        is_required: Whether it has to be set, whatever else is.
    """

    text: str
    default: str
    example: str
    is_required: bool


def field_text(doc: str) -> FieldText:
    """Takes a field's comment apart; the contract says "Required.", "Default: X." and "Example: X." throughout."""
    default, example = _DEFAULT.search(doc), _EXAMPLE.search(doc)
    rest = doc
    for pattern in (_EXAMPLE, _DEFAULT, _REQUIRED):
        rest = re.sub(r"[ \t]+", " ", pattern.sub("", rest, count=1)).strip()
    return FieldText(rest, default[1] if default else "", example[1] if example else "", bool(_REQUIRED.search(doc)))


def prose(text: str) -> Markup:
    """Returns a text of several paragraphs as HTML.

    An empty line is between paragraphs, a line that begins with "- " is one of a list, and what is between backticks is
    code. All else is text, whatever it looks like.
    """
    blocks = (block.split("\n") for block in re.split(r"\n\s*\n", text.strip()) if block.strip())
    return Markup("").join(_block(lines) for lines in blocks)


def inline(text: str) -> Markup:
    """Returns a text of one paragraph as HTML: what is between backticks is code."""
    parts = re.split(r"`([^`\n]+)`", text)
    made = (Markup("<code>{}</code>").format(part) if at % 2 else escape(part) for at, part in enumerate(parts))
    return Markup("").join(made)


def example(text: str) -> Markup:
    """Returns an example as HTML: as code, unless it goes on to say what it is of."""
    is_value = not re.search(r"\w, [a-z]\w+ \w|[\]\d\"}] [a-z]+ ", text)
    return Markup("<code>{}</code>").format(text) if is_value else inline(text)


def _block(lines: list[str]) -> Markup:
    html = Markup("")
    plain = [line for line in lines if not line.startswith("- ")]
    items = [line[2:] for line in lines if line.startswith("- ")]
    if plain:
        html += Markup("<p>{}</p>").format(Markup("<br>").join(map(inline, plain)))
    if items:
        html += Markup("<ul>{}</ul>").format(Markup("").join(Markup("<li>{}</li>").format(inline(i)) for i in items))
    return html
