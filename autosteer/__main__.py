"""``python -m autosteer``: the program, as its child processes are started."""

from autosteer.cli.main import main

if __name__ == "__main__":
    main()
