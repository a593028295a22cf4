"""The roster's page that imports the account file again: by operators, never without a reason."""

from dataclasses import dataclass
from typing import Any

from django import forms
from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.urls import reverse
from unfold.decorators import action

from accounts import pages, reloading
from accounts.custodypages import ReasonForm
from accounts.journal import Actor
from accounts.roster.changes import Diff
from accounts.roster.importing import Import, Imported
from accounts.roster.showing import counts_of, lines_of
from opitios.core.errors import Problem

# What the buttons send: only the second one writes.
_LOOK, _DO = "look", "reload"


class ReloadForm(ReasonForm):
    """Why, and whether to apply it or only to look."""

    act = forms.ChoiceField(choices=[(_LOOK, _LOOK), (_DO, _DO)])


@dataclass(frozen=True, slots=True)
class _Outcome:
    """What the page shows of an import: a sentence, its tone, and tables."""

    tone: str
    said: str
    cards: tuple[pages.Card, ...]


class ReloadsRoster:
    """Gives the list of roster versions the button, to whom may use it."""

    def has_reload_permission(self, request: HttpRequest) -> bool:
        """Say whether the reader may import the account file."""
        return bool(request.user.has_perm("accounts.reload_roster"))

    @action(  # type: ignore[untyped-decorator] # unfold ships no types
        description="Reload the account file", url_path="reload", icon="sync",
        permissions=["reload"],
    )  # fmt: skip
    def reload(self, request: HttpRequest) -> HttpResponse:
        """Ask for the reason, then import the file; shows what that changed, or would change."""
        form = ReloadForm(request.POST or None)
        outcome = _outcome(request, form) if form.is_valid() else None
        site = self.admin_site  # type: ignore[attr-defined] # a ModelAdmin
        context = site.each_context(request) | {
            "title": "Reload the account file",
            "form": form,
            "outcome": outcome,
            "back": reverse("admin:accounts_rosterversion_changelist"),
        }
        return TemplateResponse(request, "admin/accounts/rosterversion/reload.html", context)


def _outcome(request: HttpRequest, form: ReloadForm) -> _Outcome:
    asked = Import(
        Actor("staff", request.user.get_username()),
        source="",
        reason=form.cleaned_data["reason"],
        dry_run=form.cleaned_data["act"] == _LOOK,
        kind="roster.reloaded",
        patience_seconds=reloading.PATIENCE_SECONDS,
    )
    try:
        return _told(reloading.import_again(asked), dry_run=asked.dry_run)
    except Problem as refusal:
        return _refused(refusal)


def _told(done: Imported, *, dry_run: bool) -> _Outcome:
    counts = counts_of(done.diff)
    said = (
        f"A reload would make it so: {counts}. Nothing was written."
        if dry_run
        else f"Done: {counts}. It is in the system's journal, with your name."
    )
    columns, none = ("account", "change", "fields"), "The file says what is stored already."
    cards = [pages.Card("Accounts", columns, lines_of(done.diff), none)]
    if done.diff.kept_keys:
        cards.append(_warnings(done.diff))
    return _Outcome("warn" if done.diff.kept_keys else "good", said, tuple(cards))


def _warnings(found: Diff) -> pages.Card:
    rows = [(each.key, each.line, each.message) for each in found.warnings()]
    return pages.Card("Keys that were not taken", ("account", "line", "why"), rows, "", ("line",))


def _refused(problem: Problem) -> _Outcome:
    rows: list[tuple[Any, ...]] = [
        (error.field, error.message, ", ".join(error.allowed or ())) for error in problem.errors
    ]
    columns = ("where", "what", "allowed")
    cards = (pages.Card("What is wrong", columns, rows, ""),) if rows else ()
    return _Outcome("bad", problem.detail, cards)
