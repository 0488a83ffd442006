"""What tests fill in of a page: :func:`tests.support.forms_in`."""

from __future__ import annotations

import httpx2 as httpx
import pytest
from tests.support import Form, form_of, forms_in

PAGE = """<header><form action="/search"><input name="q" value="&lt;a &amp; b&gt;"></form></header>
<form class='wide' method='post' action='/a?x=1&amp;y=2'>
  <input type="hidden" name="csrf_token" value="x > y">
  <input name="name" value = plain data-x>
  <input name="empty"><input type="text" value="nameless">
  <input type="checkbox" name="off" value="1"><input type="checkbox" name="on" value="1" checked>
  <input type="radio" name="of" value="1"><input type="radio" name="of" value="2" checked="checked">
  <textarea name="text" rows="3">&lt;p&gt; <b>bold</b>
second</textarea><textarea>nameless</textarea>
  <select name="one"><option value="a">A</option><option value="b" selected>B</option></select>
  <select name="first"><option value="a">A</option><option value="b">B</option></select>
  <select><option value="c" selected>C</option></select>
  <button type="button" name="no">No</button><button name="choice" value="allow">Yes</button><button>Send</button>
</form>
<form action="/last" method="post"></form> <form-of-something> <input name="outside">"""


def test_the_forms_of_a_page_are_read_as_a_browser_does() -> None:
    assert forms_in(PAGE) == [
        Form("/search", "get", {"q": "<a & b>"}),
        Form(
            "/a?x=1&y=2",
            "post",
            {
                "csrf_token": "x > y", "name": "plain", "empty": "", "on": "1", "of": "2",
                "text": "<p> <b>bold</b>\nsecond", "one": "b", "first": "a",
            },
            [("choice", "allow")],
            sends=True,
        ),
        Form("/last", "post"),
    ]  # fmt: skip


def test_the_form_of_a_page_is_the_first_that_can_be_sent() -> None:
    assert form_of(httpx.Response(200, text=PAGE)).action == "/a?x=1&y=2"
    assert form_of(httpx.Response(200, text='<form action="/a"></form>')).action == "/a"
    with pytest.raises(AssertionError, match="no form in 404"):
        form_of(httpx.Response(404, text="<p>Nothing</p>"))
