"""Suspending and resuming an account from its page: by operators, and never without a reason."""

from collections.abc import Callable
from datetime import datetime
from typing import Any

from django import forms
from django.contrib import messages
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import reverse
from unfold.decorators import action
from unfold.widgets import UnfoldAdminTextInputWidget

from accounts import custody
from accounts.journal import Actor
from accounts.models import Account

Act = Callable[..., datetime]

# What the button does, in the words of the page that asks for the reason.
_SUSPENDING = (
    "It sends nothing new from then on. Orders that wait are denied; cancels and reads pass, and "
    "what is at the broker stays there."
)
_RESUMING = "It may send orders again from then on. What was denied meanwhile stays denied."


class ReasonForm(forms.Form):
    """Why: one line, which the account's trader may read in its journal."""

    reason = forms.CharField(
        label="Why? The account's trader may read it.",
        max_length=custody.LONGEST_REASON,
        widget=UnfoldAdminTextInputWidget({"autofocus": True}),
    )

    def clean_reason(self) -> str:
        """Judge it as the commands do. Raises ValidationError."""
        try:
            return custody.reason_of(self.cleaned_data["reason"])
        except custody.Refused as refusal:
            raise forms.ValidationError(str(refusal)) from refusal


class SuspendsAccounts:
    """Gives an account's page the two buttons, to whom may use them: one at a time applies."""

    def has_suspend_permission(self, request: HttpRequest, object_id: str | None = None) -> bool:
        """Say whether the reader may do either."""
        return bool(request.user.has_perm("accounts.suspend_account"))

    @action(  # type: ignore[untyped-decorator] # unfold ships no types
        description="Suspend", url_path="suspend", icon="pause_circle",
        permissions=["suspend"],
    )  # fmt: skip
    def suspend(self, request: HttpRequest, object_id: str) -> HttpResponse:
        """Ask for the reason, then let the account send nothing new."""
        return self._act(request, object_id, custody.suspend, "Suspend", _SUSPENDING)

    @action(  # type: ignore[untyped-decorator] # unfold ships no types
        description="Resume", url_path="resume", icon="play_circle",
        permissions=["suspend"],
    )  # fmt: skip
    def resume(self, request: HttpRequest, object_id: str) -> HttpResponse:
        """Ask for the reason, then let the account send orders again."""
        return self._act(request, object_id, custody.resume, "Resume", _RESUMING)

    def get_actions_detail(self, request: HttpRequest, object_id: str) -> list[Any]:
        """Leave out the button that would be refused."""
        found = super().get_actions_detail(request, object_id)  # type: ignore[misc] # a ModelAdmin
        suspended = Account.objects.filter(pk=object_id, suspended_at__isnull=False).exists()
        idle = "suspend" if suspended else "resume"
        return [one for one in found if one.action_name != f"accounts_account_{idle}"]

    def _act(
        self, request: HttpRequest, account_id: str, act: Act, verb: str, what: str
    ) -> HttpResponse:
        if self.get_object(request, account_id) is None:  # type: ignore[attr-defined] # a ModelAdmin
            raise Http404
        form = ReasonForm(request.POST or None)
        page = reverse("admin:accounts_account_change", args=[account_id])
        if form.is_valid() and _done(request, account_id, act, form):
            return HttpResponseRedirect(page)
        site = self.admin_site  # type: ignore[attr-defined] # a ModelAdmin
        context = site.each_context(request) | {
            "title": f"{verb} {account_id}", "form": form, "verb": verb, "what": what, "back": page,
        }  # fmt: skip
        return TemplateResponse(request, "admin/asked.html", context)


def _done(request: HttpRequest, account_id: str, act: Act, form: ReasonForm) -> bool:
    """Act in the name of who is signed in, and say so; False where it was refused."""
    actor = Actor("staff", request.user.get_username())
    try:
        act(account_id, actor=actor, reason=form.cleaned_data["reason"])
    except custody.Refused as refusal:
        form.add_error("reason", str(refusal))
        return False
    word = "suspended" if act is custody.suspend else "resumed"
    messages.success(request, f"{account_id} is {word}. It is in its journal, with your name.")
    return True
