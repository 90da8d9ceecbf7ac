"""The tests, one file per subject; importing a file registers its tests."""
