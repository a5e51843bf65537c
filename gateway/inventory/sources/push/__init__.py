"""The push source: agents and scripts that send signed reports over HTTP."""
