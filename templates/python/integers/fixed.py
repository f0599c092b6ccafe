    def fixed(self, x, scale, low, high):
        """x * scale as the nearest whole number from low to high; what is beyond is counted."""
        q = x * scale
        if not low <= q < high + 1:
            self.saturated = self.saturated + 1
            return high if q > high else low if q < low else 0
        whole = math.floor(q)
        return min(whole + (q - whole >= 0.5), high)
