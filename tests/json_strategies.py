"""Hypothesis strategies of JSON documents and responses of the API."""

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hypothesis import strategies as st

SAMPLES = {
    path.stem: path.read_bytes()
    for path in sorted((Path(__file__).parent / "samples" / "api").glob("*.json"))
}
FAILED = "20260102-215900-24322831"
SUCCEEDED = "20260103-085630-24322831"
RUNNING = "20260104-101500-24322831"
PENDING = "20260104-220000-24322831"
JOB = SUCCEEDED

HOSTILE: tuple[Any, ...] = (
    None,
    True,
    "",
    " ",
    "\x00",
    "\ud7ff",
    "\u2028",
    "x" * 5_000,
    0,
    -1,
    2**31,
    2**63 - 1,
    2**63,
    2**64,
    -(2**63) - 1,
    10**30,
    10**400,
    0.5,
    -0.0,
    5e-324,
    1.7976931348623157e308,
    "NaN",
    "Infinity",
    "0001-01-01T00:00:00Z",
    "0001-01-01T00:00:00+23:59",
    "1582-10-04T00:00:00Z",
    "1677-09-21T00:12:43.145224193Z",
    "2262-04-11T23:47:16.854775808Z",
    "9999-12-31T23:59:59.999999Z",
    "9999-12-31T23:59:59.9999999-23:59",
    "2026-01-01T00:00:00.000+0000",
    "2026-01-01",
    "MONDAY",
    "SUCCEEDED",
    "RUNNING",
    [],
    {},
    [[]],
    [{}],
    [None],
    {"": ""},
    {"value": {}},
    {"key": "a", "value": None},
)
"""Values at the limits of Python, Arrow and pandas."""

SCALARS = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(2**70), 2**70),
    st.floats(allow_nan=False, allow_infinity=False),
    st.text(max_size=6),
)
KEYS = st.text(st.characters(codec="utf-8", exclude_characters="\ufffd"), min_size=1, max_size=6)
"""Ids and names as an appliance may have them."""

LEAVES = SCALARS | st.sampled_from(HOSTILE)
NAMES = sorted(
    {name for body in SAMPLES.values() for name in body.decode().split('"') if name.isidentifier()}
)
DOCUMENTS = st.recursive(
    LEAVES,
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(st.sampled_from(NAMES) | st.text(max_size=3), inner, max_size=5)
        | st.builds(lambda value: {"value": value}, inner)
        | st.builds(lambda value: {"value": [{"key": JOB, "value": value}]}, inner)
        | st.builds(lambda value: {JOB: value}, inner)
    ),
    max_leaves=12,
)


class Entries(list[tuple[str, Any]]):
    """Object of JSON as a list of keys and values, so that it can repeat a key."""


Place = tuple[int, ...]
Name = str | int


def _to_nodes(value: Any) -> Any:  # noqa: ANN401 # any JSON
    if isinstance(value, dict):
        return Entries((key, _to_nodes(item)) for key, item in value.items())
    return list(map(_to_nodes, value)) if isinstance(value, list) else value


@dataclass(frozen=True)
class Change:
    """Change of a node.

    `path` has the keys and the numbers of the items that lead to the node, in the answer before
    this change; an item with a ``key``, as maps of /rest have, has that key as its name.
    """

    kind: str
    path: tuple[Name, ...]


@dataclass(frozen=True)
class Mutated:
    """Answer after some changes."""

    body: bytes
    changes: tuple[Change, ...]

    def touches(self, *path: Name) -> bool:
        """Return whether a node may differ: it, a part of it, or what it is a part of, changed.

        The order of other nodes is no difference.
        """
        return any(
            change.path[: len(path)] == path[: len(change.path)]
            for change in self.changes
            if change.kind != "reorder" or change.path[: len(path)] == path
        )


def mutations(value: object, *, most: int = 3) -> st.SearchStrategy[Mutated]:
    """Draw an answer of which 1 to `most` nodes changed, or were cut off with all that follows.

    Any node, also the whole answer, is dropped, null, of another type, an odd value or that of
    another node, there twice, with its items in another order, truncated, or under another name.
    """
    document = [_to_nodes(value)]  # so that each node has a holder
    return _mutations(document, _places(document), most)


@st.composite
def _mutations(draw: st.DrawFn, document: list[Any], places: list[Place], most: int) -> Mutated:
    changes: list[Change] = []
    for _ in range(draw(st.integers(1, most))):
        places = _places(document) if changes else places
        if not places:  # all was dropped
            break
        place = places[draw(st.integers(0, len(places) - 1))]
        kind = draw(CHANGES)
        path = _path_of(document, place)
        if kind == "replace":
            new = _node_at(document, places[draw(st.integers(0, len(places) - 1))])
        else:
            new = draw(NEW[kind]) if kind in NEW else None
        changes.append(Change(kind, path))
        if kind == "rename" and path:  # there may be such a node already
            changes.append(Change(kind, (*path[:-1], new)))
        document = _edit(document, place, EDITS[kind], new)
    body = "".join(map(_encode, document)).encode()
    if draw(st.integers(1, 20)) == 20:
        body = body[: draw(st.integers(0, len(body)))]
        changes.append(Change("truncate", ()))
    return Mutated(body, tuple(changes))


