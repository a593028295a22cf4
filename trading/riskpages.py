"""Staff pages of halts and risk limits: set and lifted by operators, never without a reason."""

from collections.abc import Callable
from typing import Any
from uuid import UUID

from django import forms
from django.contrib import messages
from django.db.models import QuerySet
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import reverse
from django.utils.safestring import SafeString
from unfold.contrib.filters.admin import DropdownFilter
from unfold.decorators import action
from unfold.widgets import (
    UnfoldAdminSelectWidget,
    UnfoldAdminTextInputWidget,
    UnfoldBooleanSwitchWidget,
)

from accounts import custody, pages
from accounts.custodypages import ReasonForm
from accounts.journal import Actor
from accounts.models import DEFAULT_LIMITS, Halt, Limits
from trading import halts, limits
from trading.halts import Target

# Does what the form says, in the name of who is signed in; the sentence for the top of the page.
Act = Callable[[Actor, dict[str, Any]], str]

_HALTING = (
    "Nothing new of it is sent from then on. Orders that wait are denied, and new ones; cancels "
    "pass. A symbol without an account is halted in all of them."
)
_LIFTING = "New orders are taken and sent again. What was denied meanwhile stays denied."
_LIMITING = "Orders accepted from then on are judged by it. A field left empty is no limit."


class HaltForm(forms.Form):
    """What to halt, how, and why."""

    # Nobody halts everything by leaving a field empty.
    scope = forms.ChoiceField(
        label="What",
        choices=[(Halt.Scope.ACCOUNT, "an account"), (Halt.Scope.SYMBOL, "a symbol"),
                 (Halt.Scope.GLOBAL, "everything")],
        widget=UnfoldAdminSelectWidget,
    )  # fmt: skip
    account = forms.CharField(
        label="Account", required=False, max_length=64, widget=UnfoldAdminTextInputWidget
    )
    symbol = forms.CharField(
        label="Symbol", required=False, max_length=21, widget=UnfoldAdminTextInputWidget
    )
    mode = forms.ChoiceField(
        label="Mode",
        choices=[(Halt.Mode.HALT, "halt: nothing new"),
                 (Halt.Mode.REDUCE_ONLY, "reduce_only: what makes a position smaller")],
        widget=UnfoldAdminSelectWidget,
    )  # fmt: skip
    cancel_orders = forms.BooleanField(
        label="Cancel what is open", required=False, widget=UnfoldBooleanSwitchWidget
    )
    reason = ReasonForm.base_fields["reason"]


class LimitsForm(forms.Form):
    """Every limit of an account, and why they change."""

    account = forms.CharField(
        label="Account",
        max_length=64,
        initial=DEFAULT_LIMITS,
        help_text=f"{DEFAULT_LIMITS} is every account.",
        widget=UnfoldAdminTextInputWidget,
    )
    max_quantity = forms.DecimalField(
        label="Shares of one order", required=False, widget=UnfoldAdminTextInputWidget
    )
    max_notional = forms.DecimalField(
        label="USD of one order", required=False, widget=UnfoldAdminTextInputWidget
    )
    orders_per_minute = forms.IntegerField(
        label="Orders within a minute", required=False, widget=UnfoldAdminTextInputWidget
    )
    orders_per_day = forms.IntegerField(
        label="Orders on a New York day", required=False, widget=UnfoldAdminTextInputWidget
    )
    symbols_allowed = forms.CharField(
        label="Only these symbols", required=False, help_text="Such as AAPL, MSFT.",
        widget=UnfoldAdminTextInputWidget,
    )  # fmt: skip
    symbols_denied = forms.CharField(
        label="Not these symbols", required=False, widget=UnfoldAdminTextInputWidget
    )
    duplicate_seconds = forms.IntegerField(
        label="The same order not again within so many seconds", required=False,
        widget=UnfoldAdminTextInputWidget,
    )  # fmt: skip
    reason = forms.CharField(
        label="Why?", max_length=custody.LONGEST_REASON, widget=UnfoldAdminTextInputWidget
    )


