"""The plugins that ship with tlplug; registered by entry points like any other."""
