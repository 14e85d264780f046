"""Double entry: accounts, transfers and postings, and the proof that the books balance."""
