"""Authentication: who calls. `base` is the protocol, `jwt` the one implementation (spec §2.6)."""
