"""The machinery of the lifecycle suite: worlds, processes, frames, tests."""
