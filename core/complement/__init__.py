"""How the members of the workbench complement each other: on one recording, and on clips that none of them had heard.

    shipped       ACoRL's networks, calibrations, fusion and card, from their folder
    members       every member with its calibration line: ACoRL's, f-InfoED, the panel's
    listen        all members' scores of one recording, shared front ends computed once
    fusion        from members' scores to the fused likelihood ratio, term by term
    disagreement  how far the members are apart, and from where on that counts as a reason to abstain
    tables        error correlation from held-out scores; linear CKA from the card
    evidence      members' attribution maps on one plane, their overlap, what only one of them uses

Training is in ``core.training.acorl_runs``; nothing here decides the default finding.
"""
