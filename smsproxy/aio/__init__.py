"""The few asyncio helpers that several floors share: batches, late work, waits, listeners, TLS files."""
