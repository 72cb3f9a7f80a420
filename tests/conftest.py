"""Shared by every test: hypothesis without deadlines (two busy cores), the same examples every time."""

from __future__ import annotations

from hypothesis import settings

settings.register_profile("ci", deadline=None, derandomize=True, print_blob=True)
settings.load_profile("ci")
