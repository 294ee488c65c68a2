"""Receipts that are stored together with the events that they are for."""

from msgspec import Struct

from tremula.features.account_data.service import FULLY_READ, SeenContent
from tremula.features.receipts import storage
from tremula.features.receipts.recording import Receipts
