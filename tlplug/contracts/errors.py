"""The errors that are told to the user in one message, without a traceback."""


class UsageError(Exception):
    """Wrong usage or wrong data: what is wrong, where, and what to do. Exit code 2."""


class PluginError(UsageError):
    """A plugin that was asked for cannot be used; names its distribution and entry point."""
