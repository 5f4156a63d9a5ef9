"""Check of the SSO domain of an appliance: whether fleet.toml has all of its nodes."""

from collections.abc import Sequence
from typing import Final

from backupkit.diagnostics.connection_checks import CheckContext, Finding
from backupkit.diagnostics.discovery import explain, explain_missing_list
from backupkit.diagnostics.nodes import match_nodes
from backupkit.errors import ApplianceError, NotFoundError, RightsError, one_line
from backupkit.fleet import Appliance
from backupkit.wire import Node

__all__ = ["check_domain"]

_MAX_HOSTS: Final = 5


def check_domain(context: CheckContext) -> Finding:
    """Compare the nodes of the SSO domain with fleet.toml.

    No backup depends on the list, so a list that cannot be read fails no check.
    """
    try:
        try:
            listed, errors = context.client.nodes()
        except NotFoundError as error:
            return Finding("skipped", explain_missing_list(context.client, error))
    except RightsError as error:
        return Finding("skipped", explain(error))
    except ApplianceError as error:
        return Finding("warning", error.problem, error.advice)
    if errors:
        first = next(iter(errors.values()))
        return Finding("warning", first.problem, first.advice)
    summary = f"{len(listed)} node{'' if len(listed) == 1 else 's'}"
    if context.known is None:
        return Finding("ok", summary)
    return _compare(context, listed, summary, context.known)


def _compare(
    context: CheckContext, listed: Sequence[Node], summary: str, known: Sequence[Appliance]
) -> Finding:
    nodes = match_nodes(listed, known, context.resolve, asked=context.appliance.name)
    context.nodes = nodes
    missing = [one_line(node.host, limit=80) for node in nodes if node.is_missing]
    if missing:
        more = len(missing) - _MAX_HOSTS
        shown = ", ".join(missing[:_MAX_HOSTS]) + (f" and {more} more" if more > 0 else "")
        return Finding(
            "warning",
            f"{summary}, of which fleet.toml does not have {shown}",
            "Nobody watches the backups of the nodes that fleet.toml does not have. Add them with: "
            "backupkit discover --add",
        )
    if context.appliance.name not in {node.appliance for node in nodes}:
        return Finding(
            "warning",
            f"{summary}, none with the address {context.appliance.host}",
            "Check host of this appliance in fleet.toml: its SSO domain knows it by another name, "
            "or it is another appliance.",
        )
    return Finding("ok", f"{summary}, all in fleet.toml")
