"""Money, identifiers, clock and errors: the words that everybody uses. No I/O."""
