"""Settings as text: what a command line and a notebook's parameter can carry."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any

_AS_JSON = {"None": "null", "none": "null", "True": "true", "False": "false"}


def parse_settings(options: Iterable[str], example: str = "epochs=5") -> dict[str, Any]:
    """ "key=value" as keywords; what reads as JSON (numbers, [256,128]) or as Python's None, True
    or False is that value, everything else is text.

    Args:
        options: One "key=value" each.
        example: For the message.

    Raises:
        ValueError: If a text is no key=value.
    """
    parsed: dict[str, Any] = {}
    for text in options:
        key, mark, value = text.partition("=")
        if not mark or not key:
            flag = f"{example.split()[0]} " if " " in example else ""
            raise ValueError(f"{flag}{text!r}: expected key=value, as in {example}")
        try:
            parsed[key] = json.loads(_AS_JSON.get(value, value))
        except json.JSONDecodeError:
            parsed[key] = value
    return parsed