Edit = Callable[[list[Any], int, Any], None]
"""Changes an item of a list or of Entries in place, with what was drawn for it."""


def _set(holder: list[Any], index: int, node: object) -> None:
    name = _split(holder, index)[0]
    holder[index] = node if name is None else (name, node)


def _drop(holder: list[Any], index: int, _: object) -> None:
    del holder[index]


def _duplicate(holder: list[Any], index: int, _: object) -> None:
    holder.insert(index, holder[index])


def _rename(holder: list[Any], index: int, name: object) -> None:
    node = _split(holder, index)[1]
    holder[index] = (name, node) if isinstance(holder, Entries) else None


def _retype(holder: list[Any], index: int, convert: Callable[[Any], Any]) -> None:
    _set(holder, index, convert(_split(holder, index)[1]))


def _reorder(holder: list[Any], index: int, at: int) -> None:
    node = _split(holder, index)[1]
    if isinstance(node, list):
        _set(holder, index, type(node)([*node[at:], *reversed(node[:at])]))


def _truncate(holder: list[Any], index: int, at: int) -> None:
    node = _split(holder, index)[1]
    kept = type(node)(node[:at]) if isinstance(node, (str, list)) else None
    _set(holder, index, kept)


RETYPES: tuple[Callable[[Any], Any], ...] = (
    lambda node: node if isinstance(node, str) else _encode(node),
    lambda node: [node],
    lambda node: Entries([("value", node)]),
    lambda _: 7,
    lambda _: True,
    lambda _: "",
    lambda _: [],
    lambda _: Entries(),
)
"""A node as text, in a list, in an envelope, and values of each type."""

EDITS: dict[str, Edit] = {
    "null": _set,
    "drop": _drop,
    "odd": _set,
    "replace": _set,
    "retype": _retype,
    "duplicate": _duplicate,
    "reorder": _reorder,
    "truncate": _truncate,
    "rename": _rename,
}
CHANGES = st.sampled_from(sorted(EDITS))
NEW: dict[str, st.SearchStrategy[Any]] = {
    "odd": LEAVES.map(_to_nodes),
    "retype": st.sampled_from(RETYPES),
    "reorder": st.integers(0, 5),
    "truncate": st.integers(0, 5),
    "rename": st.sampled_from(NAMES),
}
"""What is drawn for a change; for replace, another node."""


def _split(holder: list[Any], index: int) -> tuple[str | None, Any]:
    """Return the key of an item, None in a list, and its value."""
    name, node = holder[index] if isinstance(holder, Entries) else (None, holder[index])
    return name, node


def _places(holder: list[Any], before: Place = ()) -> list[Place]:
    places = []
    for index in range(len(holder)):
        place = (*before, index)
        places.append(place)
        node = _split(holder, index)[1]
        if isinstance(node, list):
            places += _places(node, place)
    return places


def _node_at(holder: list[Any], place: Place) -> Any:  # noqa: ANN401 # any JSON
    node = _split(holder, place[0])[1]
    return _node_at(node, place[1:]) if len(place) > 1 else node


def _path_of(document: list[Any], place: Place) -> tuple[Name, ...]:
    """Return the names on the way to a node; the document itself has none."""
    path: list[Name] = []
    holder = document[place[0]]
    for index in place[1:]:
        name, node = _split(holder, index)
        own = dict(node).get("key") if isinstance(node, Entries) else None
        path.append(name if name is not None else own if isinstance(own, str) else index)
        holder = node
    return tuple(path)


def _edit(holder: list[Any], place: Place, edit: Edit, new: object) -> list[Any]:
    """Return a holder in which the item at a place is changed; what is not changed is shared."""
    changed = type(holder)(holder)
    index, *rest = place
    if rest:
        node = _split(holder, index)[1]
        _set(changed, index, _edit(node, tuple(rest), edit, new))
    else:
        edit(changed, index, new)
    return changed


def _encode(node: Any) -> str:  # noqa: ANN401 # any JSON
    if isinstance(node, Entries):
        return f"{{{','.join(f'{json.dumps(key)}:{_encode(item)}' for key, item in node)}}}"
    return f"[{','.join(map(_encode, node))}]" if isinstance(node, list) else json.dumps(node)


def near_misses() -> st.SearchStrategy[bytes]:
    """Draw a sample with some nodes changed."""
    bodies = [mutations(json.loads(body)) for body in SAMPLES.values()]
    return st.one_of(bodies).map(lambda mutated: mutated.body)


BODIES = (
    DOCUMENTS.map(lambda document: json.dumps(document).encode())
    | near_misses()
    | st.binary(max_size=50)
    | st.sampled_from(sorted(SAMPLES)).map(SAMPLES.__getitem__)
)
