"""The gateway as its operator asks it: over HTTP, like everybody else."""

import http.client
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

# The processes are on this machine; one that needs longer is not well. Seconds.
ANSWER_SECONDS = 5.0


class NoAnswerError(Exception):
    """Nobody answered, or not in JSON; the text says what happened."""


@dataclass(frozen=True, slots=True)
class Answer:
    """A status and the JSON body."""

    status: int
    body: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Gateway:
    """A running gateway and the token it is asked with."""

    url: str
    token: str

    def get(self, path: str) -> Answer:
        """Ask for a path of the API (from `/api` on). Raises NoAnswerError."""
        return self._ask("GET", path, headers={})

    def post(self, path: str, body: Mapping[str, Any], *, idempotency_key: str) -> Answer:
        """Send a command. Raises NoAnswerError."""
        headers = {"Content-Type": "application/json", "Idempotency-Key": idempotency_key}
        return self._ask("POST", path, headers=headers, body=json.dumps(body))

    def _ask(
        self, method: str, path: str, *, headers: Mapping[str, str], body: str | None = None
    ) -> Answer:
        allowed = {**headers, "Authorization": f"Bearer {self.token}"}
        line = http.client.HTTPConnection(urlsplit(self.url).netloc, timeout=ANSWER_SECONDS)
        try:
            line.request(method, path, body=body, headers=allowed)
            answer = line.getresponse()
            return Answer(answer.status, json.loads(answer.read()))
        except (OSError, http.client.HTTPException, ValueError) as error:
            raise NoAnswerError(f"{method} {path}: {error!r}") from error
        finally:
            line.close()
