"""Other mail by HTTP: EWS, MAPI, OWA, CalDAV and CardDAV, JMAP: octets to values and back, without I/O."""
