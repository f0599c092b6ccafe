/** Throws unless `values` holds `size` numbers. */
function check(name, values, size) {
  if (values?.length !== size) {
    const found = values?.length === undefined ? String(values) : values.length;
    const wanted = size === 1 ? "1 number" : `${size} numbers`;
    throw new RangeError(`${name}: expected ${wanted}, found ${found}`);
  }
}
