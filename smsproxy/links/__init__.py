"""Links: our side of a bind at an SMSC. asyncio around the pure core in `smpp/`; the pipeline drives them.

A message: `pool` chooses a link, `link` grants it places and writes its segments, `receipts` reads what comes
back. A session: `runner` keeps it alive, `transport` moves its octets. `supervisor` owns all of them.
"""
