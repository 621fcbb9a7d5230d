"""The exception behind every one-line message that a command prints and stops with."""

from __future__ import annotations


class InputError(ValueError):
    """What the user gave cannot be used; the message says what, where and what to do about it."""
