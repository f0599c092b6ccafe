def softmax(x, table, top, shift):
    largest = max(x)
    e = [curve(largest - q, table, top, shift, 0) for q in x]
    total = sum(e)
    left = total // 2
    for k in range(len(e)):
        e[k], left = divmod(32768 * e[k] + left, total)
    return array("i", e)
