"""Tests of the readers of published corpora."""
