"""JSON Schema of a report's JSON document, generated from the contracts of the frames.

``python -m backupkit.reports.schema`` prints the content of ``report.schema.json``.
"""

import json
from typing import Any, Final

import pandas as pd

from backupkit.policy import PARAMETERS
from backupkit.policy.parameters import Parameter
from backupkit.reports.exports import SCHEMA_VERSION, TABLES, TREND_ROWS
from backupkit.tables import STATES, TARGET_STATES, Column, Table
from backupkit.tables.dtypes import COUNT, FLAG, MESSAGES, NUMBER, SPAN, TEXT, TEXTS, TIME

__all__ = ["schema"]

_TEXT: Final = {"type": "string"}
_TIME: Final = {"type": "string", "format": "date-time"}
_NAME_OR_NULL: Final = {"type": ["string", "null"]}
_MESSAGE: Final = {
    "id": _NAME_OR_NULL,
    "default_message": _NAME_OR_NULL,
    "args": {"type": ["array", "null"], "items": _NAME_OR_NULL},
    "localized": _NAME_OR_NULL,
}


def schema() -> dict[str, Any]:
    """Return the JSON Schema of the ``.json`` file that `Report.save` writes.

    It is of draft 2020-12. The description of a column is its meaning in the contract.

    References
    ----------
    .. [1] https://json-schema.org/draft/2020-12
    """
    numbers = _describe_object(
        {item.json_key: _describe_parameter(item) for item in PARAMETERS.values()}
    )
    changes = _describe_list(
        _describe_object({"valid_from": _TIME, "numbers": {"$ref": "#/$defs/numbers"}})
    )
    named = _describe_object(
        {"name": _TEXT, "numbers": {"$ref": "#/$defs/numbers"}, "changes": changes}
    )
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "$id": f"urn:backupkit:report:{SCHEMA_VERSION}",
        "title": "backupkit report",
        "description": "The assessment of a fleet of vCenter appliances over a period.",
        "$defs": {"numbers": numbers},
        **_describe_object(
            {
                "schema_version": {"const": SCHEMA_VERSION},
                "backupkit": {**_TEXT, "description": "Version of backupkit."},
                "start": {**_TIME, "description": "Start of the period, inclusive."},
                "end": {**_TIME, "description": "End of the period, exclusive."},
                "generated_at": {
                    **_TIME,
                    "description": "Time of the assessment; nothing learnt later is in it.",
                },
                "data_version": {
                    "type": "string",
                    "pattern": "^([0-9a-f]{64}|[0-9]+-[0-9a-f]+)?$",
                    "description": "Head digest of the history, empty if the history is; of "
                    "frames, the number of polls and a digest.",
                },
                "aliased": {
                    "type": "boolean",
                    "description": "True if names are replaced by aliases.",
                },
                "policy": _describe_object(
                    {
                        "sentence": _TEXT,
                        "digest": _TEXT,
                        "numbers": {"$ref": "#/$defs/numbers"},
                        "changes": changes,
                        "named": _describe_list(named),
                        "groups": _describe_list(
                            _describe_object({"group": _TEXT, "policy": _TEXT})
                        ),
                        "appliances": _describe_list(_describe_member()),
                        "exclusions": _describe_list(_describe_exclusion()),
                    }
                ),
                "timezone": {**_TEXT, "description": "IANA time zone that names the period."},
                "period": _TEXT,
                "heading": {**_TEXT, "description": "Both verdicts in a few words."},
                "period_verdict": _describe_object(
                    {
                        "state": {"enum": list(TARGET_STATES)},
                        "sentence": _TEXT,
                        "targets": _describe_list(_describe_target()),
                    }
                ),
                "verdict": _describe_object(
                    {
                        "state": {"enum": ["breach", "unknown", "compliant"]},
                        "sentence": _TEXT,
                        "in_scope": _describe_count(),
                        **{state: _describe_count() for state in STATES},
                    }
                ),
                **{name: _describe_rows(table) for name, table in TABLES.items()},
                "trend": _describe_rows(TREND_ROWS),
                "notes": _describe_list(_describe_note()),
            }
        ),
    }


def _describe_object(properties: dict[str, Any]) -> dict[str, Any]:
    return {
        "type": "object",
        "properties": properties,
        "required": list(properties),
        "additionalProperties": False,
    }


def _describe_list(items: dict[str, Any]) -> dict[str, Any]:
    return {"type": "array", "items": items}


def _describe_target() -> dict[str, Any]:
    number = {"type": "number"}
    return _describe_object(
        {
            "metric": _TEXT,
            "state": {"enum": list(TARGET_STATES)},
            "value": number,
            "numerator": number,
            "denominator": number,
            "unit": _TEXT,
            "target": number,
        }
    )


def _describe_count() -> dict[str, Any]:
    return {"type": "integer", "minimum": 0}


def _describe_parameter(parameter: Parameter[Any, Any]) -> dict[str, Any]:
    kind = parameter.kind.json
    number: dict[str, Any] = {"type": [kind, "null"] if parameter.default is None else kind}
    if kind == "array":
        number["items"] = _TEXT
    return {**number, "description": parameter.meaning}


def _describe_member() -> dict[str, Any]:
    names = ("host", "site", "group", "timezone", "exclude", "policy")
    return _describe_object({"appliance": _TEXT, **dict.fromkeys(names, _NAME_OR_NULL)})


def _describe_note() -> dict[str, Any]:
    onset = {
        "type": ["string", "null"],
        "format": "date-time",
        "description": "Onset of the incident that the note belongs to.",
    }
    return _describe_object(
        {
            "appliance": _TEXT,
            "at": {**_TIME, "description": "Time that the note of an operator is about."},
            "incident": {**_NAME_OR_NULL, "description": "Id of the incident."},
            "incident_onset": onset,
            **dict.fromkeys(("by", "ticket", "text"), _TEXT),
        }
    )


def _describe_exclusion() -> dict[str, Any]:
    time = {"type": ["string", "null"], "format": "date-time"}
    names = dict.fromkeys(("appliances", "groups", "sites"), _describe_list(_TEXT))
    return _describe_object({"reason": _TEXT, "start": time, "end": time, **names})


def _describe_rows(table: Table) -> dict[str, Any]:
    columns = {
        f"{column.name}_seconds" if column.dtype == SPAN else column.name: _describe_cell(
            table, column
        )
        for column in table
    }
    return _describe_list(_describe_object(columns))


def _describe_cell(table: Table, column: Column) -> dict[str, Any]:
    unit = "" if column.dtype in (TIME, SPAN) or not column.unit else f" [{column.unit}]"
    description = {"description": f"{column.meaning.rstrip('.')}{unit}."}
    if column.name == table.index:
        return {**_TEXT, **description}
    return {**_get_json_type(column.dtype), **description}


def _get_json_type(dtype: str | pd.ArrowDtype) -> dict[str, Any]:
    if dtype == MESSAGES:
        return {"type": ["array", "null"], "items": _describe_object(_MESSAGE)}
    if dtype == TEXTS:
        return {"type": ["array", "null"], "items": _TEXT}
    kinds: dict[Any, dict[str, Any]] = {
        TEXT: _NAME_OR_NULL,
        TIME: {"type": ["string", "null"], "format": "date-time"},
        SPAN: {"type": ["number", "null"]},
        COUNT: {"type": ["integer", "null"]},
        NUMBER: {"type": ["number", "null"]},
        FLAG: {"type": ["boolean", "null"]},
    }
    return kinds[dtype]


if __name__ == "__main__":  # pragma: no cover # runs as a script
    print(json.dumps(schema(), indent=1))  # noqa: T201 # output of the script
