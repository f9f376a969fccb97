"""Where a message goes: servers, routes and the mode that a port implies."""

import pytest

from asyncnet.mail.envelope import Route, Server, TlsMode, tls_by_port


@pytest.mark.parametrize(
    ("port", "mode"), [(465, "implicit"), (587, "starttls"), (25, "starttls"), (2525, "starttls")]
)
def test_only_465_speaks_tls_at_once(port: int, mode: TlsMode) -> None:
    assert tls_by_port(port) == mode


@pytest.mark.parametrize(
    ("host", "written"),
    [
        ("smtp.example.org", "smtp.example.org:587"),
        ("192.0.2.1", "192.0.2.1:587"),
        ("2001:db8::1", "[2001:db8::1]:587"),
    ],
)
def test_a_server_is_written_as_host_and_port(host: str, written: str) -> None:
    assert str(Server(host, 587, "starttls")) == written


def test_routes_that_may_not_share_a_connection_have_different_keys() -> None:
    routes = [
        Route(),
        Route(account="work"),
        Route(account="home"),
        Route(server=Server("smtp.example.org", 587, "starttls")),
        Route(server=Server("smtp.example.org", 587, "none")),
        Route(server=Server("smtp.example.org", 465, "implicit")),
        Route(server=Server("smtp.example.com", 587, "starttls")),
    ]
    assert len({route.key for route in routes}) == len(routes)


def test_the_key_of_an_account_is_its_name() -> None:
    assert Route(account="work").key == "work"
