"""What one socket is allowed and follows: commands in, changes at the hub and answers out."""

from collections.abc import Collection, Iterable, Mapping

from accounts.access import NO_SUCH_ACCOUNT
from accounts.claims import ACCOUNT_ID
from accounts.tokens import Permission, Principal
from marketdata.ticks import Item
from opitios.core.config import get_config
from streaming import auth, protocol
from streaming.buffer import Outbox
from streaming.hub import Hub, UnknownAccount, Unreachable
from streaming.market import MarketHub
from streaming.protocol import (
    EVERYTHING,
    MAX_SYMBOLS,
    Code,
    Command,
    ListAll,
    Ping,
    Refusal,
    Subscribe,
    Unsubscribe,
)
from streaming.seats import get_seats


class Session:
    """One client's rights and subscriptions, from its sign-in to its end."""

    def __init__(self, hub: Hub, market: MarketHub, socket: Outbox, address: str) -> None:
        """`address`: where the client is, empty where nobody knows."""
        self._hub, self._market, self._socket, self._address = hub, market, socket, address
        # As its token says; and without what may not be reached from where it is.
        self._signed: Principal | None = None
        self._seats = get_seats()
        self.principal: Principal | None = None
        self.accounts: set[str] = set()
        self.items: frozenset[Item] = frozenset()
        # Whether every account of the token is meant, those that come later too.
        self._everything = False
        # As whom, and at which state of the roster, that was looked at last.
        self._looked: tuple[Principal | None, int] | None = None

    @property
    def symbols(self) -> set[str]:
        """The symbols that are followed, on whatever channels."""
        return {symbol for _, symbol in self.items}

    def sign_in(self, token: str) -> Principal:
        """Sign in, or renew in place: what the new token does not allow is followed no more.

        Raises Refusal, which changes nothing.
        """
        signed = auth.verified(token)
        principal = auth.admitted(signed, self._address)
        if self.principal is not None and principal.sub != self.principal.sub:
            raise Refusal(Code.ALREADY_AUTHENTICATED, "another subject needs another socket")
        if self.principal is None and not self._seats.sign_in(principal.sub):
            raise Refusal(Code.TOO_MANY_SOCKETS, "close one of yours, or use another process")
        self._signed, self.principal = signed, principal
        self._hub.enter(self._socket, self)
        self._socket.put(protocol.success("authenticated"))
        self._follow_less(principal)
        return principal

    def judge_again(self) -> None:
        """Look whether the client may still be here; accounts barred since are followed no more.

        Raises Refusal.
        """
        if self._signed is not None:
            self.principal = auth.admitted(self._signed, self._address)
            self._follow_less(self.principal)

    def _follow_less(self, principal: Principal) -> None:
        lost = {name for name in self.accounts if not _may_follow(principal, name)}
        kept = self.items if principal.may(Permission.MARKET_DATA) else frozenset()
        if lost or kept != self.items:
            self._drop(lost)
            self._follow_only(kept)
            self._tell()

    async def obey(self, command: Command) -> None:
        """Follow a command of a signed-in client. Raises Refusal, which changes nothing."""
        principal = self.principal
        if principal is None:
            raise Refusal(Code.NOT_AUTHENTICATED)
        match command:
            case Subscribe():
                await self._subscribe(principal, command)
            case Unsubscribe(orders, items):
                # Who leaves one no longer means every account.
                self._everything = self._everything and not orders
                self._drop(self.accounts if EVERYTHING in orders else orders)
                self._follow_only(self.items - items)
                self._tell()
            case ListAll():
                self._tell()
            case Ping():
                self._socket.put(protocol.success("pong"))

    def leave(self) -> None:
        """Forget this socket everywhere."""
        if self.principal is not None:
            self._seats.sign_out(self.principal.sub)
        self._hub.leave(self._socket, self.accounts)
        self._market.leave(self._socket)

    def hear_roster(self, heads: Mapping[str, int], gone: Collection[str]) -> None:
        """Follow no more what the roster lost; who follows everything follows what came to it."""
        lost = self.accounts.intersection(gone)
        came = self._came(heads) if self._everything else {}
        if not lost and not came:
            return
        self.accounts -= lost
        self._follow(self._hub.subscribe_now(self._socket, came), came)

    def _came(self, heads: Mapping[str, int]) -> dict[str, int]:
        principal, looked = self.principal, (self.principal, self._hub.roster_changes)
        if looked == self._looked or principal is None:
            return {}
        self._looked = looked
        new = heads.keys() - self.accounts
        return {name: heads[name] for name in new if _may_follow(principal, name)}

    async def _subscribe(self, principal: Principal, asked: Subscribe) -> None:
        """Judge every account before any is followed: 4404 before 4403, as in REST (api.md §1)."""
        for name in (*asked.orders, *asked.after):
            if name != EVERYTHING and not _is_held(principal, name):
                raise Refusal(Code.NO_SUCH_ACCOUNT, NO_SUCH_ACCOUNT, account_id=name)
        try:
            named = await self._named(principal, asked)
            if asked.orders:
                _require(principal, Permission.ACCOUNT_READ)
            self._judge_items(principal, asked.market)
            await self._judge_after(asked.after, named)
            new = [name for name in named if name not in self.accounts or name in asked.after]
            numbers = await self._hub.subscribe(self._socket, new, asked.after)
        except UnknownAccount as error:
            raise Refusal(Code.NO_SUCH_ACCOUNT, NO_SUCH_ACCOUNT) from error
        except Unreachable as error:
            raise Refusal(Code.INTERNAL, "the accounts cannot be read now: try again") from error
        self._everything = self._everything or EVERYTHING in asked.orders
        self.items |= asked.market
        self._follow(numbers, new)
        self._market.follow(self._socket, self.items)

    def _judge_items(self, principal: Principal, items: frozenset[Item]) -> None:
        if items:
            _require(principal, Permission.MARKET_DATA)
        if len(self.symbols.union(symbol for _, symbol in items)) > MAX_SYMBOLS:
            raise Refusal(Code.LIMIT, f"at most {MAX_SYMBOLS} symbols, each counted once")

    async def _judge_after(self, after: Mapping[str, int], named: Collection[str]) -> None:
        """Let replay begin at a number that the journal has, and not too far back."""
        if not after.keys() <= set(named):
            raise Refusal(Code.SYNTAX, "after names an account that orders does not")
        heads = await self._hub.heads(after) if after else {}
        if any(number > heads[name] for name, number in after.items()):
            raise Refusal(Code.SYNTAX, "after is beyond the last entry: subscribe without it")
        furthest = get_config().stream_replay
        if any(heads[name] - number > furthest for name, number in after.items()):
            told = f"at most {furthest} entries are replayed: subscribe without it, read by REST"
            raise Refusal(Code.TOO_OLD, told)

    def _follow(self, numbers: Mapping[str, int], new: Collection[str]) -> None:
        # From the hub's numbers to here nothing waits: the next entry comes after the snapshot.
        self.accounts.update(new)
        self._tell()
        for frame in protocol.snapshots(numbers):
            self._socket.put(frame)
        if new:
            self._hub.tell_state(self._socket)

    async def _named(self, principal: Principal, asked: Subscribe) -> list[str]:
        """Find the accounts that are meant and open them. Raises UnknownAccount, Unreachable."""
        if EVERYTHING not in asked.orders:
            await self._hub.open(asked.orders)
            return list(asked.orders)
        enabled = await self._hub.enabled_accounts()
        if not asked.after.keys() <= enabled:
            raise UnknownAccount
        named = sorted(name for name in enabled if principal.holds(name))
        try:
            await self._hub.open(named)
        except UnknownAccount:
            # The roster lost one of them meanwhile.
            return await self._named(principal, asked)
        return named

    def _drop(self, names: Iterable[str]) -> None:
        dropped = self.accounts.intersection(names)
        self._hub.unsubscribe(self._socket, dropped)
        self.accounts -= dropped

    def _follow_only(self, items: frozenset[Item]) -> None:
        self.items = items
        self._market.follow(self._socket, items)

    def _tell(self) -> None:
        self._socket.put(protocol.subscription(self.accounts, self.items))


def _is_held(principal: Principal, account_id: str) -> bool:
    # A fleet token holds any id; one that no account can have must not reach the database.
    return ACCOUNT_ID.fullmatch(account_id) is not None and principal.holds(account_id)


def _require(principal: Principal, permission: Permission) -> None:
    if not principal.may(permission):
        raise Refusal(Code.FORBIDDEN, f"the token lacks `{permission}`")


def _may_follow(principal: Principal, account_id: str) -> bool:
    return principal.may(Permission.ACCOUNT_READ) and principal.holds(account_id)
