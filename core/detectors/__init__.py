"""Detectors that give an opinion of their own beside the default finding. See ``base`` for the contract."""
