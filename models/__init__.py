"""Networks only: encoders, adapters, detectors and the registry that loads them. No user interface, no
decoding."""
