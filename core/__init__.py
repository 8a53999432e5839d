"""The examination itself: decoding, quality, encoding, analyses, finding. Importable without a screen.

Nothing in this package draws a page or imports a user-interface framework; networks live in ``models``.
"""
