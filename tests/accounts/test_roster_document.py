"""YAML that could mean two things, or anything at all, is refused with its line."""

import pytest

from accounts.roster.document import MAX_BYTES, BadRoster, Complaint, Table, read_document


def refusal(raw: bytes) -> tuple[Complaint, ...]:
    """What is wrong with a document that must be refused."""
    with pytest.raises(BadRoster) as caught:
        read_document(raw)
    return caught.value.complaints


@pytest.mark.parametrize(
    ("raw", "line", "key", "says"),
    [
        (b"a: 1\nb: 2\na: 3\n", 3, "a", "stands twice, first in line 1"),
        (b"x:\n  - {k: 1,\n     k: 2}\n", 3, "x[0].k", "stands twice"),
        (b"a: 1\n'a': 2\n", 2, "a", "stands twice"),
        (b"a: &x 1\nb: 2\n", 1, "a", "anchor"),
        (b"a: 1\nb: *x\n", 2, "b", "alias"),
        (b"a: 1\n<<: {b: 1}\n", 2, "<<", "merge"),
        (b"a: !!python/object/apply:os.system [id]\n", 1, "a", "tag"),
        (b"a: !!str 1\n", 1, "a", "tag"),
        (b"a: !x 1\n", 1, "a", "tag"),
        (b"? [a]\n: b\n", 1, "", "plain text"),
        (b"? {a: b}\n: b\n", 1, "", "plain text"),
        (b"a: 1\n--- \nb: 2\n", 2, "", "second document"),
        (b"%YAML 1.1\n---\na: 1\n", 1, "", "directives"),
        (b"%TAG ! tag:x,2000:\n---\na: 1\n", 1, "", "directives"),
        (b"a:\n\tb: 1\n", 2, "", "not YAML"),
        (b"a: 'open\n\nb: 1\n", 4, "", "begun in line 1"),
        (b"a: [1, 2\nb: 3\n", 2, "", "not YAML"),
        (b"a: 1\nb: \x00\n", 2, "", "control character"),
        (b"a: 1\nb: \xe2\x80\xae\n", 2, "", "control character"),
        (b"a: 1\nb: \xff\n", 2, "", "not UTF-8"),
        (b"\xef\xbb\xbfa: 1\n", 1, "", "byte order mark"),
        ("a: 1\n".encode("utf-16"), 1, "", "byte order mark"),
        ("a: 1\n".encode("utf-16-le"), 1, "", "control character"),
        (b"", 1, "", "empty"),
        (b"# nothing\n\n", 1, "", "empty"),
    ],
)
def test_an_ambiguous_document_is_refused_with_its_line(
    raw: bytes, line: int, key: str, says: str
) -> None:
    found = refusal(raw)[0]

    assert (found.line, found.key) == (line, key)
    assert says in found.message


def test_every_fault_of_structure_is_told_at_once() -> None:
    found = refusal(b"a: 1\na: 2\nb: &x 1\nc: *x\nd: !t 1\n<<: 1\n")

    assert [complaint.line for complaint in found] == [2, 3, 4, 5, 6]


@pytest.mark.parametrize("raw", [b"[" * 5000, b"{a: " * 5000, b"- " * 5000 + b"x", b"[" * 100_000])
def test_a_deep_document_is_refused(raw: bytes) -> None:
    assert "deeper" in refusal(raw)[0].message


def test_an_alias_bomb_is_never_walked() -> None:
    bomb = b"a0: &a0 [x, x]\n" + b"".join(
        b"a%d: &a%d [%s]\n" % (n, n, b", ".join([b"*a%d" % (n - 1)] * 9)) for n in range(1, 12)
    )

    assert len(refusal(bomb)) == 100


def test_a_document_that_holds_itself_is_refused() -> None:
    assert {complaint.message.split(" (")[0] for complaint in refusal(b"a: &x [*x]\n")} == {
        "an anchor",
        "an alias",
    }


def test_a_huge_file_is_refused_before_it_is_read() -> None:
    assert "larger" in refusal(b"#" * (MAX_BYTES + 1))[0].message


def test_words_are_what_yaml_takes_them_for() -> None:
    words = {
        "no": "bool",
        "0777": "int",
        "00123": "int",
        "1_000": "int",
        "12:30": "int",
        "2026-11-20": "timestamp",
        "1e3": "str",
        "1.5": "float",
        "~": "null",
        "NaN": "str",
        ".nan": "float",
        "A1": "str",
        '"no"': "str",
        "'0777'": "str",
    }
    tree = read_document("".join(f"k{n}: {word}\n" for n, word in enumerate(words)).encode())

    assert isinstance(tree, Table)
    tags = [getattr(node, "tag", None) for node in tree.values.values()]
    assert dict(zip(words, tags, strict=True)) == words
