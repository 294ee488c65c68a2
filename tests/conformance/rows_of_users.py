"""What users keep, and their accounts, devices and keys: rows of `places`."""

from dataclasses import replace
from typing import Final
from urllib.parse import quote

from tests.conformance.places import ALICE, BOB, PHONE, Place, Row, fresh, ok
from tests.device_keys import CrossSigningIdentity, CryptoDevice
from tests.features.rooms import send
from tests.http_client import HttpResponse
from tests.server import PASSWORD


async def account_data(one: Place, other: Place) -> bool:
    path, value = f"/v3/user/{ALICE}/account_data/org.example", {"a": fresh()}
    await ok(one.alice.put(path, value))
    return bool((await other.alice.get(path)).json == value)


async def account_data_in_sync(one: Place, other: Place) -> bool:
    since = (await one.sync(one.alice))["next_batch"]
    path, value = f"/v3/user/{ALICE}/account_data/org.example", {"a": fresh()}
    await ok(one.alice.put(path, value))
    synced = await other.sync(other.alice, since)
    events = synced.get("account_data", {}).get("events", [])
    return value in [each["content"] for each in events]


async def account_data_of_a_room(one: Place, other: Place) -> bool:
    path = f"/v3/user/{ALICE}/rooms/{quote(one.room_id)}/account_data/org.example"
    value = {"a": fresh()}
    await ok(one.alice.put(path, value))
    return bool((await other.alice.get(path)).json == value)


async def tags(one: Place, other: Place) -> bool:
    path = f"/v3/user/{ALICE}/rooms/{quote(one.room_id)}/tags"
    tag = fresh("u.")
    await ok(one.alice.put(f"{path}/{tag}", {"order": 0.5}))
    return tag in (await ok(other.alice.get(path)))["tags"]


async def a_tag_that_is_gone(one: Place, other: Place) -> bool:
    path = f"/v3/user/{ALICE}/rooms/{quote(one.room_id)}/tags"
    tag = fresh("u.")
    await ok(other.alice.put(f"{path}/{tag}", {}))
    await ok(one.alice.delete(f"{path}/{tag}"))
    return tag not in (await ok(other.alice.get(path)))["tags"]


async def profile(one: Place, other: Place) -> bool:
    name = fresh("Alice ")
    path = f"/v3/profile/{ALICE}"
    await ok(one.alice.put(f"{path}/displayname", {"displayname": name}))
    return bool((await ok(other.bob.get(path)))["displayname"] == name)


async def a_field_of_a_profile(one: Place, other: Place) -> bool:
    path = f"/v3/profile/{ALICE}/org.example.field"
    value = {"org.example.field": fresh()}
    await ok(one.alice.put(path, value))
    return bool((await ok(other.bob.get(path))) == value)


async def filters(one: Place, other: Place) -> bool:
    path, value = f"/v3/user/{ALICE}/filter", {"room": {"rooms": [fresh("!")]}}
    filter_id = (await ok(one.alice.post(path, value)))["filter_id"]
    return bool((await other.alice.get(f"{path}/{filter_id}")).json == value)


async def presence(one: Place, other: Place) -> bool:
    path, message = f"/v3/presence/{ALICE}/status", fresh()
    body = {"presence": "unavailable", "status_msg": message}
    await ok(one.alice.put(path, body))
    return bool((await ok(other.bob.get(path))).get("status_msg") == message)


async def push_rules(one: Place, other: Place) -> bool:
    path = f"/v3/pushrules/global/content/{fresh('rule')}"
    body = {"actions": ["notify"], "pattern": "cake"}
    await ok(one.alice.put(path, body))
    return bool((await ok(other.alice.get(path)))["pattern"] == "cake")


