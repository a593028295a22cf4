"""The operator's page has every setting, under its name and with its default."""

import json
import re
from collections.abc import Iterator

from pydantic import BaseModel
from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined

from opitios.core.config import Config, InboundLimits, Timers
from tests.docs.pages import page

_TABLE = re.compile(r"<!-- settings.*?-->\n(.*?)<!-- end of settings -->", re.DOTALL)
_ROW = re.compile(r"^\| `([A-Z_]+)` \| (.+?) \| .+ \|$", re.MULTILINE)
_NESTED: dict[str, type[BaseModel]] = {"limits": InboundLimits, "timers": Timers}
# These are what they are on the day: their default has no text of its own.
_SAID_IN_WORDS = {"OPITIOS_PROCESS": "`process-<pid>`"}


def test_the_table_of_settings_is_that_of_the_code() -> None:
    table = _TABLE.search(page("docs/operations.md"))
    assert table is not None

    written = dict(_ROW.findall(table[1]))

    assert written == dict(_settings())


def _settings() -> Iterator[tuple[str, str]]:
    for name, field in Config.model_fields.items():
        if name in _NESTED:
            continue
        alias = field.validation_alias
        shown = alias if isinstance(alias, str) else f"OPITIOS_{name.upper()}"
        yield shown, _SAID_IN_WORDS.get(shown) or _said(field)
    for outer, model in _NESTED.items():
        for name, field in model.model_fields.items():
            yield f"OPITIOS_{outer.upper()}__{name.upper()}", _said(field)


def _said(field: FieldInfo) -> str:
    if field.default is PydanticUndefined:
        return "required"
    value = field.get_default(call_default_factory=True, validated_data={})
    if value is None:
        return "unset"
    if hasattr(value, "get_secret_value"):
        value = value.get_secret_value()
    if isinstance(value, list) and value:
        value = ",".join(value)
    return f"`{value if isinstance(value, str) else json.dumps(value)}`"
