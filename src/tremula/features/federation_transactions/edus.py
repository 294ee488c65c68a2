"""EDUs of other servers, handed to the features that know their types."""

from collections.abc import Mapping, Sequence
from typing import Any

import structlog
from msgspec import Struct

from tremula.features.federation_transactions.inbound_metrics import InboundMetrics
from tremula.infra.db import DatabaseUnavailable
from tremula.infra.federation.edus import EduHandler
from tremula.protocol.errors import MatrixError
from tremula.protocol.identifiers import ServerName

log = structlog.get_logger(__name__)


class InboundEdus(Struct, frozen=True):
    """Finds the handler of each EDU, by ``edu_type``. Others are ignored."""

    handlers: Mapping[str, EduHandler]
    metrics: InboundMetrics

    async def receive(self, origin: ServerName, edus: Sequence[Any]) -> None:
        """Take in what *origin* sent, in order. One that is bad is dropped alone.

        Raises:
            DatabaseUnavailable: it can't be stored now; *origin* is to send it again.
        """
        for edu in edus:
            await self._receive(origin, edu)

    async def _receive(self, origin: ServerName, edu: object) -> None:
        edu_type = edu.get("edu_type") if isinstance(edu, dict) else None
        content = edu.get("content") if isinstance(edu, dict) else None
        if not isinstance(edu_type, str) or not isinstance(content, dict):
            self.metrics.edu("malformed")
            return
        handler = self.handlers.get(edu_type)
        if handler is None:
            self.metrics.edu("unknown")
            return
        try:
            await handler.receive(origin, content)
        except MatrixError as error:
            self.metrics.edu("dropped")
            log.info(
                "edu_dropped", origin=origin, edu_type=edu_type, reason=error.message
            )
        except DatabaseUnavailable:
            self.metrics.edu("failed")
            raise
        except Exception:
            # CVE-2025-30355: a bug that one EDU meets must not make the origin repeat
            # the transaction for ever.
            self.metrics.edu("failed")
            log.exception("edu_failed", origin=origin, edu_type=edu_type)
        else:
            self.metrics.edu("taken")