async def a_push_rule_that_is_off(one: Place, other: Place) -> bool:
    path = f"/v3/pushrules/global/content/{fresh('rule')}"
    await ok(one.alice.put(path, {"actions": ["notify"], "pattern": "cake"}))
    await ok(other.alice.put(f"{path}/enabled", {"enabled": False}))
    return not (await ok(one.alice.get(f"{path}/enabled")))["enabled"]


async def a_push_rule_that_is_gone(one: Place, other: Place) -> bool:
    path = f"/v3/pushrules/global/content/{fresh('rule')}"
    await ok(other.alice.put(path, {"actions": ["notify"], "pattern": "cake"}))
    await ok(one.alice.delete(path))
    return (await other.alice.get(path)).status == 404


async def pushers(one: Place, other: Place) -> bool:
    key = fresh("key")
    body = {
        "pushkey": key,
        "kind": "http",
        "app_id": "org.example",
        "app_display_name": "App",
        "device_display_name": "Phone",
        "lang": "en",
        "data": {"url": "https://push.example.org/_matrix/push/v1/notify"},
    }
    await ok(one.alice.post("/v3/pushers/set", body))
    found = await ok(other.alice.get("/v3/pushers"))
    return key in [each["pushkey"] for each in found["pushers"]]


async def whom_a_user_ignores(one: Place, other: Place) -> bool:
    path = f"/v3/user/{ALICE}/account_data/m.ignored_user_list"
    since = (await one.sync(one.alice))["next_batch"]
    await ok(one.alice.put(path, {"ignored_users": {BOB: {}}}))
    await send(other.bob, one.room_id)
    timeline = (await other.sync(other.alice, since)).get("rooms", {}).get("join", {})
    await ok(one.alice.put(path, {"ignored_users": {}}))
    return other.room_id not in timeline


async def openid_tokens(one: Place, other: Place) -> bool:
    path = f"/v3/user/{ALICE}/openid/request_token"
    token = (await ok(one.alice.post(path, {})))["access_token"]
    path = f"/_matrix/federation/v1/openid/userinfo?access_token={token}"
    return (await other.anonymous.get(path)).status == 200


async def registration(one: Place, other: Place) -> bool:
    body = {
        "username": fresh("new"),
        "password": PASSWORD,
        "auth": {"type": "m.login.dummy"},
    }
    registered = await ok(one.anonymous.post("/v3/register", body))
    client = replace(other.anonymous, token=registered["access_token"])
    return (await client.get("/v3/account/whoami")).status == 200


async def _log_in(place: Place, password: str = PASSWORD) -> HttpResponse:
    body = {
        "type": "m.login.password",
        "identifier": {"type": "m.id.user", "user": ALICE},
        "password": password,
    }
    return await place.anonymous.post("/v3/login", body)


async def a_login(one: Place, other: Place) -> bool:
    token = (await _log_in(one)).json["access_token"]
    client = replace(other.anonymous, token=token)
    return (await client.get("/v3/account/whoami")).status == 200


async def a_logout(one: Place, other: Place) -> bool:
    token = (await _log_in(one)).json["access_token"]
    there = replace(other.anonymous, token=token)
    await ok(there.get("/v3/account/whoami"))
    await ok(replace(one.anonymous, token=token).post("/v3/logout", {}))
    return (await there.get("/v3/account/whoami")).status == 401


async def a_device_that_is_deleted(one: Place, other: Place) -> bool:
    login = (await _log_in(one)).json
    there = replace(other.anonymous, token=login["access_token"])
    await ok(there.get("/v3/account/whoami"))
    auth = {
        "type": "m.login.password",
        "identifier": {"type": "m.id.user", "user": ALICE},
        "password": PASSWORD,
    }
    path = f"/v3/devices/{login['device_id']}"
    asked = (await one.alice.delete(path, {})).json
    body = {"auth": {**auth, "session": asked["session"]}}
    # UIA goes on where it was not begun.
    await ok(other.alice.request("DELETE", path, json=body))
    gone = (await one.alice.get(path)).status == 404
    return gone and (await replace(there, app=one.alice.app).get(path)).status == 401


