"""YAML read strictly, into a tree that knows its lines.

Built from the parser's events rather than its objects: nothing is ever constructed, so nothing has
to be forbidden afterwards. PyYAML alone keeps the last of two equal keys, follows aliases into
bombs and cycles, and reads `no`, `0777` and `12:30` as False, 511 and 750.
"""

import re
from dataclasses import asdict, dataclass, field
from typing import Any

import yaml

# 1000 accounts are about 300 KB.
MAX_BYTES = 4 * 1024 * 1024
# The deepest value of the shape stands on level 5.
MAX_DEPTH = 8
# A file that is wrong everywhere is wrong for one reason.
MAX_COMPLAINTS = 100

# The loader whose YAML 1.1 rules tell what an unquoted word would have become.
_RULES = yaml.SafeLoader.yaml_implicit_resolvers
_MERGE = "<<"
# Control characters, line breaks no editor counts, and marks that reorder what a reader sees.
_INVISIBLE = re.compile(
    "[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u200b-\u200f\u2028-\u202e\u2066-\u2069\ufeff]"
)


@dataclass(frozen=True, slots=True)
class Complaint:
    """One thing wrong in the file: line from 1, dotted key, a sentence, the values allowed."""

    line: int
    key: str
    message: str
    allowed: tuple[str, ...] = ()

    def sentence(self, source: str) -> str:
        """Write `FILE:line: key: message; allowed: …`; line 0 is none."""
        allowed = f"; allowed: {', '.join(self.allowed)}" if self.allowed else ""
        key = f"{self.key}: " if self.key else ""
        place = f"{source}:{self.line}" if self.line else source
        return f"{place}: {key}{self.message}{allowed}"

    def as_json(self) -> dict[str, Any]:
        """The same as an object."""
        return asdict(self)


class BadRoster(Exception):
    """The account file cannot be used; nothing was changed. Holds one or more complaints."""

    def __init__(self, complaints: list[Complaint]) -> None:
        kept = sorted(complaints, key=lambda complaint: complaint.line)[:MAX_COMPLAINTS]
        super().__init__("; ".join(complaint.sentence("line") for complaint in kept))
        self.complaints = tuple(kept)


@dataclass(frozen=True, slots=True)
class Scalar:
    """One value. `tag` is what YAML 1.1 takes it for: `str`, `int`, `bool`, `null`, `float` …

    `span`: where it begins and ends in the text, quotes and all, in characters; None for a block
    (`|`, `>`), which is more than a word in a line.
    """

    value: str
    tag: str
    line: int
    span: tuple[int, int] | None = None


@dataclass(slots=True)
class Items:
    """A list and its line."""

    line: int
    values: list["Node"] = field(default_factory=list)


@dataclass(slots=True)
class Table:
    """A mapping, its line, and the line of each key."""

    line: int
    values: dict[str, "Node"] = field(default_factory=dict)
    lines: dict[str, int] = field(default_factory=dict)


Node = Scalar | Items | Table


def read_document(raw: bytes) -> Node:
    """Read one YAML document. Raises BadRoster, with every complaint about its structure."""
    text = decode(raw)
    builder = _Builder()
    try:
        for event in yaml.parse(text, Loader=yaml.CSafeLoader):
            builder.take(event)
    except yaml.MarkedYAMLError as error:
        raise BadRoster([*builder.complaints, _syntax(error)]) from error
    except yaml.YAMLError as error:
        raise BadRoster([*builder.complaints, Complaint(1, "", "not YAML")]) from error
    return builder.finish()


def decode(raw: bytes) -> str:
    """Read the bytes as text without a mark or character that hides something. Raises BadRoster."""
    if len(raw) > MAX_BYTES:
        raise BadRoster([Complaint(1, "", f"the file is larger than {MAX_BYTES} bytes")])
    if raw.startswith((b"\xef\xbb\xbf", b"\xff\xfe", b"\xfe\xff")):
        raise BadRoster([Complaint(1, "", "save the file as UTF-8 without a byte order mark")])
    try:
        text = raw.decode("utf-8")
    except UnicodeDecodeError as error:
        line = raw.count(b"\n", 0, error.start) + 1
        raise BadRoster([Complaint(line, "", "this line is not UTF-8")]) from error
    bad = _INVISIBLE.search(text)
    if bad is not None:
        line = text.count("\n", 0, bad.start()) + 1
        raise BadRoster([Complaint(line, "", "this line holds a control character")])
    return text


def _syntax(error: yaml.MarkedYAMLError) -> Complaint:
    mark = error.problem_mark or error.context_mark
    line = mark.line + 1 if mark is not None else 1
    message = f"not YAML: {error.problem or 'it cannot be read'}"
    if error.context and error.context_mark is not None:
        message += f" {error.context} begun in line {error.context_mark.line + 1}"
    return Complaint(line, "", message)


def implied_tag(value: str) -> str:
    """Say what YAML 1.1 takes an unquoted word for: `str`, `int`, `bool`, `timestamp` …"""
    for first in (value[:1], None):
        for tag, pattern in _RULES.get(first, ()):
            if pattern.match(value):
                return str(tag).rpartition(":")[2]
    return "str"


