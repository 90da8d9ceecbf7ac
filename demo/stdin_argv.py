"""A filter: prints the lines of standard input that hold every word given.

    seq 100 | python3 demo/stdin_argv.py 1 7
"""

import sys


def main(words):
    found = 0
    for line in sys.stdin:
        if all(word in line for word in words):
            found += 1
            sys.stdout.write(line)
    print(f"{found} found", file=sys.stderr)
    return 0 if found else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
