"""What a policy would do to the whole fleet, exactly and at once: the decision in set algebra.

One number per device, one compressed set of numbers per app, group, platform and gap in the evidence. ``decide`` is
the reference: ``algebra`` mirrors its rules one by one and is held against it by property tests, and by ``verifying``
on the real fleet. Begin with ``index`` (what others use), then ``algebra`` (docs/decisions/impact-index.md).
"""
