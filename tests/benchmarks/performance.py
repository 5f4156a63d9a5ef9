"""The results of a run as the page docs/performance.md."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

__all__ = ["render_page"]

_HEAD: Final = """\
# Performance

`make bench` writes this page. It measures backupkit against its peers in one run.

## How to read it

* Read the ratios. Seconds depend on the machine and on its other work, ratios hardly do.
* Each contestant has its turn, then the next one, several times. A figure is the median of the
  turns.
* CPU is user and system time of the process and of the processes that it starts. Other processes
  do not change it much.
* Peers do less than backupkit. A loop over requests has no retries, limits or history. The queries
  of pandas, polars and DuckDB compute only the core figures, and a run stops if the results differ.
  A statement read by hand has no names, texts and order.
* The server of a collection is a process of its own on the same machine. It shares the cores, so
  the CPU of the client is the fair figure.
* "missed" marks a figure that does not reach its target. A figure without a target is only shown.

## How to repeat it

```console
$ make bench-quick                         # about 3 minutes: before and after a change
$ make bench                               # all; writes artefacts/performance.md and .json
$ make bench ONLY=judge,process            # some parts
$ make bench MARKDOWN=docs/performance.md  # writes this page
```

Use a machine without other work. The load before the run is in the table below.
"""


def render_page(
    machine: Mapping[str, str], found: Mapping[str, Sequence[Mapping[str, Any]]]
) -> str:
    """Return the page.

    Parameters
    ----------
    machine : mapping of str to str
        Result of `describe_machine`, and what else is to be known of the run.
    found : mapping of str to sequence of dict
        Sections as values of JSON, by benchmark.
    """
    lines = [_HEAD, "## The run", "", "| | |", "| --- | --- |"]
    lines += [f"| {name} | {_cell(text)} |" for name, text in machine.items()]
    lines += ["", "## Targets", "", *_targets(found), ""]
    for name, sections in found.items():
        lines += [f"## Results of {name}", ""]
        for section in sections:
            lines += [*_section(section), ""]
    return "\n".join(lines)


def _targets(found: Mapping[str, Sequence[Mapping[str, Any]]]) -> Iterator[str]:
    """Yield a row for each figure that has a target, the missed ones first."""
    rows = [
        (figure["reached"], f"| {name} | {_measured(section)} | {_figure(figure)} |")
        for name, sections in found.items()
        for section in sections
        for figure in section["figures"]
        if figure["target"] is not None
    ]
    reached = sum(one for one, _ in rows)
    if not rows:
        yield "Targets are for the complete run; this one measured less."
        return
    yield f"{reached} of {len(rows)} targets are reached."
    yield ""
    yield "| part | measured | figure | value | target |"
    yield "| --- | --- | --- | --- | --- |"
    yield from (row for _, row in sorted(rows, key=lambda row: row[0]))


def _section(section: Mapping[str, Any]) -> Iterator[str]:
    yield f"{section['title']}:"
    yield ""
    if section["timings"]:
        yield "| contestant | CPU [s] | time [s] | jobs/s |"
        yield "| --- | --- | --- | --- |"
        for one in section["timings"]:
            cpu = one["user"] + one["system"]
            rate = f"{one['jobs'] / one['seconds']:,.0f}" if one["jobs"] else ""
            yield f"| {_cell(one['name'])} | {cpu:.3f} | {one['seconds']:.3f} | {rate} |"
        yield ""
    if section["figures"]:
        yield "| figure | value | target |"
        yield "| --- | --- | --- |"
        yield from (f"| {_figure(figure)} |" for figure in section["figures"])


def _measured(section: Mapping[str, Any]) -> str:
    """Return the beginning of a title."""
    title: str = section["title"]
    return _cell(title.partition(";")[0].partition(":")[0])


def _figure(figure: Mapping[str, Any]) -> str:
    """Return the cells of a figure: name, value and target."""
    target = ""
    if figure["target"] is not None:
        target = f"{'≤' if figure['at_most'] else '≥'} {figure['target']:g}"
        if not figure["reached"]:
            target += " **missed**"
    return f"{_cell(figure['what'])} | {_number(figure['value'])} {figure['unit']} | {target}"


def _number(value: float) -> str:
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"


def _cell(text: str) -> str:
    return text.replace("|", "\\|")
