# bias + shifted((a * m) >> 16, shift) for each row of each product: a its sum, m its scale.
def affine(bias, *products):
    out = array("i", bias)
    for (multiply, weights, scales, shift), x in products:
        multiply(out, len(out), weights, scales, shift, x, len(x))
    return out
