"""A talk at the terminal: line editing, end of file and Ctrl-C as always.

    python3 demo/ask.py
"""

import sys


def ask(question):
    """An answer, or None when there is nobody (any more) to ask."""
    try:
        return input(question)
    except EOFError:
        print()
        return None


def main():
    try:
        import readline  # noqa: F401  makes input() a line editor
    except ImportError:
        pass
    name = ask("What is your name? ")
    if not name:
        return 1
    print(f"Hello, {name}. Tell me numbers; an empty line ends.")
    numbers = []
    while answer := ask(f"number {len(numbers) + 1}: "):
        try:
            numbers.append(float(answer))
        except ValueError:
            print(f"{answer!r} is not a number")
    print(f"The sum is {sum(numbers):g}.")
    return 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        print("\nGood-bye.")
        sys.exit(130)
