"""Copies a whole database to another one, also of the other engine."""

from tremula.infra.db.copying.checksums import Summary
from tremula.infra.db.copying.copying import copy_database
from tremula.infra.db.copying.progress import Progress, Step

__all__ = ["Progress", "Step", "Summary", "copy_database"]