async def a_device_with_another_name(one: Place, other: Place) -> bool:
    name = fresh("Phone ")
    path = f"/v3/devices/{PHONE}"
    await ok(one.alice.put(path, {"display_name": name}))
    return bool((await ok(other.alice.get(path)))["display_name"] == name)


async def refreshed_tokens(one: Place, other: Place) -> bool:
    body = {
        "type": "m.login.password",
        "identifier": {"type": "m.id.user", "user": ALICE},
        "password": PASSWORD,
        "refresh_token": True,
    }
    login = await ok(one.anonymous.post("/v3/login", body))
    body = {"refresh_token": login["refresh_token"]}
    fresh = await ok(other.anonymous.post("/v3/refresh", body))
    client = replace(one.anonymous, token=fresh["access_token"])
    if (await client.get("/v3/account/whoami")).status != 200:
        return False
    body = {"refresh_token": fresh["refresh_token"]}
    return (await one.anonymous.post("/v3/refresh", body)).status == 200


async def device_keys(one: Place, other: Place) -> bool:
    keys = CryptoDevice(ALICE, PHONE, fresh()).keys()
    await ok(other.bob.post("/v3/keys/query", {"device_keys": {ALICE: []}}))
    await ok(one.alice.post("/v3/keys/upload", {"device_keys": keys}))
    found = await ok(other.bob.post("/v3/keys/query", {"device_keys": {ALICE: []}}))
    return bool(found["device_keys"][ALICE][PHONE]["keys"] == keys["keys"])


async def device_lists(one: Place, other: Place) -> bool:
    since = (await other.sync(other.bob))["next_batch"]
    keys = CryptoDevice(ALICE, PHONE, fresh()).keys()
    await ok(one.alice.post("/v3/keys/upload", {"device_keys": keys}))
    if ALICE not in (await other.sync(other.bob, since))["device_lists"]["changed"]:
        return False
    path = f"/v3/keys/changes?from={since}&to={since}"
    return ALICE in (await ok(other.bob.get(path)))["changed"]


async def _upload_one_time_key(place: Place, kind: str = "one_time_keys") -> str:
    generation = fresh()
    device = CryptoDevice(ALICE, PHONE, generation)
    key_id = f"signed_curve25519:{generation}"
    key = device.sign({"key": "A" * 43})
    body = {"device_keys": device.keys(), kind: {key_id: key}}
    await ok(place.alice.post("/v3/keys/upload", body))
    return key_id


async def one_time_keys(one: Place, other: Place) -> bool:
    key_id = await _upload_one_time_key(one)
    synced = await other.sync(other.alice)
    if synced["device_one_time_keys_count"]["signed_curve25519"] != 1:
        return False
    body = {"one_time_keys": {ALICE: {PHONE: "signed_curve25519"}}}
    claimed = await ok(other.bob.post("/v3/keys/claim", body))
    synced = await one.sync(one.alice)
    counts = synced["device_one_time_keys_count"]
    return key_id in claimed["one_time_keys"][ALICE][PHONE] and not any(counts.values())


async def fallback_keys(one: Place, other: Place) -> bool:
    key_id = await _upload_one_time_key(one, "fallback_keys")
    synced = await other.sync(other.alice)
    if synced["device_unused_fallback_key_types"] != ["signed_curve25519"]:
        return False
    body = {"one_time_keys": {ALICE: {PHONE: "signed_curve25519"}}}
    claimed = await ok(other.bob.post("/v3/keys/claim", body))
    synced = await one.sync(one.alice)
    is_used = synced["device_unused_fallback_key_types"] == []
    return is_used and key_id in claimed["one_time_keys"][ALICE][PHONE]


