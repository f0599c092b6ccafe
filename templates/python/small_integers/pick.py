def pick(buffer, at, count, stride):
    return array("i", [buffer[at + stride * k] for k in range(count)])
