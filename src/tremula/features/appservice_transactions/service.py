"""What other features have to do with transactions to application services."""

from tremula.features.appservice_transactions.backlog import Backlog
from tremula.features.appservice_transactions.courier import Courier, DeliveryFailed
from tremula.features.appservice_transactions.deliveries import HEARD_TOPIC, Deliveries
from tremula.features.appservice_transactions.interest import (
    Interests,
    takes_transactions,
)
from tremula.features.appservice_transactions.marking import TOPIC
from tremula.features.appservice_transactions.parts import Gathered, TransactionPart
from tremula.features.appservice_transactions.storage import find_begun
from tremula.features.appservice_transactions.surroundings import Surroundings

__all__ = [
    "HEARD_TOPIC",
    "TOPIC",
    "Backlog",
    "Courier",
    "Deliveries",
    "DeliveryFailed",
    "Gathered",
    "Interests",
    "Surroundings",
    "TransactionPart",
    "find_begun",
    "takes_transactions",
]
