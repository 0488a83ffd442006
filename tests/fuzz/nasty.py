"""The values that programs stumble over: one list, which the fuzzer puts into every parameter of every route."""

from __future__ import annotations

import json
from typing import Any

DIGITS = "9" * 5000
TEXT: dict[str, str] = {
    "empty": "",
    "nul": "a\x00b",
    "control": "a\x01\x1b[31m\x7f\x85b",
    "lines": "Nama\r\nBcc: mallory@example.com\r\n\r\nx",
    "separators": "a\u2028b\u2029c",
    "bidi": "admin\u202egnp.exe\u2066x\u2069",
    "invisible": "si\u200bti\u200d\ufeff\u2060\u00ad",
    "tags": "a\U000e0041\U000e007f",
    "noncharacter": "a\ufffe\U0001ffff",
    "emoji": "👩\u200d💻❤\ufe0f",
    "combining": "é" * 50 + "e\u0301" * 50,
    "astral": "𝒜𝒷𝒸 𓀀 \U0010fffd",
    "long": "x" * 20_000,
    "digits": DIGITS,
    "negative": "-1",
    "superscript": "²",
    "arabic": "٣",
    "fullwidth": "１２",
    "underscore": "1_000",
    "space": " 1 ",
    "plus": "+1",
    "float": "1.5",
    "exponent": "1e400",
    "nan": "NaN",
    "infinity": "Infinity",
    "int32": "2147483648",
    "int64": "9223372036854775808",
    "last_day": "9999-12-31",
    "first_day": "0001-01-01",
    "last_moment": "9999-12-31T23:59:59.999999-23:59",
    "first_moment": "0001-01-01T00:00:00+23:59",
    "no_day": "2026-02-30",
    "week": "2026-W01-1",
    "uuid": "00000000-0000-7000-8000-000000000000",
    "last_uuid": "ffffffff-ffff-ffff-ffff-ffffffffffff",
    "uuid_braces": "{00000000-0000-7000-8000-000000000000}",
    "uuid_wide": "０" * 32,
    "quote": "'; DROP TABLE users; --",
    "like": "%_\\%",
    "query": "a & | ! ( ) :* <-> '",
    "template": "{{7*7}} ${7*7} <%= 7 %> %(at)s %s {0} {name}",
    "html": "<script>alert(1)</script>\"'><img src=x onerror=x>",
    "formula": '=HYPERLINK("http://x","y")',
    "path": "../../../../etc/passwd",
    "slash": "/\\//evil.example/%2f..",
    "percent": "%00%ff%ed%a0%80",
    "url": "https://[::1/",
    "url_port": "https://a.example:99999999/",
    "url_code": "https://a.example/';system('id');//${x}*/\\",
    "idna": "https://xn--\u00e9.example/ax@\u3002.example",
    "email": "a@" + "b." * 200 + "c",
    "json": "{}",
    "json_list": "[]",
    "json_null": "null",
    "json_number": "1" * 5000,
    "json_deep": "[" * 5000 + "]" * 5000,
    "json_surrogate": '{"id_token":{"acr":{"value":"\\ud800"}}}',
    "json_nan": '{"userinfo":{"name":NaN}}',
    "json_wide": json.dumps({"userinfo": {f"c{i}": None for i in range(500)}}),
    "json_types": '{"userinfo":[1],"id_token":{"acr":{"values":[1,null]}}}',
    "jwt": "eyJhbGciOiJub25lIn0.eyJleHAiOjFlNDAwfQ.",
    "jwt_bytes": "////.____.AAAA",
    "jwe": "eyJhbGciOiJSU0EtT0FFUC0yNTYiLCJlbmMiOiJBMTI4R0NNIiwiemlwIjoiREVGIn0.x.x.x.x",
    "base64": "=" * 30,
}
"""Text for paths, queries, forms and members of JSON."""

RAW = (
    "%00",
    "%ED%A0%80",
    "%FF%FE",
    "%C0%80",
    "%",
    "%zz",
    "%u0000",
    "%E2%80%AE",
    "%0d%0aX:%20y",
    "%25%30%30",
    "..%2f..%2f",
)
"""What stands in an address as it is, without being encoded once more."""

VALUES: tuple[Any, ...] = (
    *TEXT.values(), None, True, -1, 2**31, 2**63, 2**70, 10**4000, 1e308, -0.0, [], {}, [[]], [None], {"": ""},
    ["\ud800"], "\ud800", "a\udfff", {"\ud800": 1}, {"a\x00": 1}, ["x"] * 5000, {str(i): i for i in range(1000)},
)  # fmt: skip
"""The same for JSON, with values of other kinds."""

BODIES: tuple[bytes, ...] = (
    b"", b"null", b"[]", b'""', b"0", b"{", b"\xff\xfe{}", b"\xef\xbb\xbf{}", b"\x00{\x00}", b"[" * 30_000,
    b'{"a":' * 3000 + b"1" + b"}" * 3000, b"1" * 5000, b'{"a":NaN}', b'{"a":Infinity}', b'{"a":1e400}',
    b'{"a":1,"a":2}',
    b'{"name":"\\ud800"}', b'{"\\u0000":1}', b'{"name":"\xed\xa0\x80"}',
)  # fmt: skip
"""Bodies of JSON that are none, or are read in several ways."""

HEADERS: tuple[str, ...] = (
    "\x00", "a\rb", "a\nb", "a\x01", "x" * 30_000, "\xe9\xff\x85", "en;q=" + DIGITS, "*;q=nan", "en;q=inf", "²",
    'W/"' + "x" * 2000, "Basic ////", "Basic AAAA", "Basic " + "=" * 9, "Basic gICAgA==", "Bearer a.b.c", "Bearer \xff",
    "Bearer " + TEXT["jwt"], "a" * 5 + "=" + "b" * 4000, ",,,,;;;;===", "٣", "bytes=0-", "gzip, gzip",
)  # fmt: skip
HEADER_NAMES = (
    "Accept-Language", "User-Agent", "Idempotency-Key", "If-Match", "If-None-Match", "Authorization", "Cookie", "Host",
    "Content-Type", "Content-Length", "Content-Encoding", "X-Forwarded-For", "Accept", "Accept-Encoding", "Origin",
    "Referer", "DPoP",
)  # fmt: skip
