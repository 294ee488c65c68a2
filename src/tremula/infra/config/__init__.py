"""The configuration: one tree of frozen values, read once at the start."""

from tremula.infra.config.load import load_config, read_example
from tremula.infra.config.parse import ConfigError
from tremula.infra.config.tree import (
    Api,
    Caches,
    Config,
    Listener,
    LogFormat,
    Logging,
    LogLevel,
    PasswordHashing,
    PostgresUrl,
    Presence,
    RateLimit,
    RateLimits,
    Registration,
    RegistrationMode,
    SqliteFile,
    Tls,
    Tokens,
)

__all__ = [
    "Api",
    "Caches",
    "Config",
    "ConfigError",
    "Listener",
    "LogFormat",
    "LogLevel",
    "Logging",
    "PasswordHashing",
    "PostgresUrl",
    "Presence",
    "RateLimit",
    "RateLimits",
    "Registration",
    "RegistrationMode",
    "SqliteFile",
    "Tls",
    "Tokens",
    "load_config",
    "read_example",
]
