"""Systems that report app inventories, a package each."""