class _Asks(pages.ReadOnlyAdmin):
    """Pages that ask for a form and a reason, then act."""

    # The list's page, and the right that its buttons need.
    list_page: str
    right: str

    def has_act_permission(self, request: HttpRequest, object_id: str | None = None) -> bool:
        """Say whether the reader may use the buttons."""
        return bool(request.user.has_perm(self.right))

    def ask(
        self, request: HttpRequest, form: forms.Form, act: Act, *, verb: str, what: str
    ) -> HttpResponse:
        """Show the form; once it is good, act and go back to the list."""
        back = reverse(f"admin:{self.list_page}")
        if form.is_valid() and _done(request, form, act):
            return HttpResponseRedirect(back)
        context = self.admin_site.each_context(request) | {
            "title": verb, "form": form, "verb": verb, "what": what, "back": back,
        }  # fmt: skip
        return TemplateResponse(request, "admin/asked.html", context)


def _done(request: HttpRequest, form: forms.Form, act: Act) -> bool:
    actor = Actor("staff", request.user.get_username())
    try:
        said = act(actor, form.cleaned_data)
    except custody.Refused as refusal:
        form.add_error(None, f"{refusal}.".capitalize())
        return False
    messages.success(request, said)
    return True


class StandingFilter(DropdownFilter):  # type: ignore[misc] # unfold ships no types
    """Halts that stand, or that were lifted."""

    title = "standing or lifted"
    parameter_name = "standing"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        """List the halves."""
        return [("yes", "standing"), ("no", "lifted")]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Halt]) -> QuerySet[Halt]:
        """Keep one half."""
        if self.value() not in {"yes", "no"}:
            return queryset
        return queryset.filter(lifted_at__isnull=self.value() == "yes")


class HaltAdmin(_Asks):
    """Every halt there was; a button to set one, and on each that stands one to lift it."""

    list_page, right = "accounts_halt_changelist", "accounts.set_halt"
    list_display = ("set", "state", "of", "mode", "actor", "reason", "lifted")
    list_display_links = ("set",)
    list_filter = (StandingFilter,)
    ordering = ("-id",)
    sortable_by = ()
    fields = ("state", "of", "mode", "cancels", "reason", "set", "who", "lifted", "lifted_reason")
    actions_list = ("put",)
    actions_detail = ("lift",)

    @action(  # type: ignore[untyped-decorator] # unfold ships no types
        description="Set a halt", url_path="set", icon="front_hand", permissions=["act"]
    )
    def put(self, request: HttpRequest) -> HttpResponse:
        """Ask what to halt and why."""
        form = HaltForm(request.POST or None, initial={"account": request.GET.get("account", "")})
        return self.ask(request, form, _halt, verb="Set a halt", what=_HALTING)

    @action(  # type: ignore[untyped-decorator] # unfold ships no types
        description="Lift", url_path="lift", icon="play_circle", permissions=["act"]
    )
    def lift(self, request: HttpRequest, object_id: str) -> HttpResponse:
        """Ask why it is lifted."""
        halt = self.get_object(request, object_id)
        if halt is None:
            raise Http404
        form = ReasonForm(request.POST or None)
        return self.ask(request, form, _lifting(halt.pk), verb="Lift the halt", what=_LIFTING)

    def get_actions_detail(self, request: HttpRequest, object_id: str) -> list[Any]:
        """Leave the button out where there is nothing to lift."""
        halt = self.get_object(request, object_id)
        found: list[Any] = super().get_actions_detail(request, object_id)
        return found if halt is not None and halt.lifted_at is None else []

    def get_object(self, request: HttpRequest, object_id: str, from_field: Any = None) -> Any:
        """Find a halt; None for what is no id of one."""
        try:
            UUID(object_id)
        except ValueError:
            return None
        return super().get_object(request, object_id, from_field)

    def set(self, halt: Halt) -> SafeString | str:
        """When it was set."""
        return pages.instant(halt.set_at)

    def state(self, halt: Halt) -> SafeString:
        """Whether it stands."""
        if halt.lifted_at is not None:
            return pages.dot("lifted", "idle")
        return pages.dot("standing", "hold")

    def of(self, halt: Halt) -> str:
        """What it is over."""
        return " in ".join(filter(None, (halt.symbol, halt.account_id))) or "everything"

    def who(self, halt: Halt) -> str:
        """Who set it."""
        return f"{halt.actor} ({halt.actor_kind})"

    def cancels(self, halt: Halt) -> SafeString | str:
        """Until when what came is cancelled."""
        return pages.NOTHING if halt.cancel_before is None else pages.instant(halt.cancel_before)

    def lifted(self, halt: Halt) -> str:
        """When it was lifted, and by whom."""
        if halt.lifted_at is None:
            return pages.NOTHING
        return f"{halt.lifted_at:%Y-%m-%d %H:%M:%S} by {halt.lifted_by}"


