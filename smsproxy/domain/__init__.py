"""The nouns and rules of the product. No await, no I/O, no clock: everything may import it."""
