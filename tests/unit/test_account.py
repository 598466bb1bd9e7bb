"""The account of what is wanted."""

from hypothesis import given
from hypothesis import strategies as st

from laklak.model.account import SUM, Account

counts = st.integers(0, 1000)
accounts = st.builds(Account, *[counts] * 10)


@given(st.lists(accounts, max_size=4))
def test_the_sum_of_accounts_is_an_account_that_adds_up(several):
    total = sum(several, Account())

    assert total.wanted == sum(total.named(SUM[1:-1]).values())
    assert total.missing == sum(one.missing for one in several)
    assert total.holes_filled == sum(one.holes_filled for one in several)
