"""Rate limits: GCRA buckets, and the process and app limits that police with them (spec §4)."""
