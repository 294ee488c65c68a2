"""Endpoints to test the server with."""

import asyncio
from dataclasses import dataclass, field

import msgspec

from tremula.infra.db import DatabaseUnavailable
from tremula.infra.http import (
    Api,
    Auth,
    FederationRequest,
    Json,
    OptionalUserRequest,
    Request,
    Response,
    UserRequest,
    endpoint,
    long_poll,
)
from tremula.infra.http.upgrade import upgrade
from tremula.infra.http.websocket import Conversation, WebSocket
from tremula.protocol.errors import Forbidden


async def echo(socket: WebSocket) -> None:
    while True:
        await socket.send(await socket.receive())


@dataclass(slots=True)
class Notes:
    """What the handlers have done, and what they wait for."""

    written: list[str] = field(default_factory=list)
    cancelled: asyncio.Event = field(default_factory=asyncio.Event)
    entered: asyncio.Event = field(default_factory=asyncio.Event)
    proceed: asyncio.Event = field(default_factory=asyncio.Event)
    done: asyncio.Event = field(default_factory=asyncio.Event)
    conversation: Conversation = Conversation(echo, farewell="bye")  # noqa: RUF009 - frozen


class NoteBody(msgspec.Struct):
    text: str
    count: int = 0


@endpoint("PUT", "/notes/{room_id}/{note_id}", auth=Auth.USER, limit="message")
async def put_note(req: UserRequest, notes: Notes) -> Json:
    text = req.body(NoteBody).text
    notes.written.append(text)
    return {"path": req.path, "user_id": req.user_id, "text": text}


@endpoint("GET", "/state/{event_type}", auth=Auth.NONE)
@endpoint("GET", "/state/{event_type}/{state_key}", auth=Auth.NONE)
async def get_state(req: Request, _notes: Notes) -> Json:
    return req.path


@endpoint("GET", "/state/special/{state_key}", auth=Auth.NONE)
async def get_special(req: Request, _notes: Notes) -> Json:
    return {"special": req.path}


@endpoint("GET", "/query", auth=Auth.NONE)
async def get_query(req: Request, _notes: Notes) -> Json:
    return {
        "x": req.query.get("x"),
        "all": req.query.all("x"),
        "limit": req.query.int("limit", default=10, min=1, max=100),
        "flag": req.query.bool("flag"),
    }


@endpoint("GET", "/located", auth=Auth.NONE)
async def get_located(req: Request, _notes: Notes) -> Json:
    return Response(302, b"", {"Location": req.query.get("at") or ""})


@endpoint("POST", "/object", auth=Auth.NONE, max_body=1000)
async def post_object(req: Request, _notes: Notes) -> Json:
    return req.json_object()


@endpoint("GET", "/guests", auth=Auth.USER, guest=True)
async def get_for_guests(req: UserRequest, _notes: Notes) -> Json:
    return {"is_guest": req.is_guest}


@endpoint("GET", "/maybe", auth=Auth.OPTIONAL)
async def get_maybe(req: OptionalUserRequest, _notes: Notes) -> Json:
    return {"user_id": req.requester.user_id if req.requester else None}


@endpoint("GET", "/bytes", auth=Auth.NONE)
async def get_bytes(_req: Request, _notes: Notes) -> Json:
    return b'{"ready":true}'


@endpoint("GET", "/page", auth=Auth.NONE)
async def get_page(_req: Request, _notes: Notes) -> Json:
    return Response(201, b"<p>", {"Content-Type": "text/html"})


@endpoint("GET", "/whence", auth=Auth.NONE)
async def get_whence(req: Request, _notes: Notes) -> Json:
    return {"ip": req.client_ip, "id": req.id}


@endpoint("GET", "/fail/{how}", auth=Auth.NONE)
async def get_failure(req: Request, _notes: Notes) -> Json:
    failures: dict[str, Exception] = {
        "forbidden": Forbidden("no", hint="ask"),
        "bug": KeyError("secret detail"),
        "database": DatabaseUnavailable("restarting"),
    }
    raise failures[req.path["how"]]


@endpoint("GET", "/wait", auth=Auth.NONE)
async def get_wait(_req: Request, notes: Notes) -> Json:
    notes.entered.set()
    try:
        await notes.proceed.wait()
    except asyncio.CancelledError:
        notes.cancelled.set()
        raise
    return {}


@long_poll
@endpoint("POST", "/poll", auth=Auth.NONE)
async def post_poll(_req: Request, notes: Notes) -> Json:
    notes.entered.set()
    try:
        await notes.proceed.wait()
    except asyncio.CancelledError:
        notes.cancelled.set()
        raise
    return {}


@endpoint("POST", "/wait", auth=Auth.NONE)
async def post_wait(_req: Request, notes: Notes) -> Json:
    notes.entered.set()
    await notes.proceed.wait()
    notes.written.append("waited")
    notes.done.set()
    return {}


@endpoint("GET", "/admin", auth=Auth.NONE, api=Api.ADMIN)
async def get_admin(_req: Request, _notes: Notes) -> Json:
    return {}


@endpoint("GET", "/signed/{txn_id}", auth=Auth.SERVER, api=Api.FEDERATION)
@endpoint("PUT", "/signed/{txn_id}", auth=Auth.SERVER, api=Api.FEDERATION, max_body=999)
async def put_signed(req: FederationRequest, notes: Notes) -> Json:
    notes.written.append(req.origin)
    return {"origin": req.origin, "body": req.json_object()}


@endpoint("GET", "/talk", auth=Auth.USER)
async def get_talk(req: UserRequest, notes: Notes) -> Json:
    return upgrade(req, notes.conversation)
