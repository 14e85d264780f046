"""Ways for money to come in and go back: a contract, a registry, and one folder per channel."""
