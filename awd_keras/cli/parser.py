"""How the command line reads its arguments."""

import argparse


class Parser(argparse.ArgumentParser):
    """Tells of bad input in one line."""

    def error(self, message):
        self.exit(2, f"awd-keras: error: {message}\n")
