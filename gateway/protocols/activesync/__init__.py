"""Exchange ActiveSync, versions 2.5 to 16.1 ([MS-ASHTTP], [MS-ASCMD], [MS-ASWBXML], [MS-ASPROV]).

Read in this order: ``versions`` and ``commands`` (the vocabulary), ``requests`` and ``query`` (what a phone asks, where
and as whom), ``root`` (what its body really says), ``refusals`` (what it is told), ``headers`` (what passes between it
and the back end). Beside these: ``autodiscover``, ``device_information`` and ``token_claims``.
"""
