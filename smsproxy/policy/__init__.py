"""The contact policy: who may be contacted how often, and who never (spec §5)."""
