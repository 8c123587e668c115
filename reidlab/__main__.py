"""`python -m reidlab`: the command line."""

from reidlab.cli import app

if __name__ == "__main__":
    app(prog_name="python -m reidlab")
