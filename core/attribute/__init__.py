"""Where in time and frequency a detector's evidence lies, by several methods, and what can be heard of it.

Whether such a map can be believed is measured in ``core.audit``.
"""
