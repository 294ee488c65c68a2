"""Files that register application services (AS "Registration")."""

from pathlib import Path

from tremula.protocol.appservices import Registration, parse_registration
from tremula.protocol.errors import MatrixError


class BadRegistrationFile(Exception):
    """A file that registers nothing; the message is one line."""


def read_registration(file: Path) -> Registration:
    """What *file*, in YAML, says of an application service.

    Raises:
        BadRegistrationFile: it can't be read, or says something wrong.
    """
    # Servers without application services load nothing of it.
    import yaml  # noqa: PLC0415

    try:
        text = file.read_text(encoding="utf-8")
        return parse_registration(yaml.safe_load(text))
    except OSError as error:
        problem = f"can't be read: {error.strerror}"
    except (yaml.YAMLError, UnicodeDecodeError, RecursionError):
        # Its message has lines of the file, in which there are tokens.
        problem = "is not YAML"
    except MatrixError as error:
        problem = error.message
    raise BadRegistrationFile(f"{file}: {problem}")
