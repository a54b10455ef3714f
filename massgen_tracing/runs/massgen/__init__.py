"""Real MassGen: the only room that knows how MassGen is made and what it writes."""
