"""What is wrong with a form is said above it and beside the field, and nothing that was typed is lost."""

from __future__ import annotations

import re
from html.parser import HTMLParser

import httpx2 as httpx
from tests import arranged
from tests.arranged import signed_in
from tests.support import City
from tests.web.test_admin import selection_token
from tests.web.test_developer import NEW, OFFERED, person, post, register


class Elements(HTMLParser):
    """The elements of a page: their tags and attributes, in order."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str]]] = []
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, {name: value or "" for name, value in attrs}))


def check_mistakes(page: httpx.Response, *, refused: bool) -> None:
    """Check that a page says what is wrong in text, and that what it refers to is there and can be seen."""
    ids = {attributes["id"]: tag for tag, attributes in Elements(page.text).elements if "id" in attributes}
    hidden = {
        attributes["id"]
        for tag, attributes in Elements(page.text).elements
        if attributes.get("type") == "hidden" and "id" in attributes
    }
    box = re.search(r'<div class="(problem|notice warn)"[^>]*id="problem"[^>]*>.*?</div>', page.text, re.S)
    assert box, page.text[:3000]
    assert ('role="alert"' in box[0]) is refused
    lines = re.findall(r"<(?:li|p)>(.*?)</(?:li|p)>", box[0], re.S)
    assert lines
    for line in lines:
        assert len(re.sub(r"<[^>]+>", "", line).strip(" .:")) > 15, line  # a sentence, not the name of a field alone
    for target in re.findall(r'href="#([^"]+)"', box[0]):
        assert target in ids, (target, box[0])
        assert target not in hidden
    for _, attributes in Elements(page.text).elements:
        for name in attributes.get("aria-describedby", "").split():
            assert name in ids, name
    assert ("aria-invalid" in page.text) is (refused and 'href="#' in box[0])


async def test_saving_a_sandbox_application_says_so_and_what_production_needs(city: City) -> None:
    await person(city, "dimas", "developer")
    async with await signed_in(city, "dimas") as dimas:
        await register(dimas, redirect_uris="", contacts="")
        page = await dimas.open("/developer/apps/antrean/settings")
        saved = await post(dimas, page, description="Dari rumah saja.")
        assert saved.status_code == 200
        assert '<div class="notice" role="status">' in saved.text
        assert "Tersimpan. Sandbox sudah memakai pengaturan baru." in saved.text
        assert 'class="problem"' not in saved.text
        check_mistakes(saved, refused=False)
        assert 'id="redirect_uris-wrong"' in saved.text
        # asking for production without it is refused, and says the same
        submitted = await dimas.http.post(
            "/developer/apps/antrean",
            data={**_token(await dimas.open("/developer/apps/antrean")), "choice": "submit"},
        )
        refused = await dimas.open(submitted.headers["location"])
        check_mistakes(refused, refused=True)
        assert "Tersimpan" not in refused.text

        page = await dimas.open("/developer/apps/antrean/settings")
        for changes in (
            {"sandbox.redirect_uris": "https://antrean.example/cb#x", "description": "Baru saja."},
            {"client_name": "", "description": "Baru saja."},
            {"client_name": "<b>", "description": "Baru saja."},
            {"jwks": "{", "description": "Baru saja."},
            {"ask email": "1", "reason email": "", "description": "Baru saja."},
            {"logo_uri": "bukan alamat", "description": "Baru saja."},
            {"sandbox.backchannel_logout_uri": "ftp://x", "description": "Baru saja."},
        ):
            wrong = await post(dimas, page, **changes)
            if wrong.status_code == 200:  # an address of production is explained, and kept
                assert "logo_uri" in changes, changes
                page = await dimas.open("/developer/apps/antrean/settings")
                continue
            assert wrong.status_code == 400, (changes, wrong.status_code)
            check_mistakes(wrong, refused=True)
            for text in changes.values():
                assert not text or text.replace("<", "&lt;").replace(">", "&gt;") in wrong.text, changes

        # every kind of application: a mistake that has no field in its form is said above it
        for kind in ("single_page", "native", "service", "proxy"):
            page = await dimas.open(f"/developer/new?kind={kind}")
            wrong = await post(
                dimas,
                page,
                "/developer/new",
                **{
                    **NEW,
                    "kind": kind,
                    "client_id": f"a-{kind.replace('_', '-')}",
                    "contacts": "x",
                    "choice": "sandbox",
                }
                | {"redirect_uris": "https://x.example/#y", "client_name": "<b>", "jwks": "{"},
            )
            assert wrong.status_code == 400, kind
            check_mistakes(wrong, refused=True)


def _token(page: httpx.Response) -> dict[str, str]:
    match = re.search(r'name="csrf_token" value="([^"]+)"', page.text)
    assert match
    return {"csrf_token": match[1]}


@OFFERED
async def test_a_refused_act_of_an_administrator_keeps_what_was_typed(city: City) -> None:
    await person(city, "dimas", "developer")
    async with await signed_in(city, "dimas") as dimas, await signed_in(city, "ratna") as ratna:
        await arranged.register(city, "dimas")
        await post(dimas, await dimas.open("/developer/apps/antrean"), choice="submit", text="Mulai.")
        siti = f"/admin/people/{city.users['siti']}"
        for act, fields in {
            "edit": {"name": "Siti Baru", "email": "bukan alamat", "note": "diminta warga"},
            "check": {"document": "passport", "number": "", "place": "MPP Cisadane", "note": "di loket"},
            "merge": {"other": "tidak-ada", "note": "orang yang sama"},
            "roles": {"role auditor": "1", "note": ""},
            "delete": {"note": "diminta warga"},
        }.items():
            page = await ratna.open(siti)
            wrong = await ratna.http.post(f"{siti}/{act}", data={**_token(page), **fields})
            assert wrong.status_code in (400, 403, 409), (act, wrong.status_code)
            check_mistakes(wrong, refused=True) if act in ("edit", "roles") else None
            opened = re.search(rf'<details class="group" id="act-{act}" open>.*?</details>', wrong.text, re.S)
            assert opened, act
            for name, text in fields.items():
                if name == "document":
                    assert f'<option value="{text}" selected>' in opened[0]
                elif name.startswith("role "):
                    assert f'name="{name}" value="1" checked' in opened[0]
                elif text:
                    assert f'value="{text}"' in opened[0], (act, name)
        page = await ratna.open("/admin/applications/antrean")
        forms = {
            "policies": {"allowed_hours": "kapan saja", "role citizen": "1", "note": "aturan baru"},
            "status": {"choice": "suspend", "note": ""},
            "review": {"choice": "approve", "text": "Alasan panjang.", "revision": "999"},
            "owner": {"who": "tidak-ada"},
        }
        for act, fields in forms.items():
            wrong = await ratna.http.post(f"/admin/applications/antrean/{act}", data={**_token(page), **fields})
            if act == "policies":  # nothing is registered yet
                assert wrong.status_code == 404
                continue
            assert wrong.status_code in (400, 409), (act, wrong.status_code)
            for text in (fields.get("text"), fields.get("who")):
                assert not text or text in wrong.text, act
        await post(ratna, page, "/admin/applications/antrean/review", choice="approve", text="Baik.")
        page = await ratna.open("/admin/applications/antrean")
        wrong = await ratna.http.post(
            "/admin/applications/antrean/policies", data={**_token(page), **forms["policies"]}
        )
        assert wrong.status_code == 400
        check_mistakes(wrong, refused=True)
        assert 'href="#allowed_hours"' in wrong.text
        for text in ("kapan saja", 'value="aturan baru"', 'name="role citizen" value="1" checked'):
            assert text in wrong.text, text
        listed = await ratna.open("/admin/sessions")
        chosen = {"csrf_token": selection_token(listed), "act": "end", "note": "ponsel hilang"}
        nobody = await ratna.http.post("/admin/sessions/selected", data=chosen)
        assert nobody.status_code == 400
        assert "Pilih paling sedikit satu baris" in nobody.text
        ids = re.findall(r'name="id" value="([0-9a-f-]{36})"', listed.text)
        confirmation = await ratna.http.post("/admin/sessions/selected", data={**chosen, "id": ids[:1]})
        assert (confirmation.status_code, 'value="ponsel hilang"' in confirmation.text) == (200, True)
