"""The settings for a command, or one line per mistake and the end of it."""

import os
from collections.abc import Mapping
from pathlib import Path

from asyncnet.cli import exit_codes
from asyncnet.config.file import ConfigError, find_config, load
from asyncnet.config.sections import Settings
from asyncnet.providers.builtin import catalogue
from asyncnet.providers.presets import Catalogue, ProviderError
from asyncnet.providers.table import overlaid

PROVIDERS_FILE = "providers.toml"  # beside the config file


def read_settings(config: Path | None) -> Settings:
    """The settings of --config, or of where they are usually found.  Raises CommandFailed."""
    try:
        return load(config)
    except ConfigError as error:
        raise exit_codes.CommandFailed(exit_codes.CONFIG, error.problems) from error


def load_providers(config: Path | None, environment: Mapping[str, str] = os.environ) -> Catalogue:
    """The table of providers, with the one over it that lies beside the config file, if any.

    Raises ConfigError with one line that names file, place and key.
    """
    settings_file = find_config(config, environment)
    if settings_file is None:
        return catalogue()
    path = settings_file.with_name(PROVIDERS_FILE)
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        return catalogue()
    except OSError as error:
        raise ConfigError([f"{path}: cannot be read: {error.strerror}"]) from error
    except UnicodeDecodeError as error:
        raise ConfigError([f"{path}: is not UTF-8 (octet {error.start})"]) from error
    try:
        return overlaid(catalogue(), text, str(path))
    except ProviderError as error:
        raise ConfigError([str(error)]) from error


def read_providers(config: Path | None) -> Catalogue:
    """As load_providers().  Raises CommandFailed."""
    try:
        return load_providers(config)
    except ConfigError as error:
        raise exit_codes.CommandFailed(exit_codes.CONFIG, error.problems) from error
