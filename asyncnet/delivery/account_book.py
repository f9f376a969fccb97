"""The accounts and how they stand, between the settings and the store.

The states lie in the store, so that every command and page sees them; what is kept here is a
copy that spares a query for each message.  A person's hold is never written over.
"""

from collections.abc import Mapping

import structlog

from asyncnet.config import AccountSettings
from asyncnet.delivery import standing
from asyncnet.delivery.accounts import Account, AccountError, for_server, resolve
from asyncnet.delivery.judgement import Judgement
from asyncnet.delivery.lane import Lane
from asyncnet.mail.envelope import Route
from asyncnet.mailqueue.store import AccountState, Store, StoreBroken, StoreError
from asyncnet.providers.presets import Catalogue

log = structlog.get_logger()


class AccountBook:
    """Lanes by Route.key, each with its account and its state."""

    def __init__(
        self, store: Store, accounts: Mapping[str, AccountSettings], providers: Catalogue
    ) -> None:
        self.lanes: dict[str, Lane] = {}
        self._store = store
        self._accounts = accounts
        self._providers = providers
        self._states: dict[str, AccountState] = {}

    async def recall(self) -> None:
        """Read the states that an earlier run left, and look at most trouble anew."""
        self._states = dict(await self._store.account_states())
        for state in list(self._states.values()):
            anew = standing.at_start(state)
            if anew is not None:
                await self._write(anew)

    async def lane(self, route: Route, now: float) -> Lane | None:
        """The lane of a route that may be used; None where its account waits, the store told."""
        lane = self.lanes.get(route.key)
        if lane is None:
            try:
                account = self._account(route)
            except AccountError as error:
                log.error("account unusable", account=route.key, reason=str(error))
                await self._write(standing.unknown(route.key, now, str(error)))
                return None
            lane = self.lanes[route.key] = Lane(route.key, account, self.state(route.key))
        if lane.blocked(now) and not lane.state_unwritten:
            # The store would not have given its mail: somebody released the account meanwhile.
            self._states = dict(await self._store.account_states())
            lane.state = self.state(lane.key)
        return None if lane.blocked(now) else lane

    def state(self, key: str) -> AccountState:
        return self._states.get(key, AccountState(key))

    def forget_idle(self, now: float) -> None:
        """Drop the lanes of jobs' own servers that hold nothing: there may be any number."""
        for lane in list(self.lanes.values()):
            idle = not lane.held and not lane.blocked(now) and not lane.state_unwritten
            if idle and lane.key not in self._accounts:
                del self.lanes[lane.key]

    def trouble(self, lane: Lane, judgement: Judgement, now: float) -> None:
        """Block the lane at once; save_state() tells the store.

        Trouble that several talks have at the same time is one trouble.
        """
        if not lane.blocked(now):
            lane.state = standing.troubled(lane.state, judgement, now)
            lane.state_unwritten = True
            lane.proven = False

    def success(self, lane: Lane) -> None:
        """Note that the account works; save_state() tells the store."""
        lane.proven = True
        if lane.state.state != "ok":
            lane.state = AccountState(lane.key)
            lane.state_unwritten = True

    async def save_state(self, lane: Lane) -> None:
        """Tell the store how the account stands, if that is news; if it cannot be told, later."""
        if not lane.state_unwritten:
            return
        state = lane.state
        log.warning(
            "account waits" if state.state != "ok" else "account works again",
            account=lane.key,
            state=state.state,
            until=state.until,
            failures=state.failures,
            reason=state.reason,
        )
        try:
            await self._write(state)
        except StoreBroken:
            raise
        except StoreError as error:
            log.warning("the store cannot be used now", reason=str(error))
            return
        if lane.state is state:  # else it changed meanwhile, and whoever did that saves it
            lane.state_unwritten = False

    async def _write(self, state: AccountState) -> None:
        current = (await self._store.account_states()).get(state.name)
        if current is not None and standing.held_by_person(current):
            self._states[state.name] = current
            return
        await self._store.set_account_state(state)
        self._states[state.name] = state

    def _account(self, route: Route) -> Account:
        if route.account is not None and route.account in self._accounts:
            return resolve(route.account, self._accounts[route.account], self._providers)
        if route.account is None and route.server is not None:
            return for_server(route.key, route.server, self._providers)
        raise AccountError(standing.UNKNOWN_REASON)
