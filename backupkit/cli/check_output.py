"""Output of ``backupkit check`` for each monitoring system."""

from collections.abc import Callable, Mapping
from enum import StrEnum
from typing import TYPE_CHECKING, Any, Final

from backupkit.cli.options import echo, print_json

if TYPE_CHECKING:
    from backupkit.assessment import Assessment

__all__ = ["UNKNOWN", "CheckFormat", "print_check", "print_check_error"]

UNKNOWN: Final = 3


class CheckFormat(StrEnum):
    """Format of the output of ``backupkit check``."""

    NAGIOS = "nagios"
    CHECKMK = "checkmk"
    ZABBIX = "zabbix"
    JSON = "json"


def print_check(assessment: "Assessment", output: CheckFormat) -> int:
    """Print the result of an assessment in a format, and return its exit code."""
    from backupkit.reports.monitoring import check_result  # noqa: PLC0415 # keeps --help fast

    result = check_result(assessment)
    if output is CheckFormat.NAGIOS:
        echo(result.line)
    else:
        _PRINTERS[output](assessment)
    return result.code


def print_check_error(error: Exception, output: CheckFormat) -> int:
    """Print an error in the place of a result, and return the exit code UNKNOWN.

    Without the key ``appliances``, Zabbix keeps what it had discovered.
    """
    text = " ".join(str(error).split())
    if output is CheckFormat.NAGIOS:
        echo(f"UNKNOWN: {text.replace('|', '/')}")  # a "|" would start the performance data
    elif output is CheckFormat.CHECKMK:
        from backupkit.reports import monitoring, services  # noqa: PLC0415 # keeps --help fast

        result = monitoring.CheckResult(UNKNOWN, text, "")
        echo(f"{services.LOCAL}\n{services.format_checkmk_fleet(result)}")
    else:
        print_json({"status": "UNKNOWN", "code": UNKNOWN, "sentence": text})
    return UNKNOWN


def _print_checkmk(assessment: "Assessment") -> None:
    from backupkit.reports.services import format_checkmk  # noqa: PLC0415 # keeps --help fast

    echo(format_checkmk(assessment))


def _print_zabbix(assessment: "Assessment") -> None:
    from backupkit.reports.services import (  # noqa: PLC0415 # keeps --help fast
        check_appliances,
        list_discovered,
    )

    print_json(
        {
            **_summarise(assessment),
            "appliances": list_discovered(check_appliances(assessment)),
        },
        indent=None,
    )


def _print_json(assessment: "Assessment") -> None:
    from backupkit.reports.services import check_appliances  # noqa: PLC0415 # keeps --help fast

    print_json(
        {
            **_summarise(assessment),
            "appliances": [one.to_json() for one in check_appliances(assessment)],
        }
    )


def _summarise(assessment: "Assessment") -> dict[str, Any]:
    """Return the result of the fleet, as in docs/json-output.md."""
    from backupkit.reports.monitoring import check_result  # noqa: PLC0415 # keeps --help fast
    from backupkit.tables import STATES  # noqa: PLC0415 # keeps --help fast

    result = check_result(assessment)
    missing = assessment.inventory[assessment.inventory["result"] == "missing"]
    return {
        "status": result.status,
        "code": result.code,
        "sentence": result.sentence,
        "period": assessment.period_verdict.state,
        **{state: getattr(assessment.verdict, state) for state in STATES},
        "missing": [str(host) for host in missing["host"]],
        "breaches": [
            {"appliance": str(name), "breach_since": since.isoformat()}
            for name, since in assessment.figures["breach_since"].dropna().items()
        ],
    }


_PRINTERS: Final[Mapping[CheckFormat, Callable[["Assessment"], None]]] = {
    CheckFormat.CHECKMK: _print_checkmk,
    CheckFormat.ZABBIX: _print_zabbix,
    CheckFormat.JSON: _print_json,
}
