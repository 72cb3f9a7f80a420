"""Redis as a shared place: connection, scripts, a breaker. It knows nothing of what is kept there."""
