"""Exchange ActiveSync, versions 2.5 to 16.1 ([MS-ASHTTP], [MS-ASCMD], [MS-ASWBXML], [MS-ASPROV]).

Read in this order: ``versions`` and ``commands`` (the vocabulary), ``query`` (the URL), ``requests`` (what a phone
asks), ``root`` (what its body really says), ``refusals`` (what it is told).
"""
