    def limited(self, q, low, high):
        """q from low to high; what is beyond is counted."""
        if low <= q <= high:
            return q
        self.saturated = self.saturated + 1
        return low if q < low else high
