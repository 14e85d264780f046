"""Taking money and giving it back: intents, attempts, outcomes, captures, refunds."""
