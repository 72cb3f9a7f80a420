"""Makes this folder importable for the unit tests: `fake_time` is shared by several packages."""
