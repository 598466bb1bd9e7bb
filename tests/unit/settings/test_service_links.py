"""Variables that Kubernetes and Docker set for services called like us are no settings; a slip is still told."""

from __future__ import annotations

import pytest
from settings_place import Place

POD = {
    "LAKLAK_SERVICE_HOST": "10.96.12.7",
    "LAKLAK_SERVICE_PORT": "8080",
    "LAKLAK_SERVICE_PORT_HTTP": "8080",
    "LAKLAK_SERVICE_PORT_GRPC_WEB": "8081",
    "LAKLAK_PORT": "tcp://10.96.12.7:8080",
    "LAKLAK_PORT_8080_TCP": "tcp://10.96.12.7:8080",
    "LAKLAK_PORT_8080_TCP_PROTO": "tcp",
    "LAKLAK_PORT_8080_TCP_PORT": "8080",
    "LAKLAK_PORT_8080_TCP_ADDR": "10.96.12.7",
    "LAKLAK_PORT_53_UDP": "udp://10.96.12.7:53",
    "LAKLAK_PORT_53_UDP_ADDR": "10.96.12.7",
    "LAKLAK_PORT_9_SCTP_PROTO": "sctp",
    "LAKLAK_WEB_SERVICE_HOST": "10.96.12.8",
    "LAKLAK_WEB_SERVICE_PORT": "80",
    "LAKLAK_WEB_PORT": "tcp://[fd00::8]:80",
    "LAKLAK_WEB_PORT_80_TCP": "tcp://[fd00::8]:80",
    "LAKLAK_BINANCE_2_PORT_80_TCP_ADDR": "fd00::8",
}
CONTAINER = {
    "LAKLAK_NAME": "/web/laklak",
    "LAKLAK_ENV_PATH": "/usr/bin:/bin",
    "LAKLAK_ENV_NOTE": "two\nlines",
    "LAKLAK_PORT": "tcp://172.17.0.5:8080",
    "LAKLAK_PORT_8080_TCP_START": "tcp://172.17.0.5:8080",
}


@pytest.mark.parametrize("variables", [POD, CONTAINER], ids=["kubernetes", "docker"])
def test_what_a_platform_sets_for_a_service_of_our_name_is_left_alone(place: Place, variables: dict[str, str]) -> None:
    assert place.load(environment=variables).origins == place.load(environment={}).origins


def test_in_dotenv_they_are_left_alone_too(place: Place) -> None:
    place.write(".env", "".join(f"{name}={value}\n" for name, value in POD.items()) + "LAKLAK_WORKERS=3\n")

    assert place.load().workers == 3


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("LAKLAK_BUGDET", "100"),
        ("LAKLAK_PORT", "8086"),
        ("LAKLAK_INFLUXDB_PORT", "8086"),
        ("LAKLAK_HOST", "10.96.12.7"),
        ("LAKLAK_SERVICE", "10.96.12.7"),
        ("LAKLAK_SERVICE_HOSTS", "10.96.12.7"),
        ("LAKLAK_SERVICEPORT", "80"),
        ("LAKLAK_PORT_TCP", "tcp://10.96.12.7:8080"),
        ("LAKLAK_PORT_8080", "tcp://10.96.12.7:8080"),
        ("LAKLAK_PORT_8080_HTTP", "tcp://10.96.12.7:8080"),
        ("LAKLAK_PORT_8080_TCP_HOST", "10.96.12.7"),
        ("LAKLAK_service_host", "10.96.12.7"),
        ("LAKLAK_NAME", "mine"),
        ("LAKLAK_ENV_PATH", "/bin"),
    ],
)
def test_a_near_miss_is_still_told(place: Place, name: str, value: str) -> None:
    assert str(place.error(environment={name: value})) == f"unknown setting {name!r} in the environment"


def test_a_service_called_influxdb_sets_no_port_of_ours(place: Place) -> None:
    pod = {
        "INFLUXDB_SERVICE_HOST": "10.96.0.9",
        "INFLUXDB_PORT": "tcp://10.96.0.9:8086",
        "INFLUXDB_PORT_8086_TCP_ADDR": "10.96.0.9",
        "INFLUXDB_HOST": "db.example",
    }

    assert place.load(environment=pod).store == "influxdb://db.example:8086/market_data"
    assert place.load(environment={**pod, "INFLUXDB_HOST": ""}).store == place.load(environment={}).store
