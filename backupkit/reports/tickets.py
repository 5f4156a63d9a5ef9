"""Short summary of a report for tickets and chats: plain text of 80 columns, and Markdown."""

import textwrap
from collections.abc import Iterable, Mapping, Sequence
from typing import Final, NamedTuple

import pandas as pd

from backupkit.assessment import Assessment, Comparison
from backupkit.display.format import format_timestamp
from backupkit.reports.facts import ActionItem, Summary, Time, UnreadAppliance
from backupkit.reports.incident_lines import list_incident_lines
from backupkit.reports.summary import summarize
from backupkit.tables.notes import Note
from backupkit.texts import clean_text, escape_markdown

__all__ = ["render_markdown", "render_text"]

_WIDTH: Final = 80  # columns
_MAX_LINES: Final = 60
_MAX_LINES_OF_SENTENCE: Final = 3
_MAX_LINES_OF_ITEM: Final = 2  # of its title, its reason and its next step each
_MAX_NAMES: Final = 5
_MAX_ROWS: Final = 12  # appliances of each Markdown table
_MAX_CELL: Final = 240  # characters


class _Item(NamedTuple):
    """Appliance that needs attention, as texts that may have anything in them."""

    appliance: str
    state: str
    since: str
    reason: str
    advice: str
    lines: Sequence[str]


class _Section(NamedTuple):
    """Appliances of one kind, and the number of all of them."""

    title: str
    items: Sequence[_Item]
    total: int


