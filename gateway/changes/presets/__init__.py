"""Published ban lists that come with Gatepost, and the edit that bans what one of them names.

A list is a file beside this one. It has an id for an app only where two public sources agree on it; ids that are merely
in circulation are kept as candidates, which are shown and never banned. So a list mostly names more apps than it
recognises, and says how many.
"""
