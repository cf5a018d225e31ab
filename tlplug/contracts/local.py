"""What is loaded lies on this machine, or on the hub under its id: no address on the net is fetched."""

from __future__ import annotations

import re

from tlplug.errors import UsageError

ADDRESS = re.compile(r"(?!pkg://)[A-Za-z][A-Za-z0-9+.-]+:/")
"""`https://host`, also with the one slash that `Path` leaves of two; `pkg://` is a package that is installed."""


def refuse_address(named: str, value: str) -> None:
    """Raise where `value`, which the user named by `named`, is an address.

    Raises:
        UsageError: it is one.
    """
    if ADDRESS.match(value):
        raise UsageError(
            f"{named}: {value} is an address, and nothing is fetched from one. Download it, look at what it is, "
            "and name the file or the folder"
        )
