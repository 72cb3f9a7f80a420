"""Links: our side of a bind at an SMSC. asyncio around the pure core in `smpp/`; the pipeline drives them."""
