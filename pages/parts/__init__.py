"""Furniture shared by the pages: session state, caches, the player, widgets, progress."""
