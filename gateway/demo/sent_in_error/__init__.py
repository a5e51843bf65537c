"""``gatepost demo --story sent-in-error``: a change that cuts a tenth of a large company, and its way back.

A whole gateway, a fleet of up to a million devices written in bulk, a mail server with a mailbox for each reader and
some hundreds of phones. What the story says is counted where it shows: in the mailboxes and at the phones. Begin with
``story``.
"""
