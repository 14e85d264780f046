"""Running an installation: the demo, processes, the schema as a whole, the proof of books."""
