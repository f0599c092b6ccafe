def pick(buffer, at, count, stride):
    """`count` elements from `at` on, `stride` apart."""
    return [buffer[at + stride * k] for k in range(count)]
