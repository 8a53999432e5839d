"""One encoder family per file; ``models.encoder.FAMILIES`` names them and imports each when it is first
used."""
