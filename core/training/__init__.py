"""Corpus, copies, augmentation, training loops and evaluation. Nothing here is needed to examine a recording."""
