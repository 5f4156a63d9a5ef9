"""Kinds of columns. Those of single values are named by their pandas dtypes."""

from typing import Final

__all__ = ["COUNT", "FLAG", "MESSAGE_LIST", "NUMBER", "SPAN", "TEXT", "TEXT_LIST", "TIME"]

TEXT: Final = "str"
TIME: Final = "datetime64[us, UTC]"
SPAN: Final = "timedelta64[us]"
COUNT: Final = "Int64"
NUMBER: Final = "Float64"
FLAG: Final = "boolean"
MESSAGE_LIST: Final = "list of messages"
TEXT_LIST: Final = "list of texts"
