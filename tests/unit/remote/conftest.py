"""Makes tests/ importable here (redis_kit, faulty_proxy)."""
