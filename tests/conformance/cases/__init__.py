"""The cases, a file per theme; importing a file registers its cases."""
