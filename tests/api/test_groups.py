"""Units, groups and memberships in the API."""

from __future__ import annotations

import uuid

from tests.api.conftest import Api, person_with
from tests.api.test_resources import events, problem
from tests.groups.units import tree
from tests.support import City

WHY = {"reason": "Perda 7/2026"}


async def test_a_unit_is_created_shown_changed_moved_closed_and_deleted(city: City, api: Api) -> None:
    ids = await tree(city)
    body = {"code": "PKM-3", "name_id": "Puskesmas 3", "parent_id": str(ids["DINKES"]), **WHY}
    headers = {"Idempotency-Key": "satu-dua-tiga"}
    created = await api("POST", "/groups", json=body, headers=headers)
    assert created.status_code == 201, created.text
    path = created.headers["location"].removeprefix("/api/v1")
    again = await api("POST", "/groups", json=body, headers=headers)
    assert (again.status_code, again.json()) == (201, created.json())
    problem(await api("POST", "/groups", json=body), 409, "refused")
    problem(await api("POST", "/groups", json=body | {"code": "a b"}), 422, "invalid_request")
    problem(await api("POST", "/groups", json={"code": "X", "name_id": "x"}), 422, "invalid_request")
    unit = await api.get(path)
    assert [ancestor["code"] for ancestor in unit["path"]] == ["KOTA", "DINKES"]
    assert (unit["name_id"], unit["units_below"], unit["members"]) == ("Puskesmas 3", 0, 0)

    tag = await api.etag(path)
    change = {"name_en": "Clinic 3", "code": "PKM-C", **WHY}
    answer = await api("PATCH", path, json=change, headers={"If-Match": tag})
    assert (answer.status_code, answer.json()["code"]) == (200, "PKM-C")
    assert answer.headers["etag"] == await api.etag(path) != tag
    problem(await api("PATCH", path, json=change, headers={"If-Match": tag}), 412, "precondition_failed")
    problem(await api("PATCH", path, json=change), 428, "precondition_required")
    moved = await api("POST", f"{path}/move", json={"parent_id": str(ids["DISDIK"]), **WHY})
    assert moved.json()["parent_id"] == str(ids["DISDIK"])
    up = await api("POST", f"/groups/{ids['KOTA']}/move", json={"parent_id": str(ids["PKM-1"]), **WHY})
    problem(up, 409, "refused")
    problem(await api("POST", f"/groups/{ids['DINKES']}/close", json=WHY), 409, "refused")
    closed = await api("POST", f"/groups/{ids['DINKES']}/close", json={"with_units_below": True, **WHY})
    assert closed.json()["valid_until"] is not None
    assert [group["code"] for group in await api.pages("/groups", status="closed")] == ["DINKES", "PKM-1", "PKM-2"]
    reopened = await api("POST", f"/groups/{ids['DINKES']}/reopen", json=WHY)
    assert reopened.json()["valid_until"] is None
    problem(await api("DELETE", f"/groups/{ids['DINKES']}", params=WHY), 409, "refused")
    problem(await api("DELETE", path), 422, "invalid_request")
    assert (await api("DELETE", path, params=WHY)).status_code == 204
    problem(await api("GET", path), 404, "not_found")
    assert [event.data["note"] for event in await events(city, "group.deleted")] == ["Perda 7/2026"]


async def test_lists_have_filters_search_and_pages(city: City, api: Api) -> None:
    ids = await tree(city)
    await api("POST", "/groups", json={"kind": "group", "code": "PANITIA", "name_id": "Panitia", **WHY})
    assert [group["code"] for group in await api.pages("/groups", limit=2)] == [
        "DINKES", "DISDIK", "KOTA", "PANITIA", "PKM-1", "PKM-2",
    ]  # fmt: skip
    assert [group["code"] for group in await api.pages("/groups", q="unit pkm")] == ["PKM-1", "PKM-2"]
    assert [group["code"] for group in await api.pages("/groups", q="100%")] == []
    assert [group["code"] for group in await api.pages("/groups", kind="group")] == ["PANITIA"]
    (top,) = await api.pages("/groups", top="true", kind="unit")
    assert (top["code"], top["units_below"]) == ("KOTA", 4)
    assert [group["code"] for group in await api.pages("/groups", parent_id=str(ids["DINKES"]))] == ["PKM-1", "PKM-2"]
    problem(await api("GET", "/groups", params={"cursor": "x"}), 422, "invalid_request")


async def test_members_are_added_listed_and_ended(city: City, api: Api) -> None:
    ids, siti = await tree(city), str(city.users["siti"])
    path = f"/groups/{ids['PKM-1']}/members"
    body = {"user_id": siti, "position": "Perawat", **WHY}
    created = await api("POST", path, json=body)
    assert created.status_code == 201, created.text
    assert (created.json()["source"], created.json()["status"], created.json()["created_by"]) == (
        "manual",
        "current",
        "petugas",
    )
    problem(await api("POST", path, json=body), 409, "refused")
    problem(await api("POST", path, json=body | {"user_id": str(uuid.uuid4())}), 409, "refused")
    problem(await api("POST", f"/groups/{uuid.uuid4()}/members", json=body), 404, "not_found")
    assert await api.pages(path) == [created.json()]
    assert await api.pages(f"/groups/{ids['KOTA']}/members") == []
    assert await api.pages(f"/groups/{ids['KOTA']}/members", below="true", q="siti rah") == [created.json()]
    assert await api.pages(f"/groups/{ids['KOTA']}/members", below="true", q="budi") == []
    assert await api.get(f"/users/{siti}/memberships") == [created.json()]
    end = f"{path}/{created.json()['id']}/end"
    other = end.replace(str(ids["PKM-1"]), str(ids["PKM-2"]))
    problem(await api("POST", other, json=WHY), 404, "not_found")
    ended = await api("POST", end, json=WHY)
    assert (ended.status_code, ended.json()["status"]) == (200, "ended")
    problem(await api("POST", end, json=WHY), 409, "refused")
    assert await api.pages(path) == []
    assert [membership["id"] for membership in await api.pages(path, status="ended")] == [created.json()["id"]]
    (event,) = await events(city, "membership.ended")
    assert (event.actor, event.subject) == ("petugas", siti)


async def test_administrators_are_set_and_cannot_use_this_api(city: City, api: Api) -> None:
    ids, budi = await tree(city), str(city.users["budi"])
    path = f"/groups/{ids['DINKES']}/administrators"
    body = {"user_ids": [budi], **WHY}
    problem(await api("PUT", path, json=body), 428, "precondition_required")
    answer = await api("PUT", path, json=body, headers={"If-Match": await api.etag(path)})
    assert [assignment["user"]["id"] for assignment in answer.json()["items"]] == [budi]
    below = await api.get(f"/groups/{ids['PKM-1']}/administrators")
    assert [assignment["group"]["code"] for assignment in below["items"]] == ["DINKES"]
    administrator = await person_with(city, "employee")
    problem(await administrator("GET", f"/groups/{ids['DINKES']}"), 403, "no_permission")