async def cross_signing_keys(one: Place, other: Place) -> bool:
    username = fresh("new")
    user_id = f"@{username}:test"
    body = {
        "username": username,
        "password": PASSWORD,
        "auth": {"type": "m.login.dummy"},
        "device_id": PHONE,
    }
    token = (await ok(one.anonymous.post("/v3/register", body)))["access_token"]
    here, there = (replace(each.anonymous, token=token) for each in (one, other))
    query: dict[str, dict[str, list[str]]] = {"device_keys": {user_id: []}}
    await ok(other.bob.post("/v3/keys/query", query))
    identity, device = CrossSigningIdentity(user_id), CryptoDevice(user_id, PHONE)
    await ok(here.post("/v3/keys/upload", {"device_keys": device.keys()}))
    upload = "/v3/keys/device_signing/upload"
    await ok(there.post(upload, identity.upload()))
    found = await ok(one.bob.post("/v3/keys/query", query))
    if found["master_keys"][user_id]["keys"] != identity.public("master")["keys"]:
        return False
    signed = {user_id: {PHONE: identity.sign("self_signing", device.keys())}}
    failed = await ok(here.post("/v3/keys/signatures/upload", signed))
    found = await ok(other.bob.post("/v3/keys/query", query))
    made = found["device_keys"][user_id][PHONE]["signatures"][user_id]
    return not failed["failures"] and len(made) == 2


async def backups_of_keys(one: Place, other: Place) -> bool:
    body = {
        "algorithm": "m.megolm_backup.v1.curve25519-aes-sha2",
        "auth_data": {"public_key": "key", "signatures": {}},
    }
    path = "/v3/room_keys/version"
    version = (await ok(one.alice.post(path, body)))["version"]
    if (await ok(other.alice.get(path)))["version"] != version:
        return False
    key = {
        "first_message_index": 1,
        "forwarded_count": 0,
        "is_verified": True,
        "session_data": {"ciphertext": "secret"},
    }
    path = f"/v3/room_keys/keys/{quote(one.room_id)}/session?version={version}"
    await ok(other.alice.put(path, key))
    return bool((await ok(one.alice.get(path))) == key)


async def messages_to_devices(one: Place, other: Place) -> bool:
    since = (await other.sync(other.bob))["next_batch"]
    for content in ({"n": 1}, {"n": 2}):
        body = {"messages": {BOB: {"*": content}}}
        await ok(one.alice.put(f"/v3/sendToDevice/m.x/{fresh()}", body))
    synced = await other.sync(other.bob, since)
    events = synced.get("to_device", {}).get("events", [])
    again = await one.sync(one.bob, synced["next_batch"])
    told = [each["content"]["n"] for each in events]
    return told == [1, 2] and "to_device" not in again


async def dehydrated_devices(one: Place, other: Place) -> bool:
    path = "/unstable/org.matrix.msc3814.v1/dehydrated_device"
    device = CryptoDevice(ALICE, fresh("SLEEPS"))
    body = {
        "device_id": device.device_id,
        "device_data": {"algorithm": "m.dehydration.v2"},
        "device_keys": device.keys(),
    }
    await ok(one.alice.put(f"/_matrix/client{path}", body))
    found = await ok(other.alice.get(f"/_matrix/client{path}"))
    return bool(found["device_id"] == device.device_id)


OF_USERS: Final[tuple[Row, ...]] = (
    account_data,
    account_data_in_sync,
    account_data_of_a_room,
    tags,
    a_tag_that_is_gone,
    profile,
    a_field_of_a_profile,
    filters,
    presence,
    push_rules,
    a_push_rule_that_is_off,
    a_push_rule_that_is_gone,
    pushers,
    whom_a_user_ignores,
    openid_tokens,
    registration,
    a_login,
    a_logout,
    a_device_that_is_deleted,
    a_device_with_another_name,
    refreshed_tokens,
    device_keys,
    device_lists,
    one_time_keys,
    fallback_keys,
    cross_signing_keys,
    backups_of_keys,
    messages_to_devices,
    dehydrated_devices,
)
