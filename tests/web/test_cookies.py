"""Reading the cookies of a request."""

from __future__ import annotations

import pytest

from sso.http.common.cookies import cookies_in

NAME = "__Host-sso-session"


@pytest.mark.parametrize(
    ("headers", "value"),
    [
        ([f"{NAME}=x"], "x"),
        ([f"a=b;{NAME}=x;c=d"], "x"),
        ([f"a=b; \t{NAME}=x \t; c"], "x"),
        (["a=b", f"{NAME}=x=y"], "x=y"),
        ([f"{NAME}=x; {NAME}=y"], ""),
        ([f"{NAME}=x", f"{NAME}=x"], ""),
        ([f"\xa0{NAME}=x"], ""),
        ([f"\x85{NAME}=x"], ""),
        ([f"a=b;\xa0{NAME}=evil; {NAME}=x"], "x"),
        ([f"{NAME} =x"], ""),
        ([f"={NAME}=x"], ""),
        ([NAME], ""),
        ([], ""),
    ],
)
def test_a_cookie_counts_under_exactly_its_name_and_once(headers: list[str], value: str) -> None:
    """RFC 6265bis section 4.1.3: a neighbouring host can set a cookie whose name begins with another blank."""
    assert cookies_in(headers).get(NAME, "") == value
