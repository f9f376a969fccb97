"""The settings for a command, or one line per mistake and the end of it."""

from pathlib import Path

from asyncnet.cli import exit_codes
from asyncnet.config import ConfigError, Settings, load


def read_settings(config: Path | None) -> Settings:
    """The settings of --config, or of where they are usually found.  Raises CommandFailed."""
    try:
        return load(config)
    except ConfigError as error:
        raise exit_codes.CommandFailed(exit_codes.CONFIG, error.problems) from error
