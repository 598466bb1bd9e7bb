"""Budgets and pages for one venue, or for several at once."""

from __future__ import annotations

import pytest

from laklak.archives import ARCHIVES
from laklak.errors import SettingsError
from laklak.settings import load, table
from laklak.settings.load import check_unnamed, load_settings
from laklak.settings.spec import SPECS, units_of
from laklak.venues import VENUES


@pytest.fixture
def two(monkeypatch):
    """A second venue is built, with smaller pages, and no third one."""
    for name in set(VENUES) - {"binance", "bybit"}:
        monkeypatch.delitem(VENUES, name)
        monkeypatch.delitem(ARCHIVES, name, raising=False)
    monkeypatch.setitem(VENUES, "bybit", VENUES["binance"])
    own = {key.replace("binance", "bybit"): one for key, one in SPECS.items() if key.startswith("binance.")}
    own["bybit.chunk"] = table.Spec(parse=table.whole(1, 200, "auto"), default="200", help="candles asked at once")
    monkeypatch.setattr(load, "SPECS", {**SPECS, **own})


def settings_of(tmp_path, *, toml="", environment=None, **flags):
    (tmp_path / "laklak.toml").write_text(toml)
    return load_settings(flags, environment=environment or {}, folder=tmp_path, user_config=tmp_path / "none.toml")


def budgets(settings):
    return {name: settings.venues[name].budget for name in ("binance", "bybit")}


@pytest.mark.parametrize(
    ("text", "budget"), [("1200", 1200), ("max", "max"), ("50%", "50%"), ("12.5 %", "12.5%"), ("100%", "100%")]
)
def test_a_budget_is_a_number_a_share_or_all(tmp_path, text, budget):
    assert settings_of(tmp_path, budget=text).venues["binance"].budget == budget
    assert settings_of(tmp_path, budget=f"binance={text}").venues["binance"].budget == budget


@pytest.mark.parametrize("text", ["0%", "101%", "-5%", "%", "5e1%", "half"])
def test_a_share_that_is_none_is_named(tmp_path, text):
    with pytest.raises(SettingsError, match=r"a whole number from 1 to 1000000, or max, or a share such as 50%"):
        settings_of(tmp_path, budget=text)


@pytest.mark.parametrize(("budget", "units"), [(700, 700), ("max", 2400), ("50%", 1200), ("12.5%", 300), ("0.01%", 1)])
def test_a_share_is_of_what_the_venue_documents(budget, units):
    assert units_of(budget, 2400) == units


def test_each_venue_gets_its_own(tmp_path, two):
    settings = settings_of(tmp_path, budget="binance=1200, bybit=50%", chunk="bybit=auto,binance=499")

    assert budgets(settings) == {"binance": 1200, "bybit": "50%"}
    assert (settings.venues["binance"].chunk, settings.venues["bybit"].chunk) == (499, "auto")
    assert settings.origins["bybit.budget"] == "flag --budget"
    check_unnamed(settings, ["binance", "bybit"])


def test_a_venue_that_is_not_named_keeps_its_own(tmp_path, two):
    settings = settings_of(tmp_path, budget="binance=600", toml="[bybit]\nbudget = 900\n")

    assert budgets(settings) == {"binance": 600, "bybit": 900}


def test_they_may_stand_in_the_file_and_in_the_environment(tmp_path, two):
    toml = 'budget = "binance=100,bybit=200"\n[bybit]\nbudget = 300\n'

    assert budgets(settings_of(tmp_path, toml=toml)) == {"binance": 100, "bybit": 300}
    environment = {"LAKLAK_BUDGET": "binance=400", "LAKLAK_BYBIT_BUDGET": "500"}
    assert budgets(settings_of(tmp_path, toml=toml, environment=environment)) == {"binance": 400, "bybit": 500}


def test_a_bare_number_is_for_the_one_venue_that_is_asked_for(tmp_path, two):
    settings = settings_of(tmp_path, budget="77", toml="[bybit]\nbudget = 900\n")

    assert budgets(settings) == {"binance": 77, "bybit": 77}
    check_unnamed(settings, ["bybit"])


def test_a_bare_number_for_several_venues_is_refused_and_spelled_as_it_may_be_meant(tmp_path, two):
    settings = settings_of(tmp_path, budget="77")

    with pytest.raises(SettingsError, match=r"budget = 77 \(flag --budget\): 2 venues are asked for") as caught:
        check_unnamed(settings, ["bybit", "binance"])
    assert "say whose it is: budget binance=77,bybit=50%;" in caught.value.hint


@pytest.mark.parametrize("text", ["max", "50%"])
def test_all_and_a_share_are_meant_for_each(tmp_path, two, text):
    settings = settings_of(tmp_path, budget=text)

    check_unnamed(settings, ["binance", "bybit"])
    assert budgets(settings) == {"binance": text, "bybit": text}


def test_a_page_that_is_too_large_for_a_venue_is_wrong_only_where_that_is_asked_for(tmp_path, two):
    settings = settings_of(tmp_path, chunk="1000")

    check_unnamed(settings, ["binance"])
    with pytest.raises(SettingsError, match=r"bybit.chunk = '1000' .*from 1 to 200"):
        check_unnamed(settings, ["bybit"])


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("binanse=5", "'binanse' is no venue .did you mean binance"),
        ("okx=5", "'okx' is not built yet"),
        ("binance=5,7", "'7' names no venue"),
        ("binance=5,", "'' names no venue"),
        ("binance=5,binance=6", "binance is named twice"),
        ("binance=", "a whole number"),
        ("binance=5=6", "a whole number"),
    ],
)
def test_what_cannot_be_read_says_where_it_stands(tmp_path, text, reason):
    with pytest.raises(SettingsError, match=reason):
        settings_of(tmp_path, budget=text)
