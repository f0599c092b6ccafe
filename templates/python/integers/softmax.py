def softmax(x, exp):
    """Shares of 2^15 in proportion to e to the power of x / 2^16; their sum is 2^15."""
    top = max(x)
    e = [exp(top - q) for q in x]  # of what an element is below the largest
    total = sum(e)
    left = total // 2
    found = []
    for q in e:
        share, left = divmod(32768 * q + left, total)
        found.append(share)
    return found
