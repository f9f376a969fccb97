"""The table of providers that comes with the program, read once when first asked for."""

from functools import cache
from importlib.resources import files

from asyncnet.providers.presets import Catalogue
from asyncnet.providers.table import parse


@cache
def catalogue() -> Catalogue:
    """The presets and rules of providers.toml beside this file."""
    return parse(files("asyncnet.providers").joinpath("providers.toml").read_text("utf-8"))
