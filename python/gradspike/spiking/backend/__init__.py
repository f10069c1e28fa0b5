"""The graph of the modules that were called."""
