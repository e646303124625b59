"""Endpoints by name, as they stand in keys."""

from __future__ import annotations

import pytest

from runner.compile import endpoint_name
from runner.errors import InvalidError


@pytest.mark.parametrize(
    ("url", "name"),
    [
        ("https://api.api2convert.com/v2", "hosted"),
        ("https://API.api2convert.com:443/v2/", "hosted"),
        ("http://127.0.0.1:8700/v2", "loopback"),
        ("http://127.0.0.1:9999/v2", "loopback"),
        ("http://localhost/v2", "loopback"),
        ("http://api.localhost:1/v2", "loopback"),
        ("http://[::1]:8700/v2", "loopback"),
        ("https://convert.example.com/v2", "convert.example.com"),
        ("https://convert.example.com:443/v2", "convert.example.com"),
        ("http://convert.example.com:443/v2", "convert.example.com:443"),
        ("http://user:canary@convert.example.com:8080/v2", "convert.example.com:8080"),
    ],
)
def test_an_endpoint_is_named_by_its_host_and_loopback_without_its_port(url: str, name: str) -> None:
    assert endpoint_name(url) == name


@pytest.mark.parametrize(
    "url",
    [
        "",
        "convert.example.com",
        "ftp://convert.example.com",
        "https://",
        "https:///v2",
        "https://me:canary/x@host:canary/",
        "http://[canary",
        "https://host:99999/",
    ],
)
def test_what_is_no_base_url_is_refused_without_repeating_it(url: str) -> None:
    with pytest.raises(InvalidError) as refused:
        endpoint_name(url)

    assert "base URL" in str(refused.value)
    assert "canary" not in str(refused.value) + refused.value.hint
