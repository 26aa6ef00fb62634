"""What a route's parameters may be, in words: told to whoever sends another value."""

import functools
from collections.abc import Iterator, Mapping

import msgspec
from msgspec import inspect


class Expected(msgspec.Struct, frozen=True):
    """
    `field`: what the parameter is called in the struct. `words` end a sentence that says what a value is not.
    `description`: what it means. `most`: how often it may be there.
    """

    field: str
    words: str
    description: str | None
    is_list: bool
    most: int


@functools.cache
def expected_of(kind: type[msgspec.Struct]) -> Mapping[str, Expected]:
    """By the name in the query string. Raises TypeError for a type that has no words here."""
    described = inspect.type_info(kind)
    assert isinstance(described, inspect.StructType)  # noqa: S101 - for mypy: it is what a struct is described as
    return {field.encode_name: _expected(field) for field in described.fields}


def _expected(field: inspect.Field) -> Expected:
    found = list(_flat(field.type))
    lists = [type for type in found if isinstance(type, inspect.ListType)]
    meanings = (
        (type.extra_json_schema or {}).get("description") for type in found if isinstance(type, inspect.Metadata)
    )
    return Expected(
        field.name,
        " or ".join(filter(None, map(_words, found))),
        next(filter(None, meanings), None),
        bool(lists),
        (lists[0].max_length or 0) if lists else 1,
    )


def _flat(type: inspect.Type) -> Iterator[inspect.Type]:
    """A type, and those that it is made of."""
    yield type
    match type:
        case inspect.UnionType(types=types):
            for inner in types:
                yield from _flat(inner)
        case inspect.Metadata(type=inner) | inspect.ListType(item_type=inner):
            yield from _flat(inner)


def _words(type: inspect.Type) -> str:
    """Nothing of what only holds others: of a list each item is spoken of, and any parameter may be left out."""
    match type:
        case inspect.UnionType() | inspect.Metadata() | inspect.ListType() | inspect.NoneType():
            return ""
        case inspect.IntType(ge=least, le=largest):
            bounds = "" if least is None or largest is None else f" from {least} to {largest}"
            return f"a whole number{bounds} in plain digits"
        case inspect.BoolType():
            return "one of: true, false"
        case inspect.UUIDType():
            return "a UUID with its hyphens"
        case inspect.StrType(pattern=str(pattern)):
            return f"a text that matches {pattern}"
        case inspect.StrType(min_length=shortest, max_length=longest):
            return f"a text of {shortest or 0} to {longest} characters"
        case inspect.LiteralType(values=values):
            return "one of: " + ", ".join(map(str, values)) if any(values) else "nothing"
        case _:
            raise TypeError(f"nobody has said in words what {type} is")
