# What the rounds in Python share.
import sys


def want(what, got, wanted):
    if got != wanted:
        sys.exit("%s: %.200r, want %.200r" % (what, got, wanted))


def refuses(what, error, say):
    try:
        got = say()
    except error:
        return
    sys.exit("%s: %r, want %s" % (what, got, error))


def passes(seconds):
    """Lets the test move the server's clock."""
    print("pass", seconds, flush=True)
    sys.stdin.readline()
