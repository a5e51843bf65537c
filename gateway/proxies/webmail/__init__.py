"""Other mail by HTTP, inline: EWS, MAPI, OWA, CalDAV and CardDAV, JMAP, each closed until it is opened."""
