from __future__ import annotations

import ipaddress
import socket
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from apps.kernel.outbound import (
    OutboundBlocked,
    OutboundConnectionFailed,
    OutboundPolicy,
    check_url,
    default_policy,
    is_public,
    resolve,
)

PUBLIC = OutboundPolicy()
LOOPBACK = OutboundPolicy(allow=(ipaddress.ip_network("127.0.0.0/8"),), allow_http=True)


def answers(*addresses: str) -> Any:
    """A name server that answers every name with these addresses."""

    def getaddrinfo(host: str, port: int, **options: Any) -> list[tuple[Any, ...]]:
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, port)) for address in addresses]

    return getaddrinfo


# The edges of every blocked range: the first and the last address, and their neighbours outside where public.
BLOCKED = """
0.0.0.0 0.255.255.255 10.0.0.0 10.255.255.255 100.64.0.0 100.127.255.255 127.0.0.0 127.0.0.1 127.255.255.255
168.63.129.16 169.254.0.0 169.254.169.254 169.254.255.255 172.16.0.0 172.31.255.255 192.0.0.0 192.0.0.255
192.0.2.0 192.0.2.255 192.88.99.0 192.88.99.255 192.168.0.0 192.168.255.255 198.18.0.0 198.19.255.255
198.51.100.0 198.51.100.255 203.0.113.0 203.0.113.255 224.0.0.0 239.255.255.255 240.0.0.0 255.255.255.255
:: ::1 ::ffff ::7f00:1 ::127.0.0.1 ::8.8.8.8 ff:: 64:ff9b:1:: 64:ff9b:1:ffff:ffff:ffff:ffff:ffff 100:: 100::1
fe80:: fe80::1 febf:ffff:ffff:ffff:ffff:ffff:ffff:ffff fec0:: fec0::1 feff::1 fc00:: fd00:ec2::254
fdff:ffff:ffff:ffff:ffff:ffff:ffff:ffff ff00:: ff02::1 ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff
2001:: 2001::1 2001:1ff:ffff:ffff:ffff:ffff:ffff:ffff 2001:db8:: 2001:db8:ffff:ffff:ffff:ffff:ffff:ffff
3fff:: 3fff:fff:ffff:ffff:ffff:ffff:ffff:ffff 5f00:: 5f00::1 4000:: 1fff:: e000::1
::ffff:127.0.0.1 ::ffff:10.0.0.1 ::ffff:169.254.169.254 ::ffff:168.63.129.16
64:ff9b::127.0.0.1 64:ff9b::10.0.0.1 64:ff9b::a9fe:a9fe 2002:7f00:1:: 2002:a00:1::1 2002:a9fe:a9fe::
2002:a83f:8110::1 fe80::1%eth0 2606:4700::1%1
"""

ALLOWED = """
1.0.0.0 9.255.255.255 11.0.0.0 100.63.255.255 100.128.0.0 126.255.255.255 128.0.0.0 168.63.129.15
168.63.129.17 169.253.255.255 169.255.0.0 172.15.255.255 172.32.0.0 191.255.255.255 192.0.1.0 192.0.3.0
192.88.98.255 192.88.100.0 192.167.255.255 192.169.0.0
198.17.255.255 198.20.0.0 198.51.99.255 198.51.101.0 203.0.112.255
203.0.114.0 223.255.255.255 8.8.8.8 2001:200:: 2001:db7:ffff:ffff:ffff:ffff:ffff:ffff 2001:db9::
2606:4700::1111 2003::1 3ffe:ffff::1 2a00:1450:4001::1 ::ffff:8.8.8.8 64:ff9b::8.8.8.8 2002:808:808::1
"""


@pytest.mark.parametrize("address", BLOCKED.split())
def test_addresses_that_are_not_public_are_blocked(address: str):
    assert not is_public(ipaddress.ip_address(address))
    assert not PUBLIC.permits(ipaddress.ip_address(address))


@pytest.mark.parametrize("address", ALLOWED.split())
def test_public_addresses_are_allowed(address: str):
    assert is_public(ipaddress.ip_address(address))


@given(st.integers(0, 2**32 - 1))
def test_what_python_calls_not_global_is_never_public(number: int):
    address = ipaddress.IPv4Address(number)
    if not address.is_global or address.is_multicast:
        assert not is_public(address)


@given(st.integers(0, 2**128 - 1))
def test_nothing_outside_the_global_unicast_range_is_public(number: int):
    address = ipaddress.IPv6Address(number)
    if is_public(address):
        assert number >> 125 == 1 or address.ipv4_mapped or number >> 32 == 0x64FF9B << 64


@given(st.integers(0, 2**32 - 1))
def test_an_ipv4_address_is_judged_alike_inside_of_ipv6(number: int):
    inner = ipaddress.IPv4Address(number)
    for outer in ((0xFFFF << 32) | number, (0x64FF9B << 96) | number, (0x2002 << 112) | (number << 80)):
        assert is_public(ipaddress.IPv6Address(outer)) == is_public(inner)


def test_exceptions_open_only_their_networks():
    policy = OutboundPolicy(allow=(ipaddress.ip_network("10.1.0.0/16"), ipaddress.ip_network("fd00::/64")))

    assert policy.permits(ipaddress.ip_address("10.1.2.3"))
    assert policy.permits(ipaddress.ip_address("::ffff:10.1.2.3"))
    assert policy.permits(ipaddress.ip_address("fd00::5"))
    assert not policy.permits(ipaddress.ip_address("10.2.0.1"))
    assert not policy.permits(ipaddress.ip_address("fd00:0:0:1::5"))
    assert not policy.permits(ipaddress.ip_address("::ffff:10.2.0.1"))


