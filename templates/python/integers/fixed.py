    def fixed(self, x, scale, low, high):
        """The nearest whole number to x * scale from low to high; what is far beyond is counted."""
        q = x * scale
        if low <= q <= high:
            whole = math.floor(q)
            return whole + (q - whole >= 0.5)
        if not low - 1 <= q <= high + 1:
            self.saturated = self.saturated + 1
        return high if q > high else low if q < low else 0
