"""What every generated file holds, whatever its language: methods, states, checks, calls."""
