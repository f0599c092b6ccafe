"""What tests stand on: recorded models, compilers, interpreters and emulated microcontrollers."""