@dataclass(slots=True)
class _Frame:
    """An open list or mapping; `key` waits for its value."""

    node: Items | Table
    path: str
    key: str | None = None

    def next_path(self) -> str:
        if isinstance(self.node, Items):
            return f"{self.path}[{len(self.node.values)}]"
        return f"{self.path}.{self.key}".lstrip(".") if self.key is not None else self.path

    def awaits_key(self) -> bool:
        return isinstance(self.node, Table) and self.key is None


class _Builder:
    """Turns events into a tree. Faults it can step over are collected, others end the reading."""

    def __init__(self) -> None:
        self.complaints: list[Complaint] = []
        self._open: list[_Frame] = []
        self._root: Node | None = None
        self._documents = 0

    def take(self, event: yaml.Event) -> None:
        """Add one event."""
        match event:
            case yaml.DocumentStartEvent():
                self._start_document(event)
            case yaml.AliasEvent():
                self._complain(event, "an alias (*name) is not allowed: write the value out")
                self._stop_at_key(event)
                self._place(Scalar("", "str", _line(event)))
            case yaml.ScalarEvent():
                self._take_scalar(event)
            case yaml.SequenceStartEvent() | yaml.MappingStartEvent():
                self._descend(event)
            case yaml.SequenceEndEvent() | yaml.MappingEndEvent():
                self._open.pop()
            case _:
                # Starts and ends of stream and document bring nothing into the tree.
                pass

    def finish(self) -> Node:
        """Hand the tree over. Raises BadRoster with what was collected."""
        if self._root is None and not self.complaints:
            self.complaints.append(Complaint(1, "", "the file is empty"))
        if self.complaints or self._root is None:
            raise BadRoster(self.complaints)
        return self._root

    def _start_document(self, event: yaml.DocumentStartEvent) -> None:
        self._documents += 1
        if self._documents > 1:
            self._stop(event, "a second document (---) is not allowed")
        if event.version or event.tags:
            self._complain(event, "directives (%YAML, %TAG) are not allowed")

    def _take_scalar(self, event: yaml.ScalarEvent) -> None:
        self._check_marks(event)
        if self._open and self._open[-1].awaits_key():
            self._take_key(event, self._open[-1])
            return
        plain = event.implicit[0]
        tag = implied_tag(event.value) if plain else "str"
        self._place(Scalar(event.value, tag, _line(event), _span(event)))

    def _take_key(self, event: yaml.ScalarEvent, frame: _Frame) -> None:
        assert isinstance(frame.node, Table)  # noqa: S101 - awaits_key said so # nosec B101
        frame.key = event.value
        if event.value == _MERGE and event.implicit[0]:
            self._complain(event, "merge keys (<<) are not allowed: write the values out")
        elif event.value in frame.node.lines:
            first = frame.node.lines[event.value]
            self._complain(event, f"this key stands twice, first in line {first}")
        else:
            frame.node.lines[event.value] = _line(event)

    def _descend(self, event: yaml.SequenceStartEvent | yaml.MappingStartEvent) -> None:
        self._check_marks(event)
        self._stop_at_key(event)
        if len(self._open) >= MAX_DEPTH:
            self._stop(event, f"nested deeper than {MAX_DEPTH} levels")
        path = self._path()
        is_list = isinstance(event, yaml.SequenceStartEvent)
        node: Items | Table = Items(_line(event)) if is_list else Table(_line(event))
        self._place(node)
        self._open.append(_Frame(node, path))

    def _place(self, node: Node) -> None:
        if not self._open:
            self._root = node
            return
        frame = self._open[-1]
        if isinstance(frame.node, Items):
            frame.node.values.append(node)
        elif frame.key is not None:
            frame.node.values.setdefault(frame.key, node)
            frame.key = None

    def _check_marks(self, event: yaml.ScalarEvent | yaml.CollectionStartEvent) -> None:
        if event.anchor is not None:
            self._complain(event, "an anchor (&name) is not allowed")
        if event.tag is not None:
            self._complain(event, "a tag (!name) is not allowed")

    def _stop_at_key(self, event: yaml.Event) -> None:
        if self._open and self._open[-1].awaits_key():
            self._stop(event, "a key must be plain text")

    def _path(self) -> str:
        return self._open[-1].next_path() if self._open else ""

    def _complain(self, event: yaml.Event, message: str) -> None:
        self.complaints.append(Complaint(_line(event), self._path(), message))
        if len(self.complaints) >= MAX_COMPLAINTS:
            raise BadRoster(self.complaints)

    def _stop(self, event: yaml.Event, message: str) -> None:
        self._complain(event, message)
        raise BadRoster(self.complaints)


def _span(event: yaml.ScalarEvent) -> tuple[int, int] | None:
    if event.style in {"|", ">"} or event.start_mark is None or event.end_mark is None:
        return None
    return event.start_mark.index, event.end_mark.index


def _line(event: yaml.Event) -> int:
    return event.start_mark.line + 1 if event.start_mark is not None else 1
