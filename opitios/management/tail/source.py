"""Where the stream is and with which token: never from the command line, where `ps` shows it."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from opitios.core.embedded.runfolder import RunFolder, read_env

# The variable that holds a token, where the file of a run is not the one to take.
VARIABLE = "OPITIOS_TOKEN"
_LOOPBACK = frozenset({"localhost", "127.0.0.1", "::1"})


class BadSource(ValueError):
    """There is no address or no token; the text says what to do."""


@dataclass(frozen=True, slots=True)
class Source:
    """An address, and where its token is read from: again each time, for it may be renewed."""

    root: Path
    environment: Mapping[str, str]
    given_url: str | None = None
    token_file: Path | None = None
    token_name: str = "TOKEN_TRADER"  # noqa: S105 - a name

    @property
    def url(self) -> str:
        """The address of the stream. Raises BadSource."""
        found = self.given_url or self._handout().get("WS_URL")
        if not found:
            raise BadSource("no gateway runs here: `make up`, or name one with --url")
        parts = urlsplit(found)
        if parts.scheme not in {"ws", "wss"} or not parts.hostname:
            raise BadSource("--url is written ws://host:port/ws/v1/stream (wss:// with TLS)")
        if parts.query or parts.username or parts.password:
            raise BadSource("an address with a token or a password in it is in every log: leave it")
        return found

    @property
    def is_in_clear(self) -> bool:
        """Whether somebody between here and there could read the token."""
        parts = urlsplit(self.url)
        return parts.scheme == "ws" and parts.hostname not in _LOOPBACK

    def token(self) -> str:
        """Read the token, as it is now. Raises BadSource."""
        if self.token_file is not None:
            return self._from_file(self.token_file)
        found = self.environment.get(VARIABLE) or self._of_the_run()
        if not found:
            where = f"--token-file, or in {VARIABLE}"
            raise BadSource(f"there is no token: give one with {where}")
        return found

    def _of_the_run(self) -> str | None:
        # The token of this clone's gateway is not for anybody else's.
        if self.given_url not in {None, self._handout().get("WS_URL")}:
            return None
        found = self._handout().get(self.token_name)
        if found is None and self._handout():
            raise BadSource(f"the run has no {self.token_name}: see .run/opitios.env")
        return found

    def _from_file(self, path: Path) -> str:
        try:
            return path.read_text().strip()
        except (OSError, UnicodeDecodeError) as error:
            raise BadSource(f"the token's file cannot be read: {error}") from error

    def _handout(self) -> dict[str, str]:
        return read_env(RunFolder(self.root).handout)
