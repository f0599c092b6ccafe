try:
    from math import erf
except ImportError:

    def erf(x):
        """2 / sqrt(pi) exp(-x^2) times the sum of 2^n x^(2n+1) / (2n+1)!!, all of one sign."""
        if abs(x) > 6.0:
            return 1.0 if x > 0.0 else -1.0
        total = term = x
        n = 1.0
        while abs(term) > 1e-17 * abs(total):
            n = n + 2.0
            term = term * 2.0 * x * x / n
            total = total + term
        return 1.1283791670955126 * math.exp(-x * x) * total
