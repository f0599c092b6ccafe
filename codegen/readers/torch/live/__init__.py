"""A live `torch.nn.Module`, traced by torch.fx: the torch is that of the caller.

trace.py      the module as a list of calls, with the shape of everything on the example
walk.py       the calls one by one, each to canonical layers
values.py     what passes between them
functions.py  what functions and methods of torch are
"""
