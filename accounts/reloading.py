"""Import this installation's account file again: `POST accounts/reload`, and the admin's page."""

import os
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar

from django.http import HttpResponse
from rest_framework.request import Request

from accounts import custody, schema
from accounts.access import Permission, Principal, TokenView, principal_of
from accounts.journal import Actor
from accounts.roster import versions
from accounts.roster.document import BadRoster, Complaint
from accounts.roster.files import accounts_in
from accounts.roster.importing import Import, Imported
from opitios.core import bodies
from opitios.core.admission import Lane
from opitios.core.config import get_config
from opitios.core.errors import FieldError, Problem, Reason
from opitios.core.http import answer, query_of, read_body

# Another import is waited for so long; a client is not kept longer.
PATIENCE_SECONDS = 2.0

# What a body may say; none need be sent.
FIELDS = ("dry_run", "reason")


class ReloadView(TokenView):
    """The account file, read anew and applied: all of it, or nothing."""

    permission = Permission.ADMIN
    lanes: ClassVar[Mapping[str, Lane]] = {"POST": Lane.CONTROL}

    @schema.reload_accounts
    def post(self, request: Request) -> HttpResponse:
        """Import the file of OPITIOS_ACCOUNTS_FILE; says what changed of the token's accounts."""
        query_of(request, ())
        asked = _asked(request)
        done = import_again(asked)
        return answer({"dry_run": asked.dry_run, **_shown(done, principal_of(request))})


def import_again(asked: Import) -> Imported:
    """Import the file of OPITIOS_ACCOUNTS_FILE; leaves an entry also where that changed nothing.

    Raises Problem: the file was refused, cannot be read, or another import is running.
    """
    path = _path()
    asked = replace(asked, source=str(path)[-255:])
    try:
        done = asked.run(lambda: accounts_in(path, config=get_config(), environ=os.environ))
    except BadRoster as refusal:
        errors = [_field_error(complaint) for complaint in refusal.complaints]
        detail = "The account file was refused; nothing was changed."
        raise Problem(Reason.INVALID_ROSTER, detail, errors=errors) from refusal
    except OSError as error:
        raise _unreadable(f"It cannot be read: {error.strerror}.") from error
    except versions.ImportRunning as error:
        detail = "Another import is running; nothing was changed."
        raise Problem(Reason.UNAVAILABLE, detail, retry_after_seconds=PATIENCE_SECONDS) from error
    if done.version is None and not asked.dry_run:
        asked.note(asked.kind, {"version": None, "unchanged": len(done.diff.unchanged)})
    return done


def _path() -> Path:
    path = get_config().accounts_file
    if path is None:
        raise _unreadable("The operator has named no account file.")
    return path


def _unreadable(why: str) -> Problem:
    error = FieldError("OPITIOS_ACCOUNTS_FILE", "not-readable", why)
    return Problem(
        Reason.INVALID_ROSTER, f"There is no account file to read. {why}", errors=[error]
    )


def _field_error(complaint: Complaint) -> FieldError:
    message = f"line {complaint.line}: {complaint.message}"
    return FieldError(complaint.key or "file", "not-usable", message, complaint.allowed or None)


def _asked(request: Request) -> Import:
    """Read who asks and why. Raises Problem."""
    body = _body(request)
    principal = principal_of(request)
    floor: Any = request._request
    behind = {
        "sub": principal.sub,
        "act": principal.act,
        "jti": principal.jti,
        "permissions": sorted(principal.permissions),
        "ip": floor.client_ip,
    }
    return Import(
        Actor("principal", principal.sub, behind),
        source="",
        reason=_reason(body.get("reason")),
        dry_run=_flag(body.get("dry_run")),
        kind="roster.reloaded",
        request={"request_id": floor.request_id, "idempotency_key": None, "body_sha256": None},
        patience_seconds=PATIENCE_SECONDS,
    )


def _body(request: Request) -> Mapping[str, Any]:
    if not bodies.is_there(request.META):
        return {}
    _, body = read_body(request)
    unknown = [FieldError(name, "unknown-field", "Unknown field.", FIELDS) for name in body
               if name not in FIELDS]  # fmt: skip
    if unknown:
        raise Problem(Reason.INVALID_PARAMETER, "The body is not understood.", errors=unknown)
    return body


def _reason(given: object) -> str | None:
    if given is None:
        return None
    try:
        # Numbers of a body are read as text of a kind of their own.
        return custody.reason_of(given if type(given) is str else "")
    except custody.Refused as error:
        raise _wrong("reason", f"{error}.".capitalize()) from error


def _flag(given: object) -> bool:
    if given is not None and not isinstance(given, bool):
        raise _wrong("dry_run", "dry_run is true or false.")
    return bool(given)


def _wrong(field: str, message: str) -> Problem:
    return Problem(
        Reason.INVALID_PARAMETER, message, errors=[FieldError(field, "not-valid", message)]
    )


def _shown(done: Imported, principal: Principal) -> dict[str, Any]:
    """What the token may hear of: its own accounts."""
    found = done.diff.summary()
    return {
        "version": done.version,
        "added": [each for each in found["added"] if principal.holds(each)],
        "changed": [each for each in found["changed"] if principal.holds(each["account_id"])],
        "disabled": [each for each in found["disabled"] if principal.holds(each)],
        "unchanged": sum(map(principal.holds, done.diff.unchanged)),
        "warnings": [
            {"account_id": warning.key, "line": warning.line, "message": warning.message}
            for warning in done.diff.warnings()
            if principal.holds(warning.key)
        ],
    }