def _halt(actor: Actor, said: dict[str, Any]) -> str:
    account_id, symbol = said["account"] or None, said["symbol"] or None
    if account_id is not None:
        custody.account_of(account_id)
    target = Target(account_id, symbol)
    if target.scope != said["scope"]:
        raise custody.Refused("what is to be halted and the names given do not go together")
    done = halts.set_halt(
        target,
        mode=said["mode"],
        actor=actor,
        reason=said["reason"],
        cancel_orders=said["cancel_orders"],
    )
    flying = len(halts.in_flight(done.row))
    return f"It stands. {flying} orders were being sent; nothing more of it is claimed."


def _lifting(halt_id: UUID) -> Act:
    def act(actor: Actor, said: dict[str, Any]) -> str:
        halts.lift(halt_id, actor=actor, reason=said["reason"])
        return "It is lifted."

    return act


class LimitsAdmin(_Asks):
    """What accounts may order at most; a button that changes it."""

    list_page, right = "accounts_limits_changelist", "accounts.set_limits"
    list_display = ("account", "limited", "changed", "changed_by", "reason")
    sortable_by = ()
    list_display_links = ("account",)
    search_fields = ("account_id",)
    fields = ("account", "limited", "changed", "changed_by", "reason", "version")
    actions_list = ("put",)
    actions_detail = ("change_these",)

    @action(  # type: ignore[untyped-decorator] # unfold ships no types
        description="Limit an account", url_path="set", icon="speed", permissions=["act"]
    )
    def put(self, request: HttpRequest) -> HttpResponse:
        """Ask for an account's limits, and why."""
        form = LimitsForm(request.POST or None)
        return self.ask(request, form, _limit_first, verb="Limit an account", what=_LIMITING)

    @action(  # type: ignore[untyped-decorator] # unfold ships no types
        description="Change", url_path="change-these", icon="speed", permissions=["act"]
    )
    def change_these(self, request: HttpRequest, object_id: str) -> HttpResponse:
        """Ask for the limits as they are to be, and why."""
        row = self.get_object(request, object_id)
        if row is None:
            raise Http404
        form = LimitsForm(request.POST or None, initial=_initial(row))
        return self.ask(request, form, _limit, verb="Change the limits", what=_LIMITING)

    def account(self, row: Limits) -> str:
        """Whose they are."""
        return str(row)

    def limited(self, row: Limits) -> str:
        """Its limits in a line."""
        return limits.line(limits.as_json(row))

    def changed(self, row: Limits) -> SafeString | str:
        """When they were changed last."""
        return pages.instant(row.changed_at)


def _initial(row: Limits) -> dict[str, Any]:
    told = limits.as_json(row)
    shown = {name: ", ".join(v) if isinstance(v, list) else v for name, v in told.items()}
    return {"account": row.account_id, **shown}


def _limit_first(actor: Actor, said: dict[str, Any]) -> str:
    """Limit an account that has none yet: an empty field must not take one away unseen."""
    row = Limits.objects.filter(pk=said["account"]).first()
    if row is not None and any(value is not None for value in limits.as_json(row).values()):
        raise custody.Refused(f"{row} has limits already: change them on their own page")
    return _limit(actor, said)


def _limit(actor: Actor, said: dict[str, Any]) -> str:
    changed = {name: _value(said[name]) for name in limits.COLUMNS}
    limits.change(said["account"], changed, actor=actor, reason=said["reason"])
    return f"The limits of {said['account']} are changed. It is in the system's journal."


def _value(given: Any) -> Any:
    if not isinstance(given, str):
        return given
    return [word for word in given.upper().replace(",", " ").split() if word] or None
