"""The few asyncio helpers that stores, limits, policy and links share."""
