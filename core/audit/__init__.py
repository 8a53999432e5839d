"""Whether an attribution map of this recording can be believed: measured, not assumed.

Each file is one measurement; ``core.audit.verdict`` puts limits on them and words to them. The measurements are tested
on models whose answer is known, and ``core.audit.study`` measures them on a corpus.
"""
