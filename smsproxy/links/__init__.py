"""Links: our side of a bind at an SMSC. asyncio around the pure core in `smpp/`; the pipeline drives them.

A message: `pool` chooses a `link`, `turns` grants it places, `places` writes its segments, `answers` and
`receipts` read what comes back. A session: `runner` keeps it alive, `transport` moves its octets. The
`supervisor` owns all of them.
"""
