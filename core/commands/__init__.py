"""The commands of `python -m core`, one per file: what they read and print. No maths and no decoding here."""
