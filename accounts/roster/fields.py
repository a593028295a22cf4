"""One mapping of the account file, read field by field; complaints are collected, never raised."""

import re
from collections.abc import Callable, Sequence
from typing import NamedTuple

from accounts.roster.document import Complaint, Items, Node, Scalar, Table

_COUNT = re.compile(r"[1-9][0-9]{0,2}")


class Found(NamedTuple):
    """A value of the file, its line, and where it stands (`Scalar.span`)."""

    value: str
    line: int
    span: tuple[int, int] | None = None


class Fields:
    """Reads one mapping's fields, each by its rule; complaints are collected, never raised."""

    def __init__(self, node: Node | None, path: str, complaints: list[Complaint]) -> None:
        self.path = path
        self.complaints = complaints
        self.line = node.line if node is not None else 1
        self._table = node if isinstance(node, Table) else Table(self.line)
        if node is not None and not isinstance(node, Table):
            complaints.append(Complaint(self.line, path, "a mapping (key: value) belongs here"))
            self.readable = False
        else:
            self.readable = node is not None

    def __contains__(self, name: str) -> bool:
        return name in self._table.values

    def complain(self, name: str, message: str, allowed: Sequence[str] = ()) -> None:
        """Complain about a field, at its line."""
        self.complain_at(self._table.lines.get(name, self.line), name, message, allowed)

    def complain_at(self, line: int, name: str, message: str, allowed: Sequence[str] = ()) -> None:
        """Complain about a field, at a given line."""
        key = f"{self.path}.{name}".lstrip(".")
        self.complaints.append(Complaint(line, key, message, tuple(allowed)))

    def refuse_others(self, known: Sequence[str]) -> None:
        """Complain about each field that is not known."""
        for name in self._table.lines.keys() - set(known):
            self.complain(name, "unknown field", known)

    def text(
        self,
        name: str,
        accepts: Callable[[str], object],
        rule: str,
        allowed: Sequence[str] = (),
    ) -> Found:
        """Read a required text. An unquoted word that YAML takes for something else is refused."""
        scalar = self._scalar(name, required=True)
        if scalar is None:
            return Found("", self.line)
        if scalar.tag != "str":
            self.complain(name, f"YAML reads this as {scalar.tag}: put it in quotes", allowed)
        elif not accepts(scalar.value):
            self.complain(name, f"it must be {rule}", allowed)
        else:
            return Found(scalar.value, scalar.line, scalar.span)
        return Found("", scalar.line)

    def choice(self, name: str, allowed: Sequence[str], *, default: str | None = None) -> Found:
        """Read one of a closed list of words."""
        scalar = self._scalar(name, required=default is None, allowed=allowed)
        if scalar is None:
            return Found(default or "", self.line)
        if scalar.value in allowed:
            return Found(scalar.value, scalar.line)
        self.complain(name, "not one of the allowed words", allowed)
        return Found("", scalar.line)

    def boolean(self, name: str) -> Found:
        """Read an optional `true` or `false`: the bare words, nothing YAML 1.1 also takes so."""
        scalar = self._scalar(name)
        if scalar is None:
            return Found("", self.line)
        if scalar.tag == "bool" and scalar.value in {"true", "false"}:
            return Found(scalar.value, scalar.line)
        self.complain(name, "it must be a bare true or false", ("true", "false"))
        return Found("", scalar.line)

    def count(self, name: str, most: int, *, default: int) -> int:
        """Read an optional whole number from 1, in plain decimal digits."""
        scalar = self._scalar(name)
        if scalar is None:
            return default
        if scalar.tag == "int" and _COUNT.fullmatch(scalar.value) and int(scalar.value) <= most:
            return int(scalar.value)
        self.complain(name, "it must be a whole number", (f"1 to {most}",))
        return default

    def table(self, name: str, *, required: bool = False) -> "Fields":
        """Read a nested mapping; one that is absent reads as empty."""
        node = self._table.values.get(name)
        if node is None and required and self.readable:
            self.complain(name, "required")
        return Fields(node, f"{self.path}.{name}".lstrip("."), self.complaints)

    def tables(self, name: str) -> list["Fields"]:
        """Read a required list of mappings, with at least one."""
        node = self._table.values.get(name)
        if isinstance(node, Items) and node.values:
            return [
                Fields(item, f"{self.path}.{name}[{place}]".lstrip("."), self.complaints)
                for place, item in enumerate(node.values)
            ]
        if self.readable:
            self.complain(name, "a list with at least one account belongs here")
        return []

    def _scalar(
        self, name: str, *, required: bool = False, allowed: Sequence[str] = ()
    ) -> Scalar | None:
        node = self._table.values.get(name)
        if isinstance(node, Scalar) and node.tag != "null":
            return node
        if node is not None:
            self.complain(name, "a single value belongs here", allowed)
        elif required and self.readable:
            self.complain(name, "required", allowed)
        return None
