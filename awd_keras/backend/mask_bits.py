"""The randomness of a mask."""


def mask_bits(rate):
    """How few random bits an element of a mask needs, drawing being what a mask costs.

    Returns:
        8 where the rate is a multiple of 2**-8, as 0.5 is, else 16, for which it is right to 2**-17; and the threshold:
        an element is kept whose bits, an unsigned integer, reach it.
    """
    bits = 8 if float(rate * 2**8).is_integer() else 16
    return bits, min(round(rate * 2**bits), 2**bits - 1)
