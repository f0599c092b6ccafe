try:
    from math import tanh
except ImportError:

    def tanh(x):
        """The hyperbolic tangent of x."""
        a = abs(x)
        if a < 0.15:  # the series with 1/3, 2/15 and 17/315: exp would lose digits
            s = x * x
            p = 0.13333333333333333 - s * 0.05396825396825397
            return x * (1.0 - s * (0.3333333333333333 - s * p))
        e = math.exp(-2.0 * a)
        y = (1.0 - e) / (1.0 + e)
        return -y if x < 0.0 else y
