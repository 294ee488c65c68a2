"""Transactions of other servers at the HTTP edge."""

from typing import Any, Final

import msgspec

from tremula.features.federation_transactions.service import Transactions
from tremula.infra.config import Api
from tremula.infra.http import Auth, FederationRequest, Json, endpoint
from tremula.protocol.identifiers import parse_txn_id

# 50 PDUs of 64 KiB and 100 EDUs, of which some carry encrypted messages to devices.
_BODY_BYTES_MAX: Final = 12 * 1024 * 1024


class TransactionBody(msgspec.Struct):
    """Body of SS ``sendTransaction``. ``origin`` is who signed the request."""

    pdus: list[Any] = msgspec.field(default_factory=list)
    edus: list[Any] = msgspec.field(default_factory=list)


@endpoint(
    "PUT",
    "/_matrix/federation/v1/send/{txn_id}",
    auth=Auth.SERVER,
    max_body=_BODY_BYTES_MAX,
    api=Api.FEDERATION,
)
async def send_transaction(req: FederationRequest, transactions: Transactions) -> Json:
    """SS sendTransaction. Errors: M_BAD_JSON, M_LIMIT_EXCEEDED."""
    body = req.body(TransactionBody)
    txn_id = parse_txn_id(req.path["txn_id"])
    return await transactions.receive(req.origin, txn_id, body.pdus, body.edus)
