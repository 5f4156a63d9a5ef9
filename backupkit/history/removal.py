"""What is removed on purpose: by age, or all of one appliance."""

import secrets

import pandas as pd

from backupkit.history.choice import ALL
from backupkit.history.store import Store
from backupkit.tables import POLLS, SCHEDULES

__all__ = ["forget", "prune"]


def prune(store: Store, before: pd.Timestamp) -> dict[str, int]:
    """Remove what was learnt before an instant; see `backupkit.History.prune`."""
    store.guard("written", store.migrate)
    plans = _in_force(store, before)
    if len(plans):
        rows, run = SCHEDULES.to_arrow(plans), secrets.token_hex(8)
        store.guard("written", lambda: store.tables[SCHEDULES.name].write(rows, run=run))
    text = f"{before.tz_convert('UTC'):%Y-%m-%dT%H:%M:%S.%f}Z"
    # the polls first: what no poll vouches for is not read, should it end in the middle
    order = ("polls", "observations", "schedules")
    return store.drop(
        f"learnt before {before:%Y-%m-%d %H:%M} UTC",
        {name: f"{store.tables[name].time} < '{text}'" for name in order},
    )


def _in_force(store: Store, before: pd.Timestamp) -> pd.DataFrame:
    """Give the schedules that held at an instant, as the first good visit since then saw them."""
    polls, plans = (table.from_arrow(store.told(table, ALL)) for table in (POLLS, SCHEDULES))
    good = polls[polls["ok"].eq(other=True).fillna(value=False) & (polls["polled_at"] >= before)]
    first = good.groupby("appliance")["polled_at"].min()
    if first.empty:
        return SCHEDULES.empty()
    key = ["appliance", "schedule"]
    old = plans[plans["seen_at"] < before].sort_values("seen_at", kind="stable")
    held = old.drop_duplicates(key, keep="last")
    held = held.assign(seen_at=held["appliance"].map(first)).dropna(subset=["seen_at"])
    seen = [*key, "seen_at"]  # what that visit saw changed it told itself
    there = pd.MultiIndex.from_frame(held[seen]).isin(pd.MultiIndex.from_frame(plans[seen]))
    return SCHEDULES.conform(held[~there])


def forget(store: Store, appliance: str) -> dict[str, int]:
    """Remove all of one appliance; see `backupkit.History.forget`."""
    store.guard("written", store.migrate)
    quoted = appliance.replace("'", "''")
    order = ("polls", "observations", "schedules")
    return store.drop("all of one appliance", dict.fromkeys(order, f"appliance = '{quoted}'"))
