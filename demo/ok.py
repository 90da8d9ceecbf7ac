"""The classic: the least a script can do."""

print("OK")
