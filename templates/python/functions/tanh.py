try:
    from math import tanh
except ImportError:

    def tanh(x):
        """The hyperbolic tangent of x."""
        a = abs(x)
        if a < 0.15:  # the series: exp would lose digits
            s = x * x
            return x * (1.0 - s * (1.0 / 3.0 - s * (2.0 / 15.0 - s * (17.0 / 315.0))))
        e = math.exp(-2.0 * a)
        y = (1.0 - e) / (1.0 + e)
        return -y if x < 0.0 else y
