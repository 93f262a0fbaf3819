"""The option `--devices`."""


def add_devices(command, default):
    """Declares it; `default` is what its help says of the default."""
    command.add_argument(
        "--devices",
        type=_devices,
        metavar="N",
        help=f"number of devices that the rows of a batch are split between, or all (default: {default})",
    )


def _devices(text):
    return text if text == "all" else int(text)
