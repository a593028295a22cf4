"""What alpaca-py imports and hardly ever uses is loaded by its first use.

`alpaca.trading` imports pandas for one validator of one request: a quarter of a second and 40 MiB
of each process that sends orders.
"""

import importlib
import sys
import threading
from types import ModuleType
from typing import Any

_lock = threading.Lock()


class _Late(ModuleType):
    """Stands for a module until something of it is asked for, and then hands that on."""

    def __getattr__(self, name: str) -> Any:
        with _lock:
            if sys.modules.get(self.__name__) is self:
                del sys.modules[self.__name__]
            module = importlib.import_module(self.__name__)
        return getattr(module, name)


def import_late(name: str) -> None:
    """Let `import name` cost nothing; its module is loaded when something of it is asked for.

    importlib's LazyLoader does not do: `import` itself asks the module for its `__spec__`.
    """
    if name not in sys.modules:
        sys.modules[name] = _Late(name)
