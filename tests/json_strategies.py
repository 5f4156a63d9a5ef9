"""Hypothesis strategies of JSON documents and responses of the API."""

import json
from collections.abc import Iterable
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


def places(document: Any) -> Iterable[tuple[Any, Any]]:  # noqa: ANN401 # any JSON
    """Return each place in a document: the list or object, and the index or name in it."""
    inside: Iterable[tuple[Any, Any]] = ()
    if isinstance(document, dict):
        inside = document.items()
    elif isinstance(document, list):
        inside = enumerate(document)
    for key, value in list(inside):
        yield document, key
        yield from places(value)


@st.composite
def near_misses(draw: st.DrawFn) -> bytes:
    """Draw a valid response with some parts dropped, replaced, renamed, retyped or moved."""
    document = {"": json.loads(SAMPLES[draw(st.sampled_from(sorted(SAMPLES)))])}
    for _ in range(draw(st.integers(1, 4))):
        holder, key = draw(st.sampled_from(list(places(document))))
        match draw(st.sampled_from(("drop", "replace", "rename", "retype", "move"))):
            case "drop" if holder is not document:
                del holder[key]
            case "rename" if isinstance(key, str) and key:
                holder[draw(st.sampled_from(NAMES))] = holder.pop(key)
            case "retype":
                value = holder[key]
                holder[key] = draw(st.sampled_from((str(value), [value], {"value": value}, None)))
            case "move":
                other, place = draw(st.sampled_from(list(places(document))))
                holder[key] = json.loads(json.dumps(other[place]))
            case _:
                holder[key] = json.loads(json.dumps(draw(LEAVES)))  # a list of its own
    return json.dumps(document[""]).encode()


BODIES = (
    DOCUMENTS.map(lambda document: json.dumps(document).encode())
    | near_misses()
    | st.binary(max_size=50)
    | st.sampled_from(sorted(SAMPLES)).map(SAMPLES.__getitem__)
)
