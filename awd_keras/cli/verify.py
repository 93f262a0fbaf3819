"""`awd-keras verify`."""

import os


def add(commands, common):
    """Declares the command."""
    verify = commands.add_parser("verify", parents=[common], help="show that the regularization is really on")
    verify.set_defaults(command=main, trains=True)


def main(options):
    """Prints the checks; the exit status is 1 where one failed."""
    from awd_keras import verification

    checks = verification.verify()
    width = max(len(check.name) for check in checks)
    for check in checks:
        state = "ok    " if check.passed else "FAILED"
        print(f"{state}  {check.name:{width}}  {check.figure}  ({check.detail})")
    failed = sum(not check.passed for check in checks)
    print(f"{len(checks) - failed} of {len(checks)} checks passed on {os.environ['KERAS_BACKEND']}")
    return 1 if failed else 0
