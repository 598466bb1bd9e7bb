"""What all parts of one run share."""

from __future__ import annotations

from dataclasses import dataclass

from laklak.engine.addresses import AddressBook
from laklak.report.observer import Observer
from laklak.report.progress import Report
from laklak.settings.order import Order
from laklak.stores.base import Store
from laklak.stores.knowledge import Knowledge
from laklak.stores.unconfirmed import UnsureBook
from laklak.tasks.stopping import Stopper


@dataclass(frozen=True, slots=True)
class Tools:
    """What all parts of one run share: its order, the store and what that knows, and who is told."""

    order: Order
    store: Store
    unsure: UnsureBook
    knowledge: Knowledge
    addresses: AddressBook
    report: Report
    observer: Observer
    stopper: Stopper
