"""Tests of the examination itself."""
