"""How the command line reads its arguments."""

import argparse


class Parser(argparse.ArgumentParser):
    """Tells of bad input in one line, and takes no option for another that begins alike."""

    def __init__(self, **arguments):
        super().__init__(allow_abbrev=False, **arguments)

    def error(self, message):
        self.exit(2, f"awd-keras: error: {message}\n")
