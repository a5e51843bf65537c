"""External authorization: other people's proxies and mail servers ask for a verdict, each in its own protocol.

The same decision point answers as inline. An asker is authenticated before anything is told to it, gets its answer
within a bound that is shorter than its own patience, and never an HTTP 200 that is not ALLOW.
"""
