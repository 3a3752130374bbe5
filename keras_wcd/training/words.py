"""Plain data in few words."""

import json
from collections.abc import Mapping
from typing import Any


def flat(values: Mapping[str, Any]) -> dict[str, Any]:
    """Plain data under dotted keys, as `--set` names them."""
    found = {}
    for key, value in values.items():
        named = isinstance(value, list) and value and all(isinstance(row, Mapping) and "name" in row for row in value)
        if named:
            value = {row["name"]: {k: v for k, v in row.items() if k != "name"} for row in value}
        if isinstance(value, Mapping) and value:
            found |= {f"{key}.{inside}": part for inside, part in flat(value).items()}
        else:
            found[key] = value
    return found


def in_words(changes: Mapping[str, Any]) -> str:
    """`small: epochs=2, network.num_coarse=16`."""
    values = ", ".join(f"{key}={short(value)}" for key, value in changes.get("values", {}).items())
    return ": ".join(filter(None, (changes.get("from", ""), values)))


def short(value: Any) -> str:
    """A value in few characters; a part with a config of its own by the name of its class."""
    if isinstance(value, Mapping) and "class_name" in value:
        inside = value.get("config") or {}
        return f"{value['class_name']}({', '.join(f'{k}={short(v)}' for k, v in inside.items())})"
    return value if isinstance(value, str) else json.dumps(value, default=str)
