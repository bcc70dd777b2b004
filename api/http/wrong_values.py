"""Pure: what is wrong with one value of a call, in plain words, from what pydantic finds.

A text follows the name of its field: `f"{field} {text}."` is a sentence.
"""

import re
from collections.abc import Callable, Mapping
from typing import Any, Final

_Context = Mapping[str, Any]

_TEXTS: Final[Mapping[str, Callable[[_Context], str]]] = {
    "string_too_short": lambda of: _at_least(of["min_length"], "character"),
    "string_too_long": lambda of: f"must have at most {_count(of['max_length'], 'character')}",
    "too_short": lambda of: f"must name at least {of['min_length']}",
    "too_long": lambda of: f"must name at most {of['max_length']}",
    "greater_than_equal": lambda of: f"must be at least {_number(of['ge'])}",
    "less_than_equal": lambda of: f"must be at most {_number(of['le'])}",
    "greater_than": lambda of: f"must be above {_number(of['gt'])}",
    "less_than": lambda of: f"must be below {_number(of['lt'])}",
    "missing": lambda _: "is required",
    **dict.fromkeys(("string_type", "string_sub_type", "string_unicode"), lambda _: "must be a text"),
    **dict.fromkeys(
        ("int_type", "int_parsing", "int_parsing_size", "int_from_float"), lambda _: "must be a whole number"
    ),
    **dict.fromkeys(("float_type", "float_parsing"), lambda _: "must be a number"),
    "finite_number": lambda _: "must be a finite number",
    **dict.fromkeys(("bool_type", "bool_parsing"), lambda _: "must be true or false"),
    **dict.fromkeys(("list_type", "tuple_type", "set_type"), lambda _: "must be a list"),
    **dict.fromkeys(("dict_type", "model_type", "model_attributes_type"), lambda _: "must be a JSON object"),
    "none_required": lambda _: "must be null",
}

_SHOULD: Final = re.compile(r"^[A-Z]\w*( \w+)? should ")
"""How pydantic begins its texts: `Input should be ...`, `Decimal input should have ...`."""
_ENCODED_PLUS: Final = re.compile(r".*\d\d:\d\d.* \d\d:?\d\d")
"""A time whose offset has lost its `+`, which in an address stands for a space."""


def text_of(error: Mapping[str, Any], field: str, *, in_query: bool) -> str:
    """Return what is wrong with a value, from one of `ValidationError.errors()` and the name of its field."""
    kind = str(error["type"])
    if kind.startswith("uuid_"):
        return f"is not an id of {_with_article(field.rpartition('.')[2])}"
    if kind in _TEXTS:
        return _TEXTS[kind](error.get("ctx", {}))
    text = _SHOULD.sub("must ", str(error["msg"]).removeprefix("Value error, ")).rstrip(".")
    sent = error.get("input")
    if in_query and isinstance(sent, str) and _ENCODED_PLUS.fullmatch(sent):
        text += "; in an address, write + as %2B"
    return text


def _with_article(field: str) -> str:
    noun = re.sub(r"_ids?(\[\d+\])?$", "", field).replace("_", " ")
    return f"{'an' if noun[:1] in set('aeiou') else 'a'} {noun}"


def _at_least(least: int, what: str) -> str:
    return "must not be empty" if least == 1 else f"must have at least {_count(least, what)}"


def _number(value: float) -> str:
    return str(int(value)) if value == int(value) else str(value)


def _count(number: int, what: str) -> str:
    return f"{number} {what}{'' if number == 1 else 's'}"