def test_the_settings_make_the_default_policy(settings):
    settings.HUB_OUTBOUND_ALLOW = ["10.0.0.0/8", "fd00::1/64"]
    settings.HUB_ALLOW_HTTP = True
    policy = default_policy()

    assert [str(network) for network in policy.allow] == ["10.0.0.0/8", "fd00::/64"]
    assert policy.allow_http
    del settings.HUB_OUTBOUND_ALLOW, settings.HUB_ALLOW_HTTP
    assert default_policy() == OutboundPolicy(allow=(), allow_http=False)


@pytest.mark.parametrize(
    "url",
    [
        "",
        "example.com",
        "//example.com/",
        "https://",
        "https:///path",
        "https://:443/",
        "https://./",
        "file:///etc/passwd",
        "ftp://example.com/",
        "gopher://example.com/",
        "unix:///var/run/docker.sock",
        "javascript:alert(1)",
        "https://user@example.com/",
        "https://user:password@example.com/",
        "https://:password@example.com/",
        "https://@example.com/x@y/",
        "https://example.com:0/",
        "https://example.com:65536/",
        "https://example.com:-1/",
        "https://example.com:port/",
        "https://exa mple.com/",
        "https://example.com/a b",
        "https://example.com/\r\nX-Injected: 1",
        "https://example.com\t/",
        "https://example.com/\x00",
        "https://example.com\\@evil.example/",
        "https://[::1/",
        "https://[fe80::1%25eth0]/",
        "https://exa%6dple.com/",
        "https://example.com/\ud800",
        "https://" + "a" * 300 + ".example/",
        "https://example.com/" + "a" * 8000,
        " https://example.com/",
    ],
)
def test_urls_that_are_not_called(url: str):
    with pytest.raises(OutboundBlocked) as caught:
        check_url(url, OutboundPolicy(allow_http=True))
    assert "password" not in str(caught.value).replace("user name or password", "")
    assert not caught.value.transient


@pytest.mark.parametrize(
    ("url", "host", "port"),
    [
        ("https://example.com", "example.com", 443),
        ("HTTPS://EXAMPLE.com:8443/a?b=c#d", "example.com", 8443),
        ("https://bücher.example/", "xn--bcher-kva.example", 443),
        ("https://[2606:4700::1111]/", "2606:4700::1111", 443),
        ("https://example.com./", "example.com.", 443),
        ("https://2130706433/", "2130706433", 443),
    ],
)
def test_urls_that_are_called(url: str, host: str, port: int):
    target = check_url(url, PUBLIC)

    assert (target.host, target.port, target.tls) == (host, port, True)
    assert "#" not in str(target.url)


def test_plain_http_needs_a_permission():
    with pytest.raises(OutboundBlocked, match="use an https address") as caught:
        check_url("http://example.com/?secret=1", PUBLIC)
    assert caught.value.code == "https_required"
    assert "secret" not in str(caught.value)
    assert check_url("http://example.com/", OutboundPolicy(allow_http=True)).port == 80
    assert check_url("http://example.com/", PUBLIC, allow_http=True).port == 80
    with pytest.raises(OutboundBlocked):
        check_url("http://example.com/", OutboundPolicy(allow_http=True), allow_http=False)


@given(st.text(max_size=60))
def test_no_text_raises_anything_but_blocked(text: str):
    for url in (text, "https://" + text, "https://example.com" + text):
        try:
            target = check_url(url, PUBLIC)
        except OutboundBlocked:
            continue
        assert target.url.scheme == "https"
        assert not target.url.userinfo


@pytest.mark.parametrize(
    "host",
    [
        "127.0.0.1",
        "127.1",
        "127.0.1",
        "2130706433",
        "0x7f000001",
        "0x7f.0.0.1",
        "0177.0.0.1",
        "017700000001",
        "0",
        "0.0.0.0",
        "0x7f.1",
        "::1",
        "[::1]",
        "[::ffff:127.0.0.1]",
        "[::ffff:7f00:1]",
        "[64:ff9b::7f00:1]",
        "[2002:7f00:1::]",
        "[::]",
        "169.254.169.254",
        "2852039166",
        "0xa9fea9fe",
        "0251.0376.0251.0376",
        "localhost",
    ],
)
def test_odd_spellings_are_judged_by_what_they_resolve_to(host: str):
    with pytest.raises((OutboundBlocked, OutboundConnectionFailed)) as caught:
        resolve(host, 443, PUBLIC)
    assert isinstance(caught.value, OutboundBlocked), caught.value


def test_one_forbidden_address_refuses_the_whole_answer():
    with pytest.raises(OutboundBlocked) as caught:
        resolve("rebind.example", 443, PUBLIC, answers("93.184.216.34", "10.0.0.1"))
    assert caught.value.code == "address_blocked"
    assert "10.0.0.1" not in str(caught.value)  # a stranger must not map the inner network

    assert resolve("good.example", 443, PUBLIC, answers("93.184.216.34", "8.8.8.8")) == [
        "93.184.216.34",
        "8.8.8.8",
    ]


def test_a_name_without_an_address_is_a_failed_connection():
    def unknown(*arguments: Any, **options: Any) -> Any:
        raise socket.gaierror(-2, "Name or service not known")

    with pytest.raises(OutboundConnectionFailed) as caught:
        resolve("nowhere.example", 443, PUBLIC, unknown)
    assert (caught.value.code, caught.value.transient) == ("name_not_resolved", True)
    with pytest.raises(OutboundConnectionFailed):
        resolve("empty.example", 443, PUBLIC, answers())


def test_an_allowed_network_is_reached_under_any_spelling():
    for host in ("127.0.0.1", "127.1", "2130706433", "[::ffff:127.0.0.1]"):
        assert resolve(host, 80, LOOPBACK)
