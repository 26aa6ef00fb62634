"""A row type as a table: its columns from the annotations, its statements, its values in and out."""

from collections.abc import Callable, Sequence
from functools import cache
from types import NoneType, UnionType
from typing import Any, Generic, Literal, Union, get_args, get_origin, get_type_hints
from uuid import UUID

import msgspec

from dre.ports.table_store import AnyRow, Query

Codec = Callable[[Any], Any]
_JSON = msgspec.json.Encoder(order="deterministic")


class Column(msgspec.Struct, frozen=True):
    name: str
    kind: Literal["text", "integer", "real"]
    encode: Codec
    decode: Codec


class RowTable(Generic[AnyRow]):
    def __init__(self, row: type[AnyRow]) -> None:
        hints = get_type_hints(row)
        self.row = row
        self.name = _identifier(row.table)
        self.key = row.primary_key
        self.columns = {name: _column(name, hints[name]) for name in row.__struct_fields__}
        self._codecs = tuple((column.name, column.encode) for column in self.columns.values())
        self._needed = tuple(not _may_be_none(hints[name]) for name in self.columns)
        self._decoders = tuple(column.decode for column in self.columns.values())
        names = ", ".join(f'"{name}"' for name in self.columns)
        places = ", ".join("?" * len(self.columns))
        self._names = names
        self._select = f'select {names} from "{self.name}"'  # noqa: S608 - names of our own row types, checked below
        self.upsert = f'insert or replace into "{self.name}" values ({places})'  # noqa: S608 - as above
        self.delete = f'delete from "{self.name}" where "{self.key}" = ?'  # noqa: S608 - as above
        self.by_key = f'{self._select} where "{self.key}" = ?'

    def definition(self) -> list[str]:
        """What makes the table and its indexes; each index ends with the key, so that a page can go on behind a row."""
        columns = ", ".join(f'"{column.name}" {column.kind}' for column in self.columns.values())
        made = [f'create table "{self.name}" ({columns}, primary key ("{self.key}")) strict']
        for index in self.row.indexes:
            names = ", ".join(f'"{name}"' for name in (*(self.columns[name].name for name in index), self.key))
            made.append(f'create index "{self.name}_{"_".join(index)}" on "{self.name}" ({names})')
        return made

    def copy_from(self, schema: str) -> str:
        """What takes all rows of the same table in another schema."""
        theirs = f'select {self._names} from {schema}."{self.name}"'  # noqa: S608 - names of our own
        return f'insert into "{self.name}" ({self._names}) {theirs}'

    def shape(self) -> list[tuple[str, str]]:
        return [(column.name, column.kind) for column in self.columns.values()]

    def values(self, row: AnyRow) -> tuple[Any, ...]:
        return tuple(None if (value := getattr(row, name)) is None else encode(value) for name, encode in self._codecs)

    def value(self, column: str, value: Any) -> Any:
        return None if value is None else self.columns[column].encode(value)

    def load(self, values: Sequence[Any]) -> AnyRow:
        """Raises ValueError for what no row of this type can have become."""
        if any(value is None for value, needed in zip(values, self._needed, strict=True) if needed):
            raise ValueError(f"a row of {self.name} lacks a value that each has")
        return self.row(
            *(None if value is None else decode(value) for value, decode in zip(values, self._decoders, strict=True))
        )

    def query(self, query: Query) -> tuple[str, list[Any]]:
        """The statement and its values. Raises KeyError for a column that the row type does not have."""
        order = self.columns[query.order_by or self.key].name
        keys = list(dict.fromkeys((order, self.key)))
        terms: list[tuple[str, list[Any]]] = [
            (f'"{self.columns[name].name}" is ?', [self.value(name, value)]) for name, value in query.where.items()
        ]
        terms += [
            (f'substr("{self.columns[name].name}", -length(?)) = ?', [suffix, suffix])
            for name, suffix in query.suffix.items()
            if suffix
        ]
        terms += [
            (f'instr(lower("{self.columns[name].name}"), lower(?))', [words]) for name, words in query.contains.items()
        ]
        for name, bounds in query.ranges.items():
            column = self.columns[name].name
            terms += [
                (f'"{column}" {beside} ?', [self.value(name, bound)])
                for beside, bound in zip((">=", "<"), bounds, strict=True)
                if bound is not None
            ]
        if query.after is not None:
            seen = dict(zip((order, self.key), query.after, strict=True))
            names = ", ".join(f'"{key}"' for key in keys)
            places = ", ".join("?" * len(keys))
            beyond = "<" if query.descending else ">"
            terms.append((f"({names}) {beyond} ({places})", [self.value(key, seen[key]) for key in keys]))
        where = " and ".join(term for term, _ in terms) or "true"
        ordered = ", ".join(f'"{key}"{" desc" if query.descending else ""}' for key in keys)
        statement = f"{self._select} where {where} order by {ordered} limit ?"
        return statement, [*(value for _, values in terms for value in values), query.limit]


@cache
def table_of(row: type[AnyRow]) -> RowTable[AnyRow]:
    return RowTable(row)


def _column(name: str, annotation: Any) -> Column:
    name = _identifier(name)
    kind = _without_none(annotation)
    if kind is str or (get_origin(kind) is Literal and all(isinstance(value, str) for value in get_args(kind))):
        return Column(name, "text", _same, _same)
    if kind is UUID:
        return Column(name, "text", str, UUID)
    if kind is bool:
        return Column(name, "integer", int, bool)
    if kind is int:
        return Column(name, "integer", _same, _same)
    if kind is float:
        return Column(name, "real", float, _same)
    return Column(name, "text", lambda value: _JSON.encode(value).decode(), msgspec.json.Decoder(annotation).decode)


def _may_be_none(annotation: Any) -> bool:
    if get_origin(annotation) in (Union, UnionType):
        return NoneType in get_args(annotation)
    return annotation in (Any, object)


def _without_none(annotation: Any) -> Any:
    """`X` for `X | None`; anything else as it is."""
    if get_origin(annotation) in (Union, UnionType):
        others = [member for member in get_args(annotation) if member is not NoneType]
        if len(others) == 1:
            return others[0]
    return annotation


def _identifier(name: str) -> str:
    if not name.isidentifier() or not name.isascii():
        raise ValueError(f"{name!r} cannot name a table or column")
    return name


def _same(value: Any) -> Any:
    return value
