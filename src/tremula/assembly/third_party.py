"""Builds what knows the e-mail addresses of users."""

from tremula.assembly.base import Base, Engine, ThirdPartyServices
from tremula.features.third_party import routes
from tremula.features.third_party.contacts import Contacts
from tremula.features.third_party.identity_servers import IdentityServers
from tremula.features.third_party.invitations import EmailInvitations
from tremula.features.third_party.letters import Letters
from tremula.features.third_party.service import ThirdPartyIds
from tremula.features.third_party.validations import Validations
from tremula.features.uia.service import Uia
from tremula.infra.locks import KeyedLocks


def build_third_party(base: Base, engine: Engine) -> ThirdPartyServices:
    """Addresses, how they are proved, and invitations by them."""
    config = base.config
    ids = ThirdPartyIds(base.database, base.journal, base.clock)
    letters = Letters(
        base.mailer,
        base.limiter,
        base.server_name,
        config.public_base_url or f"https://{config.server_name}",
    )
    validations = Validations(ids, letters, config.third_party, KeyedLocks())
    base.supervisor.keep_running("third_party_sweep", validations.run)
    invitations = EmailInvitations(
        ids,
        letters,
        engine.rooms,
        engine.reader,
        base.own,
        validations,
        base.slots,
    )
    base.supervisor.keep_running("third_party_invitations", invitations.run)
    identity_servers = IdentityServers(
        base.web, frozenset(config.third_party.identity_servers), base.own
    )
    return ThirdPartyServices(
        ids=ids,
        validations=validations,
        invitations=invitations,
        identity_servers=identity_servers,
    )


def add_contacts(base: Base, third_party: ThirdPartyServices, uia: Uia) -> None:
    """Addresses as users change them."""
    base.router.add(
        routes,
        Contacts(
            third_party.ids,
            third_party.validations,
            third_party.invitations,
            third_party.identity_servers,
            uia,
            base.server_name,
        ),
    )