def render_text(
    assessment: Assessment,
    comparison: Comparison | None = None,
    *,
    aliased: bool = False,
    notes: Iterable[Note] = (),
) -> str:
    """Render the summary as plain text: at most 60 lines of 80 columns.

    Parameters
    ----------
    assessment : Assessment
        The assessment.
    comparison : Comparison, optional
        Changes since an earlier one.
    aliased : bool
        Whether names are replaced by aliases; the text states it.
    notes : iterable of Note
        Notes of operators.

    Returns
    -------
    str
        Verdicts, key figures, and who needs attention: since when, why, and the next step.
    """
    summary = summarize(assessment, comparison, anchors=False)
    head = _wrap(summary.title)
    for label, sentence in _list_sentences(summary):
        head += _wrap(f"{label}: {sentence}", max_lines=_MAX_LINES_OF_SENTENCE)
    head.append("")
    for name, share in _list_figures(summary):
        head += _wrap(f"{name}: {share}")
    foot = ["", *_wrap(_format_origin(summary, aliased=aliased))]
    left = _MAX_LINES - len(head) - len(foot)
    attention, unread = _list_sections(summary, list_incident_lines(assessment, notes))
    reserved = min(len(_format_section(unread, _MAX_LINES)), left // 3)
    lines = _format_section(attention, left - reserved)
    lines += _format_section(unread, left - len(lines))
    return "\n".join([*head, *lines, *foot]) + "\n"


def render_markdown(
    assessment: Assessment,
    comparison: Comparison | None = None,
    *,
    aliased: bool = False,
    notes: Iterable[Note] = (),
) -> str:
    """Render the summary as Markdown with tables: at most 60 lines.

    Parameters
    ----------
    assessment, comparison, aliased, notes
        As for `render_text`.

    Returns
    -------
    str
        The content of `render_text`. Texts of appliances are escaped: they make no links.

    References
    ----------
    .. [1] https://github.github.com/gfm/
    """
    summary = summarize(assessment, comparison, anchors=False)
    lines = [f"### {escape_markdown(summary.title)}", ""]
    lines += [
        f"- **{escape_markdown(label)}:** {_format_cell(sentence, limit=400)}"
        for label, sentence in _list_sentences(summary)
    ]
    lines += ["", *_format_table(("Figure", "Share"), _list_figures(summary))]
    for section in _list_sections(summary, list_incident_lines(assessment, notes)):
        if not section.total:
            continue
        lines += ["", f"**{section.title} ({section.total:,})**", ""]
        rows = [(*item[:-1], "; ".join(item.lines)) for item in section.items[:_MAX_ROWS]]
        columns = ("Appliance", "State", "Since (UTC)", "Why", "Next step", "Incident, notes")
        shown = len(columns) if any(item.lines for item in section.items) else -1
        lines += _format_table(columns[:shown], (row[:shown] for row in rows))
        if section.total > _MAX_ROWS:
            lines += ["", f"and {section.total - _MAX_ROWS:,} more, in the report"]
    lines += ["", escape_markdown(_format_origin(summary, aliased=aliased))]
    return "\n".join(lines) + "\n"


def _list_sentences(summary: Summary) -> list[tuple[str, str]]:
    """Return the labelled sentences of the verdict."""
    sentences = [
        ("Period", summary.period_sentence),
        (summary.moment.capitalize(), summary.sentence),
    ]
    if summary.coming:
        sentences.append(("Soon", summary.coming))
    sentences.append(("Failures", summary.causes))
    if summary.inventory:
        sentences.append(("SSO domains", summary.inventory))
    never = summary.never_backed_up
    if never.total:
        names = ", ".join(link.name for link in never.links[:_MAX_NAMES])
        more = never.total - _MAX_NAMES
        sentences.append(("Never backed up", f"{names} and {more:,} more" if more > 0 else names))
    if summary.changes and not summary.changes.is_empty:
        since = format_timestamp(summary.changes.since, "UTC")
        sentences.append((f"Since {since}", summary.changes.sentence))
    if summary.next_steps_note:
        sentences.append(("Next steps", summary.next_steps_note))
    return sentences


def _list_figures(summary: Summary) -> list[tuple[str, str]]:
    return [(figure.name, str(figure.ratio)) for figure in summary.figures]


def _list_sections(
    summary: Summary, lines: Mapping[str, Sequence[str]]
) -> tuple[_Section, _Section]:
    """Return who needs attention, and who could not be read, with lines on incident and notes."""
    actions, unread = summary.action_items, summary.unread
    return (
        _Section(
            "Needs attention", [_convert_action(item, lines) for item in actions], actions.total
        ),
        _Section(
            "Unreachable or not fully read",
            [_convert_unread(item, lines) for item in unread],
            unread.total,
        ),
    )


def _convert_action(item: ActionItem, lines: Mapping[str, Sequence[str]]) -> _Item:
    begin, remark = item.breach_since
    since = remark or _format_last("success", item.last_success)
    if pd.notna(begin):
        since = f"since {format_timestamp(begin)}, {since}"
    name = item.appliance.name
    own = lines.get(name, ())
    return _Item(name, item.state.label, since, item.reason, item.advice, own)


def _convert_unread(item: UnreadAppliance, lines: Mapping[str, Sequence[str]]) -> _Item:
    since = _format_last("good poll", item.last_ok.time)
    reason = f"{item.error}: {item.detail}" if item.detail else item.error
    name = item.appliance.name
    return _Item(name, item.state.label, since, reason, item.advice, lines.get(name, ()))


def _format_last(event: str, time: Time) -> str:
    return f"no {event} known" if pd.isna(time) else f"last {event} {format_timestamp(time)}"


def _format_origin(summary: Summary, *, aliased: bool) -> str:
    aliases = "Names are replaced by aliases. " if aliased else ""
    time = format_timestamp(summary.generated, "UTC")
    return f"{aliases}As of {time}, {summary.newest_data}, by {summary.versions}"


def _format_section(section: _Section, max_lines: int) -> list[str]:
    """Return a section of the text: as many appliances as its lines can hold, and a count."""
    if not section.total:
        return []
    lines = ["", f"{section.title.upper()} ({section.total:,})"]
    room = max_lines - len(lines)
    shown = 0
    for item in section.items:
        block = _format_item(item)
        is_last = shown + 1 == section.total
        if len(block) + (not is_last) > room:  # unless it is the last one, a count follows
            break
        lines += block
        room -= len(block)
        shown += 1
    if shown < section.total:
        lines.append(f"and {section.total - shown:,} more, in the report")
    return lines


def _format_item(item: _Item) -> list[str]:
    lines = _wrap(f"{item.state}: {item.appliance}, {item.since}", max_lines=_MAX_LINES_OF_ITEM)
    for label, text in (("Why", item.reason), ("Next", item.advice)):
        if text:
            lines += _wrap(f"{label}: {text}", max_lines=_MAX_LINES_OF_ITEM, indent="    ")
    for text in item.lines:
        lines += _wrap(text, indent="    ")
    return lines


def _wrap(text: str, *, max_lines: int = _MAX_LINES_OF_ITEM, indent: str = "") -> list[str]:
    """Return untrusted text as lines of 80 columns; a longer one ends with an ellipsis."""
    return textwrap.wrap(
        clean_text(text),
        _WIDTH,
        max_lines=max_lines,
        placeholder=" …",
        initial_indent=indent,
        subsequent_indent=indent or "  ",
    )


def _format_table(header: Iterable[str], rows: Iterable[Iterable[str]]) -> list[str]:
    """Return the lines of a Markdown table."""
    cells = tuple(header)
    return [
        f"| {' | '.join(cells)} |",
        f"|{' --- |' * len(cells)}",
        *(f"| {' | '.join(map(_format_cell, row))} |" for row in rows),
    ]


def _format_cell(text: str, limit: int = _MAX_CELL) -> str:
    return escape_markdown(textwrap.shorten(text, limit, placeholder=" …"))
