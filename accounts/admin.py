"""Staff pages of accounts: the roster, what desks see, and (not read-only) who may sign in."""

from django.contrib import admin
from django.contrib.auth.admin import GroupAdmin, UserAdmin
from django.contrib.auth.models import Group, User
from django.utils.safestring import SafeString
from unfold.admin import ModelAdmin
from unfold.forms import AdminPasswordChangeForm, UserChangeForm, UserCreationForm

from accounts import accountpages, fleet, journalpages, pages, rosterpages
from accounts.models import Account, JournalEntry, JournalHead, ProcessRow, RosterVersion
from opitios.core import clock

admin.site.register(Account, accountpages.AccountAdmin)
admin.site.register(JournalEntry, journalpages.JournalEntryAdmin)
admin.site.register(JournalHead, journalpages.JournalAdmin)


@admin.register(ProcessRow)
class ProcessAdmin(pages.ReadOnlyAdmin):
    """Every process as it last described itself."""

    list_display = ("name", "alive", "role", "pid", "started", "seen")
    ordering = ("-seen_at",)
    fields = ("name", "alive", "role", "pid", "started", "seen", "described")

    @admin.display(description="alive")
    def alive(self, row: ProcessRow) -> SafeString:
        """Whether it was heard of lately."""
        return (
            pages.dot("alive", "good")
            if fleet.is_alive(row, clock.now())
            else pages.dot("gone", "idle")
        )

    @admin.display(description="started", ordering="started_at")
    def started(self, row: ProcessRow) -> SafeString | str:
        """When it started."""
        return pages.instant(row.started_at)

    @admin.display(description="last heard of", ordering="seen_at")
    def seen(self, row: ProcessRow) -> SafeString | str:
        """When it last wrote its row."""
        return pages.instant(row.seen_at)

    @admin.display(description="snapshot")
    def described(self, row: ProcessRow) -> SafeString:
        """What it said of itself."""
        return pages.pretty(row.snapshot)


@admin.register(RosterVersion)
class RosterVersionAdmin(rosterpages.ReloadsRoster, pages.ReadOnlyAdmin):
    """Every import of the account file that changed something."""

    actions_list = ("reload",)
    list_display = ("version", "imported", "actor", "source")
    fields = ("version", "imported", "actor", "source", "told")

    @admin.display(description="imported", ordering="imported_at")
    def imported(self, row: RosterVersion) -> SafeString | str:
        """When."""
        return pages.instant(row.imported_at)

    @admin.display(description="summary")
    def told(self, row: RosterVersion) -> SafeString:
        """What was added, changed and disabled."""
        return pages.pretty(row.summary)


admin.site.unregister(User)
admin.site.unregister(Group)


@admin.register(User)
class StaffAdmin(UserAdmin, ModelAdmin):  # type: ignore[misc, type-arg] # unfold ships no types
    """Who may sign in here."""

    form = UserChangeForm
    add_form = UserCreationForm
    change_password_form = AdminPasswordChangeForm


@admin.register(Group)
class StaffGroupAdmin(GroupAdmin, ModelAdmin):  # type: ignore[misc] # unfold ships no types
    """What a group of staff may see."""
