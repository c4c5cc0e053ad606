"""One cell = one module. A new network is one new file here; nothing else is edited."""
