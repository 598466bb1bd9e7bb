"""A store that is only looked at passes on what is known to leave it as it is, and nothing else."""

import pytest

from laklak.engine.untouched import LEAVES_IT, untouched
from laklak.stores import open_store
from laklak.stores.access import StoreAccess
from laklak.stores.base import Store

OF_A_STORE = {name for name in {*vars(Store), *Store.__annotations__} if not name.startswith("_")}


@pytest.fixture
def store(tmp_path):
    return open_store(StoreAccess(where=str(tmp_path / "store.db")), create=False)


def test_all_that_a_store_can_do_is_passed_on_or_answered_without_it(store):
    answered = {name for name in vars(type(untouched(store))) if not name.startswith("_")}
    assert LEAVES_IT | answered == OF_A_STORE
    assert not LEAVES_IT & answered


def test_what_nobody_has_looked_at_is_refused(store, monkeypatch):
    monkeypatch.setattr(type(store), "erase", lambda self: None, raising=False)
    store.erase()
    with pytest.raises(AttributeError, match="nobody has said that erase leaves a store as it is"):
        untouched(store).erase()


def test_what_is_passed_on_comes_from_the_store(store):
    assert untouched(store).display == store.display
