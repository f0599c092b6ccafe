try:
    from math import expm1 as math_expm1
except ImportError:

    def math_expm1(x):
        """exp(x) - 1, after W. Kahan: what is lost in it is lost in the logarithm as well."""
        grown = math.exp(x)
        if grown == 1.0:
            return x
        if grown - 1.0 == -1.0:
            return -1.0
        return x * ((grown - 1.0) / math.log(grown))


def expm1(x):
    """exp(x) - 1."""
    try:
        return math_expm1(x)
    except (OverflowError, ValueError):
        return INF
