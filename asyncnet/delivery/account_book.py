"""The accounts and how they stand, between the settings and the store.

The states lie in the store, so that every command and page sees them; what is kept here is a
copy that spares a query for each message.  A person's hold is never written over: whoever writes
a state looks first at what is there, and both are done under one lock.
"""

import asyncio
from collections.abc import Mapping

import structlog

from asyncnet.config.sections import AccountSettings
from asyncnet.delivery import standing
from asyncnet.delivery.accounts import Account, AccountError, for_server, resolve
from asyncnet.delivery.judgement import Judgement
from asyncnet.delivery.lane import Lane
from asyncnet.delivery.store_trouble import StoreTrouble
from asyncnet.mail.envelope import Route
from asyncnet.mail.verdict import Kind
from asyncnet.mailqueue.store import AccountState, Store, StoreBroken, StoreError
from asyncnet.providers.presets import Catalogue

log = structlog.get_logger()


class AccountBook:
    """Lanes by Route.key, each with its account and its state."""

    def __init__(
        self,
        store: Store,
        accounts: Mapping[str, AccountSettings],
        providers: Catalogue,
        trouble: StoreTrouble | None = None,
    ) -> None:
        self.lanes: dict[str, Lane] = {}
        self._store = store
        self._accounts = accounts
        self._providers = providers
        self._trouble = trouble or StoreTrouble()
        self._states: dict[str, AccountState] = {}
        self._writing = asyncio.Lock()

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

    async def standings(self) -> dict[str, AccountState]:
        """How every account stands: those of the settings, and all that anything is known of."""
        known = {name: AccountState(name) for name in self._accounts}
        stored = await self._store.account_states()
        news = {lane.key: lane.state for lane in self.lanes.values() if lane.state_unwritten}
        return {**known, **stored, **news}

    async def hold(self, name: str, now: float, reason: str = "") -> AccountState:
        """Let nothing of the account begin until a person releases it; its new state.

        Raises StoreError, and then nothing has changed.
        """
        async with self._writing:
            state = standing.held(await self._now(name), now, reason)
            await self._put(state)
        return state

    async def release(self, name: str) -> AccountState:
        """End a hold or a wait: the account is tried at once; its new state.  Raises as hold()."""
        async with self._writing:
            state = standing.released(await self._now(name))
            await self._put(state)
        return state

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
            if judgement.kind is Kind.THROTTLE:
                lane.slow_down()

    def success(self, lane: Lane) -> None:
        """Note that the account works; save_state() tells the store."""
        lane.proven = True
        lane.speed_up()
        if lane.state.state != "ok" and not standing.held_by_person(lane.state):
            lane.state = AccountState(lane.key)
            lane.state_unwritten = True

    async def save_state(self, lane: Lane) -> None:
        """Tell the store how the account stands, if that is news; if it cannot be told, later."""
        if not lane.state_unwritten:
            return
        try:
            async with self._writing:
                if lane.state_unwritten:  # else a person's word took its place
                    await self._save(lane)
        except StoreBroken:
            raise
        except StoreError as error:
            self._trouble.met(error)

    async def _save(self, lane: Lane) -> None:
        state = lane.state
        log.warning(
            "account waits" if state.state != "ok" else "account works again",
            account=lane.key,
            state=state.state,
            until=state.until,
            failures=state.failures,
            reason=state.reason,
        )
        kept = await self._put_unless_held(state)
        if lane.state is state:  # else it changed meanwhile, and whoever did that saves it
            lane.state = kept
            lane.state_unwritten = False

    async def _write(self, state: AccountState) -> None:
        async with self._writing:
            await self._put_unless_held(state)

    async def _put_unless_held(self, state: AccountState) -> AccountState:
        """Write a state that is not a person's; the one that stands then."""
        current = (await self._store.account_states()).get(state.name)
        if current is not None and standing.held_by_person(current):
            state = current
        else:
            await self._store.set_account_state(state)
        self._states[state.name] = state
        return state

    async def _now(self, name: str) -> AccountState:
        return (await self.standings()).get(name, AccountState(name))

    async def _put(self, state: AccountState) -> None:
        """Write a person's word; the lane learns it when it is on the disk."""
        await self._store.set_account_state(state)
        self._states[state.name] = state
        lane = self.lanes.get(state.name)
        if lane is not None:
            lane.state = state
            lane.state_unwritten = False

    def _account(self, route: Route) -> Account:
        if route.account is not None and route.account in self._accounts:
            return resolve(route.account, self._accounts[route.account], self._providers)
        if route.account is None and route.server is not None:
            return for_server(route.key, route.server, self._providers)
        raise AccountError(standing.UNKNOWN_REASON)
