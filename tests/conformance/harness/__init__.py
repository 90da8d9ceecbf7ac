"""The machinery of the conformance suite: worlds, spawning, priming, comparing."""
